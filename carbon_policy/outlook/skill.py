"""What following a zone's forecasts has been worth lately: the share of the perfect-foresight saving that was kept.

It is measured on issues that were stored as they were issued, never on hindcasts, so a zone has none before it was
refreshed for two weeks. A provider's issues are mixed with our own by the shares that are noted now; these were learnt
of the same issues, which flatters the mix by a little.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from carbon_policy.domain.signal import IntensitySeries, Labels
from carbon_policy.forecasting.capture import Task, planned_once
from carbon_policy.forecasting.forecaster import SOURCE
from carbon_policy.forecasting.hourly import Floats, Ints
from carbon_policy.outlook.expected import weights_of
from carbon_policy.outlook.hours import Hours, hour_of
from carbon_policy.outlook.learning import LEARNT_FROM, PastIssues
from carbon_policy.outlook.stored import BRIDGED

if TYPE_CHECKING:
    from carbon_policy.store.history import History

TASK = Task(job_h=4, window_h=24)
"""The job that skill is measured with: the one by which `refresh` tells whether a plan would change."""

FEWEST_DAYS = 14
"""A zone with issues of fewer days has no skill yet: weather that lasts a week says little of the next."""

FORGOTTEN = timedelta(days=14)
"""What was measured longer ago says nothing of now."""

_EVERY = timedelta(hours=3)
_MEASURED_EVERY = timedelta(hours=6)


@dataclass(frozen=True)
class Skill:
    """What following a zone's forecasts was worth.

    Attributes:
        share: Of the perfect-foresight saving, at most 1; below 0 where following them cost carbon.
        issues: Of how many issues.
        days: Of how many days.
    """

    share: float
    issues: int
    days: int


def keep_skill(
    zone: str, now: datetime, provider: str, labels: Labels, past: PastIssues | None, history: History
) -> Skill | None:
    """Measure a zone's skill and note it, once in a few hours; `None` where there is too little past, or it is known.

    Args:
        zone: Electricity Maps' key.
        now: UTC.
        provider: The source whose measured values are the truth, and whose forecasts are believed beside our own.
        labels: The kind of number.
        past: The provider's `past_issues`, which take long to read.
        history: The store.
    """
    noted = history.noted_at(zone, _key(labels))
    if noted is not None and timedelta(0) <= now - noted < _MEASURED_EVERY:
        return None
    skill = measured_skill(zone, now, provider, labels, past, history)
    if skill is not None:
        history.note(zone, _key(labels), asdict(skill), noted_at=now)
    return skill


def measured_skill(
    zone: str, now: datetime, provider: str, labels: Labels, past: PastIssues | None, history: History
) -> Skill | None:
    """The skill of what was issued lately; `None` where that is of too few days, or no hour was greener than another.

    Arguments as of `keep_skill`.
    """
    if past is not None:
        weights = weights_of(history, zone, provider, labels)
        skill = _skill(past.hours, weights.blend(past.own, past.provider), past.truth)
        if skill is not None:
            return skill
    return _own_skill(zone, now, provider, labels, history)


def skill_of(history: History, series: IntensitySeries, now: datetime) -> Skill | None:
    """The skill that was noted for an outlook's zone and kind of number; `None` where none was, lately.

    Args:
        history: The store.
        series: The outlook.
        now: UTC.
    """
    key = _key(series.labels)
    noted = history.noted(series.zone, key)
    if noted is None:
        return None
    at = history.noted_at(series.zone, key)
    return Skill(**noted) if at is not None and now - at < FORGOTTEN else None


def _own_skill(zone: str, now: datetime, provider: str, labels: Labels, history: History) -> Skill | None:
    """Of our own issues alone, where the provider has none that could be mixed with them."""
    since = now - LEARNT_FROM
    issues = history.forecasts(zone, since, now, source=SOURCE, labels=labels, every=_EVERY)
    measured = history.measured(zone, since, now, source=provider, labels=labels, bridge=BRIDGED)
    if not issues or measured is None:
        return None
    truth = Hours(measured)
    hours = np.array([hour_of(issue.series.start) for issue in issues])
    said = np.array([Hours(issue.series).from_hour(hour) for issue, hour in zip(issues, hours, strict=True)])
    return _skill(hours, said, np.array([truth.from_hour(hour) for hour in hours]))


def _skill(hours: Ints, said: Floats, came: Floats) -> Skill | None:
    window = slice(0, TASK.window_h)
    whole = np.isfinite(said[:, window]).all(axis=1) & np.isfinite(came[:, window]).all(axis=1)
    days = len(set((hours[whole] // 24).tolist()))
    if days < FEWEST_DAYS:
        return None
    share = planned_once(said[whole], came[whole], TASK).share
    return None if math.isnan(share) else Skill(round(share, 4), int(whole.sum()), days)


def _key(labels: Labels) -> str:
    return f"skill, {labels}"
