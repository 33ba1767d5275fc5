"""A zone's mean over a year as a flat outlook: the last thing that is known before nothing is."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NoReturn

from carbon_policy.domain.errors import SourceUnavailableError
from carbon_policy.domain.signal import FactorKind, IntensitySeries, SignalKind
from carbon_policy.domain.times import parse_moment
from carbon_policy.grid.slots import floor
from carbon_policy.grid.source import Capabilities
from carbon_policy.grid.zones import yearly_mean_gco2_per_kwh

_HOUR = timedelta(hours=1)
_HORIZON = timedelta(days=7)


class YearlyMean:
    """The mean year for every hour: no hour looks greener, so nothing waits, and grams have their right size."""

    def capabilities(self) -> Capabilities:
        """What this source can be asked."""
        return Capabilities(
            name="yearly-mean",
            horizon=_HORIZON,
            factors=FactorKind.LIFE_CYCLE,
            flat=True,
            attribution="Our World in Data and Ember, CC BY 4.0.",
        )

    def history(self, _zone: str, _start: datetime, _end: datetime) -> NoReturn:
        """There is none: a mean year measures no hour."""
        raise SourceUnavailableError(
            "a mean year is no measurement of any hour; name a source that measures."
        )

    def forecast(self, zone: str, now: datetime) -> IntensitySeries:
        """The yearly mean, from the hour that contains `now`, UTC, for a week."""
        first = floor(parse_moment(now), _HOUR)
        mean = yearly_mean_gco2_per_kwh(zone)
        return IntensitySeries(
            zone=zone,
            start=first,
            step=_HOUR,
            values_gco2_per_kwh=(mean.gco2_per_kwh,) * (_HORIZON // _HOUR),
            source="yearly-mean",
            signal=SignalKind.AVERAGE,
            factors=FactorKind.LIFE_CYCLE,
            issued_at=first,
            provenance=(mean.sentence(zone), "Of the hours nothing is known, so none looks greener."),
        )
