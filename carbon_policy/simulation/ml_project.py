"""The machine-learning project of "Let's Wait Awhile" (Wiesner et al., Middleware 2021), for any year.

Jobs of 4 to 89.5 h arrive on workdays between 9:00 and 16:30; each is to be done by a moment that depends on when it
would have been done at once. Follows the published rules of dos-group/lets-wait-awhile (5e0d155); no code is taken.
"""

from __future__ import annotations

from datetime import date, timedelta
from enum import StrEnum

import numpy as np

from carbon_policy.forecasting.hourly import Ints
from carbon_policy.simulation.workload import Workload, workload

JOBS = 3387
POWER_KW = 2.0366
"""Eight GPUs of the paper's StyleGAN2-ADA project."""

SLOTS_PER_HOUR = 2
_DAY = 24 * SLOTS_PER_HOUR
_OPENS, _CLOSES = 9 * SLOTS_PER_HOUR, 17 * SLOTS_PER_HOUR
_SHORTEST, _LONGEST = 4 * SLOTS_PER_HOUR, 90 * SLOTS_PER_HOUR
_MONDAY, _THURSDAY, _SATURDAY, _SUNDAY = 0, 3, 5, 6


class Deadline(StrEnum):
    """By when a job is to be done: the next morning at work, or the next Monday or Thursday morning."""

    NEXT_WORKDAY = "next-workday"
    SEMI_WEEKLY = "semi-weekly"


def ml_project(year: int, deadline: Deadline, *, as_published: bool = True, jobs: int = JOBS) -> Workload:
    """The project's jobs in half-hour slots from the year's first.

    Args:
        year: In which they arrive; with 2020 they are the paper's own.
        deadline: The rule.
        as_published: With the published code's quirks: the window ends a slot after the deadline, and a job that
            would be done on a Friday evening is to be done on Saturday at 9:00. Without them it is Monday at 9:00.
        jobs: How many.
    """
    first = date(year, 1, 1)
    days = (date(year + 1, 1, 1) - first).days
    workdays = [day for day in range(days) if (first + timedelta(days=day)).weekday() < _SATURDAY]
    # The published generator's calls in their order, so that its seed gives its jobs.
    rng = np.random.default_rng(0)
    counts = rng.multinomial(jobs, [1 / len(workdays)] * len(workdays))
    arrivals = [
        day * _DAY + np.sort(rng.choice(np.arange(_OPENS, _CLOSES), size=count))
        for day, count in zip(workdays, counts, strict=True)
    ]
    arrival = np.concatenate(arrivals)
    length = rng.choice(np.arange(_SHORTEST, _LONGEST), size=jobs)
    done = arrival + length
    wanted = _wanted(done, first.weekday(), deadline, friday_to_saturday=as_published)
    extra = 1 if as_published else 0
    return workload(arrival, length, wanted - length + extra, np.full(jobs, POWER_KW))


def _wanted(done: Ints, first_weekday: int, deadline: Deadline, *, friday_to_saturday: bool) -> Ints:
    """The slot by whose start a job that would be done at `done` is to be done."""
    day, time = np.divmod(done, _DAY)
    weekday = (first_weekday + day) % 7
    morning = day * _DAY + _OPENS
    if deadline is Deadline.SEMI_WEEKLY:
        late = time > _OPENS
        to_thursday = (
            ((weekday == _MONDAY) & late)
            | ((weekday > _MONDAY) & (weekday < _THURSDAY))
            | ((weekday == _THURSDAY) & ~late)
        )
        ahead = np.where(to_thursday, _THURSDAY - weekday, -weekday % 7)
        return np.asarray(morning + ahead * _DAY)
    wanted = np.where(time < _OPENS, morning, np.where(time > _CLOSES, morning + _DAY, done))
    wanted = np.where(weekday == _SATURDAY, morning + 2 * _DAY, wanted)
    wanted = np.where(weekday == _SUNDAY, morning + _DAY, wanted)
    if not friday_to_saturday:
        on_saturday = (weekday == _SATURDAY - 1) & (time > _CLOSES)
        wanted = np.where(on_saturday, morning + 3 * _DAY, wanted)
    return np.asarray(wanted)
