"""A simulated world: jobs, the grid as it was, and what was known of it; and what became of the jobs in it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from carbon_policy.domain.errors import InvalidInputError
from carbon_policy.forecasting.hourly import Floats, Ints
from carbon_policy.simulation.outlook import Outlook
from carbon_policy.simulation.workload import Workload


@dataclass(frozen=True)
class World:
    """What a policy is tried in.

    Attributes:
        jobs: To be placed.
        actual: g/kWh, one a slot, shape `(slots,)`; it reaches to the last latest finish.
        slots_per_hour: A divisor of 60.
        outlook: What is known of it, and when.
    """

    jobs: Workload
    actual: Floats
    slots_per_hour: int
    outlook: Outlook

    def __post_init__(self) -> None:
        needed = int(self.jobs.latest_finish.max())
        if needed > len(self.actual):
            raise InvalidInputError(
                f"The trace ends after {len(self.actual) / self.slots_per_hour:g} h, and the last job may run until"
                f" {needed / self.slots_per_hour:g} h after its start; give a longer trace, or fewer jobs."
            )

    @cached_property
    def cumulative(self) -> Floats:
        """The sum of the intensities before each slot, shape `(slots + 1,)`."""
        return np.concatenate([[0.0], np.cumsum(self.actual)])

    def seen(self, slot: int, slots: int) -> Floats:
        """What the outlook shows from a slot on, g/kWh, shape `(slots,)`.

        A length that is only believed may reach past the trace's end; there its last value stands in.
        """
        seen = self.outlook.at(slot, slots)
        return seen if len(seen) == slots else np.pad(seen, (0, slots - len(seen)), mode="edge")


@dataclass(frozen=True)
class Placement:
    """When each job ran.

    Attributes:
        gco2: Grams of each job, shape `(jobs,)`.
        finish: Slot by whose start each was done, shape `(jobs,)`.
        running: Jobs that ran in each slot, shape `(slots,)`.
    """

    gco2: Floats
    finish: Ints
    running: Ints


def without_a_break(world: World, start: Ints) -> Placement:
    """Jobs that run from a slot on until they are done."""
    jobs = world.jobs
    finish = start + jobs.length
    gco2 = (world.cumulative[finish] - world.cumulative[start]) * jobs.power_kw / world.slots_per_hour
    changes = np.zeros(len(world.actual) + 1, dtype=np.int64)
    np.add.at(changes, start, 1)
    np.add.at(changes, finish, -1)
    return Placement(gco2, finish, np.cumsum(changes)[:-1])


@dataclass(frozen=True)
class Outcome:
    """What a policy came to.

    Attributes:
        policy: Its name.
        outlook: What it knew.
        gco2: Grams in all.
        saving: Share saved against running at once; negative where it cost more.
        oracle_share: Share of the oracle's saving; NaN where there was nothing to save.
        wait_h: Mean time from arrival to completion beyond the running time, h.
        completion_h: Mean time from arrival to completion, h.
        missed: Jobs that were not done by their latest finish.
        peak_running: Most jobs that ran in one slot.
    """

    policy: str
    outlook: str
    gco2: float
    saving: float
    oracle_share: float
    wait_h: float
    completion_h: float
    missed: int
    peak_running: int


def outcome(name: str, world: World, placed: Placement, at_once: float, oracle: float) -> Outcome:
    """The figures of a placement.

    Args:
        name: Of the policy.
        world: In which it placed the jobs.
        placed: What it did.
        at_once: Grams of running at once.
        oracle: Grams of the best that perfect knowledge could do.
    """
    jobs, gco2 = world.jobs, float(placed.gco2.sum())
    completion_h = (placed.finish - jobs.arrival) / world.slots_per_hour
    possible = at_once - oracle
    return Outcome(
        policy=name,
        outlook=world.outlook.name,
        gco2=gco2,
        saving=1 - gco2 / at_once if at_once > 0 else 0.0,
        oracle_share=(at_once - gco2) / possible if possible > 1e-9 * at_once else float("nan"),
        wait_h=float((completion_h - jobs.length / world.slots_per_hour).mean()),
        completion_h=float(completion_h.mean()),
        missed=int((placed.finish > jobs.latest_finish).sum()),
        peak_running=int(placed.running.max()),
    )
