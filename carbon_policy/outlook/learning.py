"""How much of a blend is each provider's: learnt from its past issues beside our own of the same hours."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from carbon_policy.domain.signal import Labels
from carbon_policy.forecasting.blend import learn_weights
from carbon_policy.forecasting.forecaster import SOURCE
from carbon_policy.forecasting.hourly import Floats, Ints
from carbon_policy.forecasting.level import LOOKS_BACK_H, on_measured_level
from carbon_policy.outlook.expected import weights_key
from carbon_policy.outlook.hours import Hours, hour_of
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


@dataclass(frozen=True)
class PastIssues:
    """What was said of the same hours by both, and what came to be; each of shape (issues, 168).

    Attributes:
        hours: The hour of each issue, counted from 1970.
        own: Our own forecasts, g/kWh.
        provider: The provider's, on the level that had been measured by then; NaN where it said nothing.
        truth: What was measured; NaN where it is not known yet.
    """

    hours: Ints
    own: Floats
    provider: Floats
    truth: Floats


def learn(zone: str, provider: str, labels: Labels, past: PastIssues | None, history: History) -> bool:
    """Note a provider's share; False where there is nothing to learn from.

    A provider is judged as it is used: its issue is first put on the level that had been measured by then.

    Args:
        zone: Electricity Maps' key.
        provider: The source of its series.
        labels: The kind of number; another kind of the same source is learnt apart.
        past: Its `past_issues`.
        history: The store.
    """
    if past is None or len(past.hours) < _FEWEST:
        # What was learnt before stands.
        return False
    weights = learn_weights(past.own, past.provider, past.truth)
    history.note(
        zone, weights_key(provider, labels), {"provider": [round(float(w), 3) for w in weights.provider]}
    )
    return True


def past_issues(
    zone: str, now: datetime, provider: str, labels: Labels, history: History
) -> PastIssues | None:
    """A provider's stored issues of the last weeks beside our own; `None` where there are none of both.

    Args:
        zone: Electricity Maps' key.
        now: UTC.
        provider: The source of its series.
        labels: The kind of number.
        history: The store.
    """
    since = now - LEARNT_FROM
    theirs = history.forecasts(zone, since, now, source=provider, labels=labels, every=_EVERY)
    ours = history.forecasts(zone, since - _EVERY, now, source=SOURCE, labels=labels, every=_EVERY / 3)
    measured = history.measured(zone, since, now, source=provider, labels=labels, bridge=BRIDGED)
    if not theirs or not ours or measured is None:
        return None
    truth = Hours(measured)
    own_by_start = {hour_of(issue.series.start): Hours(issue.series) for issue in ours}
    rows: list[tuple[int, Floats, Floats, Floats]] = []
    residuals: deque[float] = deque(maxlen=LOOKS_BACK_H // _EVERY_H)
    for issue in theirs:
        said = Hours(issue.series)
        first = hour_of(issue.series.start)
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
                rows.append((first, own.from_hour(first), values, came))
        # How far off it was until the next issue; by then it is measured.
        off = truth.from_hour(first)[:_EVERY_H] - said.from_hour(first)[:_EVERY_H]
        if np.isfinite(off).any():
            residuals.append(float(np.nanmean(off)))
    if not rows:
        return None
    hours, own_rows, their_rows, truths = (np.array(column) for column in zip(*rows, strict=True))
    return PastIssues(hours, own_rows, their_rows, truths)
