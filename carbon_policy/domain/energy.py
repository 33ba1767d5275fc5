"""What energy a run used, and how that is known."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from carbon_policy.domain.errors import InvalidInputError
from carbon_policy.domain.times import Moment


class EnergyMethod(StrEnum):
    """How a figure was obtained. Only the first three are measurements; the rest are models."""

    RAPL = "rapl"
    NVML = "nvml"
    POWER_METER = "power-meter"
    CPU_LOAD = "cpu-load-model"
    CPU_CONSTANT = "cpu-constant-model"
    RAM_MODEL = "ram-model"
    GPU_MODEL = "gpu-model"
    SITE_POWER = "site-power-estimate"

    @property
    def measured(self) -> bool:
        """Whether a counter was read, rather than a model asked."""
        return self in (EnergyMethod.RAPL, EnergyMethod.NVML, EnergyMethod.POWER_METER)


class EnergyPart(BaseModel):
    """The energy of one component.

    Attributes:
        component: `cpu`, `ram`, `gpu`, or `job` where only the whole is known.
        method: How it was obtained.
        energy_kwh: At the machine, without PUE.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    component: str
    method: EnergyMethod
    energy_kwh: float = Field(ge=0)


class EnergySegment(BaseModel):
    """Energy used between two moments.

    Attributes:
        start: UTC.
        end: UTC, after `start`.
        energy_kwh: At the machine, without PUE.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    start: Moment
    end: Moment
    energy_kwh: float = Field(ge=0)

    @model_validator(mode="after")
    def _goes_forward(self) -> Self:
        if self.end < self.start:
            raise InvalidInputError(f"A stretch cannot end ({self.end}) before it starts ({self.start}).")
        return self


class EnergyReading(BaseModel):
    """The energy of one run.

    Attributes:
        started_at: UTC.
        ended_at: UTC.
        parts: By component and method.
        segments: The same energy by time, dense from `started_at` to `ended_at`.
        tool: What read it, with its version: `codecarbon 3.3.2`, or `site power`.
        note: What a reader must know: why nothing could be measured, what was assumed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    started_at: Moment
    ended_at: Moment
    parts: tuple[EnergyPart, ...]
    segments: tuple[EnergySegment, ...]
    tool: str
    note: str = ""

    @property
    def energy_kwh(self) -> float:
        """The whole, kWh."""
        return sum(part.energy_kwh for part in self.parts)

    @property
    def measured_kwh(self) -> float:
        """What counters said, kWh."""
        return sum(part.energy_kwh for part in self.parts if part.method.measured)

    @property
    def estimated_kwh(self) -> float:
        """What models said, kWh."""
        return self.energy_kwh - self.measured_kwh

    @property
    def methods(self) -> str:
        """For people: `rapl + ram-model`."""
        return " + ".join(dict.fromkeys(part.method.value for part in self.parts))
