"""A site: a work pool with where it stands, what it draws and how fast it is."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from carbon_policy.domain.errors import InvalidInputError


class Tier(StrEnum):
    """`fast` runs at full speed; `eco` has constrained resources."""

    FAST = "fast"
    ECO = "eco"


def check_ceiling(dirty_gco2_per_kwh: float | None, dirty_capacity: int | None) -> None:
    """Refuse one half of a carbon-dependent ceiling.

    Raises:
        InvalidInputError: One is given without the other.
    """
    if (dirty_gco2_per_kwh is None) != (dirty_capacity is None):
        raise InvalidInputError("dirty_gco2_per_kwh and dirty_capacity belong together; give both or none.")


class Site(BaseModel):
    """A work pool with its zone, tier, power and speed.

    Attributes:
        name: What people and decisions call it.
        work_pool: The Prefect work pool that a job placed here goes to.
        tier: `fast` or `eco`.
        zone: The grid it draws from, as Electricity Maps' key.
        power_w: What one running job draws here, watts, before PUE.
        idle_power_w: What is drawn for the job whether it computes or not (its share of the idle machine), watts;
            part of `power_w`.
        speed: Work done per unit of time relative to the reference site (1.0). An eco site at 0.5 takes twice as long.
        pue: Power usage effectiveness of the building: energy drawn per energy used, at least 1.
        price_per_kwh: Money per kWh, for display and budgets.
        enabled: A disabled site is never chosen.
        price_per_hour: Money per hour of one job there, beside its energy.
        kind: What it is, for people: `edge`, `cloud`, `gpu`.
        cpus: Cores that one job can have there; `None` where nobody said.
        memory_gb: Memory that one job can have there, GB.
        gpus: GPUs that one job can have there.
        latency_ms: Time to reach it, ms.
        capacity: Jobs that it runs at once; `None` for no limit.
        availability: The share of time in which it can be used.
        priority: How much the team prefers it, 0 to 1.
        dirty_gco2_per_kwh: From this intensity on `fleet` plans at most `dirty_capacity` jobs at once there.
        dirty_capacity: That many; given with `dirty_gco2_per_kwh`, or not at all. It yields to deadlines.
        free: Jobs that it can take now, as the work pool reports; `None` where it has no limit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    work_pool: str = Field(min_length=1)
    tier: Tier
    zone: str = Field(min_length=1)
    power_w: float = Field(gt=0, le=1e6)
    idle_power_w: float = Field(default=0.0, ge=0, le=1e6)
    speed: float = Field(default=1.0, gt=0, le=100)
    pue: float = Field(default=1.0, ge=1, le=5)
    price_per_kwh: float | None = Field(default=None, ge=0)
    enabled: bool = True
    price_per_hour: float | None = Field(default=None, ge=0)
    kind: str | None = None
    cpus: float | None = Field(default=None, gt=0)
    memory_gb: float | None = Field(default=None, gt=0)
    gpus: int | None = Field(default=None, ge=0)
    latency_ms: float | None = Field(default=None, ge=0)
    capacity: int | None = Field(default=None, ge=1)
    availability: float = Field(default=1.0, ge=0, le=1)
    priority: float = Field(default=0.5, ge=0, le=1)
    dirty_gco2_per_kwh: float | None = Field(default=None, ge=0)
    dirty_capacity: int | None = Field(default=None, ge=0)
    free: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _has_a_whole_ceiling(self) -> Self:
        check_ceiling(self.dirty_gco2_per_kwh, self.dirty_capacity)
        return self

    def ceiling(self, gco2_per_kwh: float) -> int | None:
        """Jobs that are planned at once under an intensity, g/kWh; `None` where it sets no limit."""
        dirty = self.dirty_gco2_per_kwh is not None and gco2_per_kwh >= self.dirty_gco2_per_kwh
        return self.dirty_capacity if dirty else None

    def cost(self, energy_kwh: float, hours: float) -> float | None:
        """Money for so much energy, PUE included, and so many hours of a job; `None` where the site has no prices."""
        if self.price_per_kwh is None and self.price_per_hour is None:
            return None
        return energy_kwh * (self.price_per_kwh or 0.0) + hours * (self.price_per_hour or 0.0)

    @property
    def drawn_kw(self) -> float:
        """What a running job makes the building draw, kW, PUE included."""
        return self.power_w * self.pue / 1000
