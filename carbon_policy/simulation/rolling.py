"""Plans that are looked at again: ours, and with no second look the interrupting rule of Let's Wait Awhile."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from carbon_policy.domain.decision import PolicySettings
from carbon_policy.forecasting.hourly import Floats
from carbon_policy.policies.replan import margin_of_change, worth_a_change
from carbon_policy.policies.slices import greenest_slices
from carbon_policy.simulation.policies import first_lowest, window_sums
from carbon_policy.simulation.world import Placement, World, without_a_break

_MARGIN = PolicySettings().replan_margin


@dataclass(frozen=True)
class Rolling:
    """A window without a break, planned at arrival and again while the job waits.

    Attributes:
        name: In tables.
        every_h: How often it is planned again; `None` for never.
        wait_cost_per_hour: The share of the job's grams at once that an hour of waiting must save.
        wait_cost_per_running_hour: The share of one running hour's grams at once that an hour of waiting must save:
            one price of time for all jobs, so that long ones wait where short ones, which save little, do not.
        margin: A plan is changed only for a saving of at least this share of its grams, as `replan_margin` says.
        skill: Share of the possible saving that following the zone's forecasts has kept: the margin of a change to
            another later start is divided by it, and at 0 or less there is none; a start now is known, not forecast.
    """

    name: str = "ours"
    every_h: int | None = 1
    wait_cost_per_hour: float = 0.0
    wait_cost_per_running_hour: float = 0.0
    margin: float = _MARGIN
    skill: float = 1.0

    def place(self, world: World) -> Placement:
        """Job by job, from its arrival to its start."""
        jobs = world.jobs
        start = np.empty(len(jobs), dtype=np.int64)
        for job in range(len(jobs)):
            start[job] = self._start(
                world, int(jobs.arrival[job]), int(jobs.latest_start[job]), int(jobs.expected_length[job])
            )
        return without_a_break(world, start)

    def _start(self, world: World, arrival: int, latest: int, length: int) -> int:
        every = self.every_h * world.slots_per_hour if self.every_h else None
        now, plan = arrival, None
        while now < latest:
            score = self._score(world, now, latest - now, length)
            best = now + first_lowest(score)
            if plan is None or self._worth_it(score[best - now], score[plan - now], now_is_best=best == now):
                plan = best
            after = latest if every is None else (now // every + 1) * every
            if plan < after:
                return plan
            now = after
        return latest

    def _score(self, world: World, now: int, margin: int, length: int) -> Floats:
        """Grams of each start, and what its wait is charged."""
        sums = window_sums(world.seen(now, margin + length), margin, length)
        per_slot = self.wait_cost_per_hour / world.slots_per_hour + self.wait_cost_per_running_hour / length
        return np.asarray(sums + per_slot * sums[0] * np.arange(margin + 1)) if per_slot else sums

    def _worth_it(self, best: float, planned: float, *, now_is_best: bool) -> bool:
        margin = margin_of_change(self.margin, self.skill, now=now_is_best)
        return margin is not None and worth_a_change(best, planned, margin)


@dataclass(frozen=True)
class RollingSlices:
    """The greenest slices of a job that may be interrupted, planned at arrival and again until it is done.

    Stops and restarts are free, as in Let's Wait Awhile: then the lowest slots are as green as what the product's
    `carbon_policy.policies.slices.plan_slices` finds.

    It believes the point forecast. On 2022 (DE, GB, FR, US-CAL-CISO; semi-weekly deadlines) nothing cleverer kept more
    of the oracle's saving in all zones. To run now if this hour is below the mean, over past errors, of the slot that
    it would displace lost up to 4 points, with half of the errors up to 1; to favour now by 2 % lost 1; to shrink the
    forecast towards the zone's level, or to sharpen it, lost 1 to 2. A look every hour is what gains.

    Attributes:
        name: In tables.
        every_h: How often it is planned again; `None` for never.
    """

    name: str = "ours, interrupting"
    every_h: int | None = 1

    def place(self, world: World) -> Placement:
        """Hour by hour, all jobs that have arrived and are not done."""
        jobs = world.jobs
        left, finish = jobs.length.copy(), jobs.arrival.copy()
        summed = np.zeros(len(jobs))
        running = np.zeros(len(world.actual), dtype=np.int64)
        order = np.argsort(jobs.arrival, kind="stable")
        every = self.every_h * world.slots_per_hour if self.every_h else None
        plans: dict[int, tuple[int, np.ndarray]] = {}
        arrived, now = 0, int(jobs.arrival.min())
        while arrived < len(jobs) or plans:
            if every is not None and now % every == 0:
                plans |= _planned(world, list(plans), now, left)
            new = []
            while arrived < len(jobs) and jobs.arrival[order[arrived]] <= now:
                new.append(int(order[arrived]))
                arrived += 1
            plans |= _planned(world, new, now, left)
            going = np.array([job for job, (since, mask) in plans.items() if mask[now - since]], dtype=int)
            summed[going] += world.actual[now]
            left[going] -= 1
            finish[going] = now + 1
            running[now] = len(going)
            for job in going[left[going] == 0]:
                del plans[int(job)]
            now += 1
            if not plans and arrived < len(jobs):
                now = max(now, int(jobs.arrival[order[arrived]]))
        return Placement(summed * jobs.power_kw / world.slots_per_hour, finish, running)


def _planned(world: World, jobs: list[int], now: int, left: np.ndarray) -> dict[int, tuple[int, np.ndarray]]:
    """Each job's slices from now on; jobs with the same deadline and as much work left have the same."""
    known: dict[tuple[int, int], np.ndarray] = {}
    plans = {}
    ends = world.jobs.latest_finish
    for job in jobs:
        what = (int(ends[job]), int(left[job]))
        if what not in known:
            known[what] = greenest_slices(world.outlook.at(now, what[0] - now), what[1])
        plans[job] = (now, known[what])
    return plans


WAIT_AWHILE_INTERRUPTING = RollingSlices("Let's Wait Awhile, interrupting", every_h=None)
"""The lowest slots by the forecast at arrival, stops and restarts free (Wiesner et al., Middleware 2021)."""
