"""The rules of the field, as published: each job's start is fixed when it arrives.

Every rule sees what the outlook shows in the slot of the arrival, and believes the expected length of a job.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from carbon_policy.forecasting.hourly import Floats
from carbon_policy.simulation.world import Placement, World, without_a_break


class Policy(Protocol):
    """A rule that places jobs."""

    @property
    def name(self) -> str:
        """What it is called in tables."""

    def place(self, world: World) -> Placement:
        """When each job runs."""


class _Rule(Protocol):
    def __call__(self, seen: Floats, margin: int, length: int, slots_per_hour: int) -> int: ...


@dataclass(frozen=True)
class RunNow:
    """At once; what all savings are measured against."""

    name: str = "run now"

    def place(self, world: World) -> Placement:
        """Each job starts where it arrives."""
        return without_a_break(world, world.jobs.arrival)


@dataclass(frozen=True)
class Fixed:
    """A start that is chosen at arrival and never again.

    Attributes:
        name: Of the rule.
        rule: From what is seen (g/kWh, from the arrival on, as far as any start in the margin may need), the slots
            that the start may wait, the expected length in slots and the slots an hour: the slots to wait.
    """

    name: str
    rule: _Rule

    def place(self, world: World) -> Placement:
        """The rule, job by job."""
        jobs = world.jobs
        start = jobs.arrival.copy()
        margins = jobs.latest_start - jobs.arrival
        for job in np.flatnonzero(margins):
            arrival, margin, length = int(start[job]), int(margins[job]), int(jobs.expected_length[job])
            seen = world.seen(arrival, margin + length)
            start[job] = arrival + self.rule(seen, margin, length, world.slots_per_hour)
        return without_a_break(world, start)


def window_sums(seen: Floats, margin: int, length: int) -> Floats:
    """The sum over a window of `length` slots for each start from 0 to `margin`, shape `(margin + 1,)`."""
    cumulative = np.concatenate([[0.0], np.cumsum(seen)])
    sums: Floats = cumulative[length : length + margin + 1] - cumulative[: margin + 1]
    return sums


def first_lowest(values: Floats) -> int:
    """The earliest of the lowest, where sums that ought to be equal differ by a rounding."""
    lowest = values.min()
    return int(np.argmax(values <= lowest + 1e-12 * abs(lowest)))


def _lowest_slot(seen: Floats, margin: int, length: int, slots_per_hour: int) -> int:
    del length, slots_per_hour
    return first_lowest(seen[: margin + 1])


def _best_window(seen: Floats, margin: int, length: int, slots_per_hour: int) -> int:
    del slots_per_hour
    return first_lowest(window_sums(seen, margin, length))


def _hourly_window(seen: Floats, margin: int, length: int, slots_per_hour: int) -> int:
    return slots_per_hour * first_lowest(window_sums(seen, margin, length)[::slots_per_hour])


def _carbon_time(seen: Floats, margin: int, length: int, slots_per_hour: int) -> int:
    sums = window_sums(seen, margin, length)[::slots_per_hour]
    completion = slots_per_hour * np.arange(len(sums)) + length
    return slots_per_hour * int(((sums[0] - sums) / completion).argmax())


LOWEST_SLOT = Fixed("lowest slot (JobRunr)", _lowest_slot)
"""The single lowest slot in the margin, whatever the duration (JobRunr 8, `lowestCarbonIntensityInstant`)."""

BEST_WINDOW = Fixed("best fixed window (CATS, Carbon Aware SDK)", _best_window)
"""The lowest mean over the expected duration (CATS; Carbon Aware SDK with `windowSize`)."""

WAIT_AWHILE = Fixed("Let's Wait Awhile, non-interrupting", _best_window)
"""The same rule, as Wiesner et al. (Middleware 2021) state it for jobs that cannot be interrupted."""

GAIA_LOWEST_WINDOW = Fixed("GAIA Lowest-Window", _hourly_window)
"""The lowest window of the queue's average length, starts an hour apart (Hanafy et al., GAIA, ASPLOS 2024)."""

GAIA_CARBON_TIME = Fixed("GAIA Carbon-Time", _carbon_time)
"""The most carbon saved per time to completion, with the queue's average length (GAIA, ASPLOS 2024)."""


@dataclass(frozen=True)
class Threshold:
    """Starts in the first slot whose intensity is low, or when the margin ends.

    Attributes:
        low_quantile: Share of the last week, of what was measured, that counts as low.
        name: In tables.
    """

    low_quantile: float = 0.33
    name: str = "threshold"

    def place(self, world: World) -> Placement:
        """Looks only back and at the current slot, so it needs no forecast."""
        jobs, week = world.jobs, 7 * 24 * world.slots_per_hour
        low: dict[int, bool] = {}
        start = jobs.latest_start.copy()
        for job, (arrival, latest) in enumerate(zip(jobs.arrival, jobs.latest_start, strict=True)):
            for slot in range(int(arrival), int(latest)):
                if slot not in low:
                    past = world.actual[max(0, slot - week) : slot + 1]
                    low[slot] = bool(world.actual[slot] <= np.quantile(past, self.low_quantile))
                if low[slot]:
                    start[job] = slot
                    break
        return without_a_break(world, start)
