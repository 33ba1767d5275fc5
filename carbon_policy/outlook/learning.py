"""How much of a blend is each provider's: learnt from its past issues beside our own of the same hours."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from carbon_policy.domain.errors import InvalidInputError
from carbon_policy.domain.signal import IntensitySeries, Labels
from carbon_policy.forecasting.blend import learn_weights
from carbon_policy.forecasting.features import HORIZON_H
from carbon_policy.forecasting.forecaster import SOURCE
from carbon_policy.forecasting.hourly import Floats, HourlyHistory
from carbon_policy.forecasting.level import LOOKS_BACK_H, on_measured_level
from carbon_policy.outlook.expected import weights_key
from carbon_policy.outlook.stored import BRIDGED

if TYPE_CHECKING:
    from carbon_policy.store.history import History

LEARNT_FROM = timedelta(days=60)
"""How far back a provider's issues say how it errs."""

_HOUR = timedelta(hours=1)
_EVERY_H = 3
_FEWEST = 4
_EVERY = _EVERY_H * _HOUR
_OWN_OLDER_H = 3
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def learn(zone: str, now: datetime, provider: str, labels: Labels, history: History) -> bool:
    """Note a provider's share; False where there is nothing to learn from.

    A provider is judged as it is used: its issue is first put on the level that had been measured by then.

    Args:
        zone: Electricity Maps' key.
        now: UTC.
        provider: The source of its series.
        labels: The kind of number; another kind of the same source is learnt apart.
        history: The store.
    """
    since = now - LEARNT_FROM
    theirs = history.forecasts(zone, since, now, source=provider, labels=labels, every=_EVERY)
    ours = history.forecasts(zone, since - _EVERY, now, source=SOURCE, labels=labels, every=_EVERY / 3)
    measured = history.measured(zone, since, now, source=provider, labels=labels, bridge=BRIDGED)
    if not theirs or not ours or measured is None:
        return False
    truth = _Hours(measured)
    own_by_start = {_hour(issue.series.start): _Hours(issue.series) for issue in ours}
    rows: list[tuple[Floats, Floats, Floats]] = []
    residuals: deque[float] = deque(maxlen=LOOKS_BACK_H // _EVERY_H)
    for issue in theirs:
        said = _Hours(issue.series)
        first = _hour(issue.series.start)
        own = next(
            (own_by_start[first - h] for h in range(_OWN_OLDER_H + 1) if first - h in own_by_start), None
        )
        if own is not None:
            values = said.from_hour(first)
            if residuals:
                values = on_measured_level(
                    values, np.array(residuals), residual_h=_EVERY / _HOUR, step_h=1.0, has_the_news=True
                )
            came = truth.from_hour(first)
            if np.isfinite(came).any():
                rows.append((own.from_hour(first), values, came))
        # How far off it was until the next issue; by then it is measured.
        off = truth.from_hour(first)[:_EVERY_H] - said.from_hour(first)[:_EVERY_H]
        if np.isfinite(off).any():
            residuals.append(float(np.nanmean(off)))
    if len(rows) < _FEWEST:
        # What was learnt before stands.
        return False
    own_rows, their_rows, truths = (np.array(column) for column in zip(*rows, strict=True))
    weights = learn_weights(own_rows, their_rows, truths)
    history.note(
        zone, weights_key(provider, labels), {"provider": [round(float(w), 3) for w in weights.provider]}
    )
    return True


def _hour(moment: datetime) -> int:
    """The hour that contains a moment, counted from 1970."""
    return int((moment - _EPOCH) // timedelta(hours=1))


class _Hours:
    """Hourly means of a series, and NaN where it does not say."""

    def __init__(self, series: IntensitySeries) -> None:
        try:
            hourly = HourlyHistory.of(series)
            self._first, self._values = hourly.first_hour, hourly.values_gco2_per_kwh
        except InvalidInputError:
            self._first, self._values = 0, np.empty(0)

    def at(self, hour: int) -> float:
        """The mean of one hour."""
        index = hour - self._first
        return float(self._values[index]) if 0 <= index < len(self._values) else float("nan")

    def from_hour(self, hour: int) -> Floats:
        """A week of hours from one on."""
        index = hour - self._first + np.arange(HORIZON_H)
        known = (index >= 0) & (index < len(self._values))
        values = np.full(HORIZON_H, np.nan)
        values[known] = self._values[index[known]]
        return values
