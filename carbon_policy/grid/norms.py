"""What is normal for a zone: what its measured history says that a value can be."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from typing import Self

from carbon_policy.domain.errors import UnknownZoneError
from carbon_policy.domain.signal import FactorKind, IntensitySeries, Labels, SignalKind
from carbon_policy.grid.zones import yearly_mean_gco2_per_kwh

SHORTEST = timedelta(days=14)
"""Less history than this says too little of what a zone can do."""

_BEYOND = 0.5  # Of the range that was seen: how far outside it a value may still be.
_LEAST_BEYOND_GCO2_PER_KWH = 50.0
_ALL_COAL_GCO2_PER_KWH = 1200.0
_CLEAN_GCO2_PER_KWH = 150.0
_NEARLY_ZERO = 0.02  # Of the mean: a zone that came so low may well come to nought.


@dataclass(frozen=True)
class Norms:
    """Bounds for one zone and one kind of number.

    Attributes:
        lowest_gco2_per_kwh: Below this, a value is a spike.
        highest_gco2_per_kwh: Above this, a value is a spike.
        can_be_zero: Whether the zone's history makes 0 g/kWh believable.
        longest_flat: The longest time for which it held one value.
        says: Where this comes from, for sentences.
    """

    lowest_gco2_per_kwh: float
    highest_gco2_per_kwh: float
    can_be_zero: bool
    longest_flat: timedelta
    says: str

    @classmethod
    def of(cls, history: IntensitySeries) -> Self | None:
        """Of measured history; `None` where that is too short.

        Args:
            history: Of one source; a year if there is one.
        """
        values = history.values_gco2_per_kwh
        if len(values) * history.step < SHORTEST:
            return None
        lowest, highest = min(values), max(values)
        beyond = max(_BEYOND * (highest - lowest), _LEAST_BEYOND_GCO2_PER_KWH)
        mean = sum(values) / len(values)
        return cls(
            lowest_gco2_per_kwh=max(0.0, lowest - beyond),
            highest_gco2_per_kwh=highest + beyond,
            can_be_zero=lowest <= _NEARLY_ZERO * mean,
            longest_flat=longest_flat(history),
            says=f"{lowest:.0f} to {highest:.0f} g/kWh were measured since {history.start:%Y-%m-%d}",
        )

    @classmethod
    def without_history(cls, zone: str, labels: Labels) -> Self | None:
        """What the zone's yearly mean allows, which is much; `None` where that says nothing of it.

        A country's mean says little of a zone inside it, and an average nothing of the margin.
        """
        if labels.signal is not SignalKind.AVERAGE:
            return None
        try:
            table = yearly_mean_gco2_per_kwh(zone)
        except UnknownZoneError:
            return None
        if table.zone != zone:
            return None
        mean = table.gco2_per_kwh
        return cls(
            lowest_gco2_per_kwh=0.0,
            # A clean zone may burn oil for an hour; a dirty one is never five times its mean.
            highest_gco2_per_kwh=max(5 * mean, _ALL_COAL_GCO2_PER_KWH),
            # Every power plant has a life cycle. Of operation alone, a zone of water and wind may come to nought.
            can_be_zero=labels.factors is FactorKind.DIRECT and mean < _CLEAN_GCO2_PER_KWH,
            longest_flat=timedelta(0),
            says=f"its yearly mean is {mean:.0f} g/kWh",
        )


def longest_flat(series: IntensitySeries) -> timedelta:
    """For how long a series holds one value at most."""
    return max(len(list(run)) for _, run in groupby(series.values_gco2_per_kwh)) * series.step
