"""A zone's history as the forecaster sees it: one value an hour."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from carbon_policy.domain.errors import InvalidInputError
from carbon_policy.domain.signal import IntensitySeries

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

HOUR = timedelta(hours=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class HourlyHistory:
    """Consecutive hourly means.

    Attributes:
        first_hour: Of the first value, hours since 1970-01-01T00Z.
        values_gco2_per_kwh: One an hour, shape (hours,), finite.
    """

    first_hour: int
    values_gco2_per_kwh: Floats

    @classmethod
    def of(cls, series: IntensitySeries, newest_h: int | None = None) -> HourlyHistory:
        """The full hours of a series, or the newest of them; finer slots are averaged.

        Raises:
            InvalidInputError: Its slots are longer than an hour, or do not fill one evenly, or no hour is full.
        """
        if series.step > HOUR or HOUR % series.step:
            raise InvalidInputError(
                f"A forecast needs slots that fill an hour evenly; those of {series.source} are {series.step}:"
                " give 60, 30, 15 or 5 minutes."
            )
        slots = HOUR // series.step
        late = (series.start - _EPOCH) % HOUR
        if late % series.step:
            raise InvalidInputError(
                f"{series.source} has slots that straddle the hour; give slots that begin on it."
            )
        skip = ((HOUR - late) % HOUR) // series.step
        hours = (len(series.values_gco2_per_kwh) - skip) // slots
        if hours < 1:
            raise InvalidInputError(f"{series.source} has not one full hour of {series.zone}.")
        first = (series.start + skip * series.step - _EPOCH) // HOUR
        # Dropped before they are converted: of years of a tuple, that would take as long as a forecast.
        dropped = max(0, hours - newest_h) if newest_h else 0
        wanted = series.values_gco2_per_kwh[skip + dropped * slots : skip + hours * slots]
        values = np.asarray(wanted, dtype=np.float64).reshape(hours - dropped, slots)
        return cls(first + dropped, values.mean(axis=1))

    def __len__(self) -> int:
        return len(self.values_gco2_per_kwh)

    @property
    def end(self) -> datetime:
        """The end of the last hour, UTC: the moment a forecast is issued at."""
        return _EPOCH + (self.first_hour + len(self)) * HOUR

    def last(self, hours: int) -> HourlyHistory:
        """The newest hours of it."""
        dropped = max(0, len(self) - hours)
        return HourlyHistory(self.first_hour + dropped, self.values_gco2_per_kwh[dropped:])

    def first(self, hours: int) -> HourlyHistory:
        """The oldest hours of it."""
        return HourlyHistory(self.first_hour, self.values_gco2_per_kwh[:hours])
