"""Series as hours counted from 1970, so that what was said and what came to be can be laid side by side."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from carbon_policy.domain.errors import InvalidInputError
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.forecasting.features import HORIZON_H
from carbon_policy.forecasting.hourly import Floats, HourlyHistory

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def hour_of(moment: datetime) -> int:
    """The hour that contains a moment, counted from 1970."""
    return int((moment - _EPOCH) // timedelta(hours=1))


class Hours:
    """Hourly means of a series, and NaN where it does not say."""

    def __init__(self, series: IntensitySeries) -> None:
        try:
            hourly = HourlyHistory.of(series)
            self._first, self._values = hourly.first_hour, hourly.values_gco2_per_kwh
        except InvalidInputError:
            self._first, self._values = 0, np.empty(0)

    def from_hour(self, hour: int) -> Floats:
        """A week of hours from one on."""
        index = hour - self._first + np.arange(HORIZON_H)
        known = (index >= 0) & (index < len(self._values))
        values = np.full(HORIZON_H, np.nan)
        values[known] = self._values[index[known]]
        return values
