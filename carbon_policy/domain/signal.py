"""Carbon intensity over time: a step function with its provenance."""

from __future__ import annotations

import hashlib
import math
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from carbon_policy.domain.errors import (
    AbsurdSignalError,
    HorizonError,
    InvalidInputError,
)
from carbon_policy.domain.finding import Finding
from carbon_policy.domain.times import Duration, Moment

MAX_GCO2_PER_KWH = 3000.0
"""Above this no power system has ever been: the dirtiest lignite plants emit about 1,200 g/kWh."""


class SignalKind(StrEnum):
    """Average intensity attributes; marginal intensity judges a change. They never mix."""

    AVERAGE = "average"
    MARGINAL = "marginal"


class FactorKind(StrEnum):
    """Which emission factors: combustion at the plant only, or the plant's whole life."""

    DIRECT = "direct"
    LIFE_CYCLE = "life-cycle"


class BasisKind(StrEnum):
    """Whose electricity an average is of: what the zone consumes, imports included, or what it produces."""

    CONSUMPTION = "consumption"
    PRODUCTION = "production"


class Labels(NamedTuple):
    """What kind of number an intensity is. Numbers of different kinds are never compared, mixed or added up.

    Attributes:
        signal: Average or marginal.
        factors: Direct or life-cycle.
        basis: Consumption or production; `None` where the source does not say.
        simulated: True where it is made up.
    """

    signal: SignalKind
    factors: FactorKind
    basis: BasisKind | None
    simulated: bool

    def __str__(self) -> str:
        words = (self.signal, self.factors, self.basis, "simulated" if self.simulated else None)
        return ", ".join(filter(None, words))


class IntensitySeries(BaseModel):
    """Carbon intensity of one zone as a step function of time.

    Slot `k` begins at `start + k * step` and its value holds until the next slot begins. Times are
    UTC. A series is dense: a source that has gaps must say so before it builds one.

    Attributes:
        zone: Electricity Maps' key, such as `DE` or `US-CAL-CISO`.
        start: Start of the first slot, UTC.
        step: Length of every slot.
        values_gco2_per_kwh: One value a slot, gCO2e/kWh.
        source: Who says so: `neso`, `trace day.csv`, `simulated`.
        signal: Average or marginal.
        factors: Direct or life-cycle.
        basis: Of what is consumed or produced in the zone; `None` where the source does not say.
        issued_at: When the forecast was made; `None` for measured history.
        simulated: True where the values were made up by the simulated grid.
        made_from: Of a forecast of our own, the source of the history that it was made from.
        estimated: For each slot, whether the source itself calls its value an estimate; empty where none is.
        provenance: Each step that was taken to get here, in order, one sentence each.
        findings: What was amiss in the source's answer, and what was done about it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    zone: str
    start: Moment
    step: Duration
    values_gco2_per_kwh: tuple[float, ...] = Field(min_length=1)
    source: str
    signal: SignalKind = SignalKind.AVERAGE
    factors: FactorKind = FactorKind.LIFE_CYCLE
    basis: BasisKind | None = None
    issued_at: Moment | None = None
    simulated: bool = False
    made_from: str | None = None
    estimated: tuple[bool, ...] = ()
    provenance: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()

    @model_validator(mode="after")
    def _is_sane(self) -> Self:
        if self.step <= timedelta(0):
            raise InvalidInputError(f"A slot must have a length, and {self.step} is none.")
        for index, value in enumerate(self.values_gco2_per_kwh):
            if not math.isfinite(value) or value < 0 or value > MAX_GCO2_PER_KWH:
                raise AbsurdSignalError(
                    f"{self.source} says {value} g/kWh for {self.zone} at {self.slot_start(index).isoformat()};"
                    f" no grid has that (0 to {MAX_GCO2_PER_KWH:.0f})."
                )
        if self.estimated and len(self.estimated) != len(self.values_gco2_per_kwh):
            raise InvalidInputError(
                f"{len(self.estimated)} flags of estimates for {len(self.values_gco2_per_kwh)} slots; give one each."
            )
        return self

    @property
    def labels(self) -> Labels:
        """What kind of numbers these are."""
        return Labels(self.signal, self.factors, self.basis, self.simulated)

    def slot_start(self, index: int) -> datetime:
        """The start of slot `index`, UTC."""
        return self.start + index * self.step

    @property
    def end(self) -> datetime:
        """The end of the last slot, UTC: the horizon."""
        return self.slot_start(len(self.values_gco2_per_kwh))

    def covers(self, start: datetime, end: datetime) -> bool:
        """Whether the series says something of every moment from `start` to `end`."""
        return self.start <= start and end <= self.end

    def at(self, moment: datetime) -> float:
        """The intensity at a moment, gCO2e/kWh.

        Raises:
            HorizonError: The moment is outside the series.
        """
        if not self.start <= moment < self.end:
            raise HorizonError(
                f"{self.source} covers {self.zone} from {self.start.isoformat()} to {self.end.isoformat()};"
                f" {moment.isoformat()} is outside."
            )
        return self.values_gco2_per_kwh[int((moment - self.start) / self.step)]

    @cached_property
    def cumulative_gh_per_kwh(self) -> tuple[float, ...]:
        """The integral from `start` to each slot's boundary, (g/kWh) x h; one more than there are slots."""
        hours = self.step.total_seconds() / 3600
        return (0.0, *accumulate(value * hours for value in self.values_gco2_per_kwh))

    def integral(self, start: datetime, end: datetime) -> float:
        """The integral of the intensity over time, (g/kWh) x h; times kW it is grams.

        Raises:
            HorizonError: Some of the time is outside the series.
        """
        if not self.covers(start, end):
            raise HorizonError(
                f"{self.source} covers {self.zone} from {self.start.isoformat()} to {self.end.isoformat()};"
                f" {start.isoformat()} to {end.isoformat()} reaches outside."
            )
        return self._integral_to(end) - self._integral_to(start)

    def _integral_to(self, moment: datetime) -> float:
        position = (moment - self.start) / self.step
        index = min(int(position), len(self.values_gco2_per_kwh) - 1)
        hours = (position - index) * self.step.total_seconds() / 3600
        return self.cumulative_gh_per_kwh[index] + self.values_gco2_per_kwh[index] * hours

    def mean(self, start: datetime, end: datetime) -> float:
        """The time-weighted mean intensity from `start` to `end`, gCO2e/kWh; at one moment if they are equal."""
        hours = (end - start).total_seconds() / 3600
        return self.integral(start, end) / hours if hours > 0 else self.at(start)

    def between(self, start: datetime, end: datetime) -> IntensitySeries:
        """The slots that overlap `start` to `end`, with the same provenance.

        Raises:
            HorizonError: None does.
        """
        first = max(0, int((start - self.start) // self.step))
        last = min(len(self.values_gco2_per_kwh), -int(-(end - self.start) // self.step))
        if first >= last:
            raise HorizonError(f"{self.source} says nothing of {self.zone} from {start} to {end}.")
        # Not model_copy: it would carry the cached integrals of the longer series along.
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        fields |= {
            "start": self.slot_start(first),
            "values_gco2_per_kwh": self.values_gco2_per_kwh[first:last],
            "estimated": self.estimated[first:last],
        }
        return IntensitySeries(**fields)

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hex digits that name exactly these values, times and source: the forecast's id."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]


def quantile_gco2_per_kwh(series: IntensitySeries, quantile: float) -> float:
    """The value below which the share `quantile` (0 to 1) of the slots lie, gCO2e/kWh."""
    ordered = sorted(series.values_gco2_per_kwh)
    return ordered[min(len(ordered) - 1, int(quantile * len(ordered)))]
