"""Past runs in the grid as it was, under each policy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from carbon_policy.cli.replay_grid import SLOT, SLOTS_PER_HOUR, PastGrid
from carbon_policy.domain.job import Urgency
from carbon_policy.forecasting.hourly import Floats, Ints
from carbon_policy.orchestration.past_runs import PastRun
from carbon_policy.simulation.outlook import Outlook, Perfect
from carbon_policy.simulation.policies import BEST_WINDOW, Policy, RunNow, Threshold
from carbon_policy.simulation.rolling import Rolling, RollingSlices
from carbon_policy.simulation.workload import Workload
from carbon_policy.simulation.world import Placement, World, without_a_break

AS_IT_WAS, AT_ONCE, THRESHOLD, WINDOW, OURS, ORACLE = (
    "as it was",
    "at once when due",
    "threshold",
    "best fixed window",
    "ours",
    "oracle",
)
NOTHING, EVERYTHING = "–", "perfect knowledge"

Tell = Callable[[float], None]
"""Told which share (0 to 1) is done."""


@dataclass
class Result:
    """What a policy came to.

    Attributes:
        policy: Its name.
        knows: What it knew of the future.
        gco2: Grams of each run, shape (runs,).
        wait_h: From when each was due to its end, beyond its running time, h; shape (runs,).
        running: Slot since 1970 to the runs in it.
    """

    policy: str
    knows: str
    gco2: Floats
    wait_h: Floats
    running: Counter[int] = field(default_factory=Counter)

    @property
    def total_gco2(self) -> float:
        """Grams of all runs."""
        return float(self.gco2.sum())

    @property
    def mean_wait_h(self) -> float:
        """Of all runs, h."""
        return float(self.wait_h.mean())

    @property
    def peak(self) -> int:
        """Most runs at once."""
        return max(self.running.values(), default=0)


@dataclass(frozen=True)
class Part:
    """Runs of one zone that may all be interrupted, or none.

    Attributes:
        index: Which of all runs they are, shape (jobs,).
        jobs: They as jobs.
        started: Slot in which each began in truth, shape (jobs,).
        grid: Of their zone.
        outlook: What would have been known of it.
        interruptible: Whether they may be interrupted.
    """

    index: Ints
    jobs: Workload
    started: Ints
    grid: PastGrid
    outlook: Outlook
    interruptible: bool

    @property
    def world(self) -> World:
        """With what would have been known."""
        return World(self.jobs, self.grid.actual, SLOTS_PER_HOUR, self.outlook)

    @property
    def perfect(self) -> World:
        """With perfect knowledge."""
        return replace(self.world, outlook=Perfect(self.grid.actual))


def fitting(runs: Sequence[PastRun], grids: Mapping[str, PastGrid]) -> list[PastRun]:
    """The runs whose whole window lies in the grid that is known."""
    found = []
    for run in runs:
        grid = grids.get(run.site.zone)
        if grid is None:
            continue
        arrival, length, latest, started = _slots(run, grid)
        if arrival >= 0 and max(latest, started) + length <= len(grid.actual):
            found.append(run)
    return found


def parts_of(
    runs: Sequence[PastRun], grids: Mapping[str, PastGrid], outlooks: Mapping[str, Outlook]
) -> Iterator[Part]:
    """The runs by zone, those that may be interrupted apart."""
    for zone, grid in grids.items():
        for interruptible in (False, True):
            index = [
                number
                for number, run in enumerate(runs)
                if run.site.zone == zone and run.spec.interruptible is interruptible
            ]
            if not index:
                continue
            slots = np.array([_slots(runs[number], grid) for number in index], dtype=np.int64)
            arrival, length, latest, started = slots.T
            energy_kwh = [runs[i].site.drawn_kw * runs[i].duration.total_seconds() / 3600 for i in index]
            # A run that ends within a slot draws the less in its slots, so that its energy is its own.
            power_kw = np.array(energy_kwh) / (length / SLOTS_PER_HOUR)
            jobs = Workload(arrival, length, latest, power_kw, expected_length=length)
            yield Part(np.array(index), jobs, started, grid, outlooks[zone], interruptible)


def _slots(run: PastRun, grid: PastGrid) -> tuple[int, int, int, int]:
    """Of a run: slot of its arrival, slots it takes, last slot in which it may start, slot in which it did."""
    arrival, length = grid.slot(run.submitted_at), -(-run.duration // SLOT)
    latest = run.spec.window(run.submitted_at).latest_start_for(run.duration)
    if latest is None or run.spec.urgency is Urgency.CRITICAL:
        return arrival, length, arrival, grid.slot(run.started_at)
    return arrival, length, max(arrival, grid.slot(latest)), grid.slot(run.started_at)


def replay(parts: Sequence[Part], count: int, tell: Tell = lambda _: None) -> list[Result]:
    """Every policy over all runs, the one that is how it was first.

    Args:
        parts: All runs.
        count: How many runs there are.
        tell: Told how far it is.
    """
    knows = "; ".join(dict.fromkeys(part.outlook.name for part in parts))
    tried: list[tuple[str, str, Callable[[Part], Placement]]] = [
        (AS_IT_WAS, NOTHING, lambda part: without_a_break(part.world, part.started)),
        (AT_ONCE, NOTHING, lambda part: RunNow().place(part.world)),
        (THRESHOLD, NOTHING, lambda part: Threshold().place(part.world)),
        (WINDOW, knows, lambda part: BEST_WINDOW.place(part.world)),
        (OURS, knows, lambda part: _ours(part, 1).place(part.world)),
        (ORACLE, EVERYTHING, lambda part: _ours(part, None).place(part.perfect)),
    ]
    results = []
    for number, (name, known, place) in enumerate(tried):
        result = Result(name, known, np.zeros(count), np.zeros(count))
        for done, part in enumerate(parts):
            tell((number + done / len(parts)) / len(tried))
            _add(result, part, place(part))
        results.append(result)
    return results


def _ours(part: Part, every_h: int | None) -> Policy:
    """What `carbon-policy` plans with: windows, or slices for what may be interrupted."""
    return RollingSlices(every_h=every_h) if part.interruptible else Rolling(every_h=every_h)


def _add(result: Result, part: Part, placed: Placement) -> None:
    result.gco2[part.index] = placed.gco2
    result.wait_h[part.index] = (placed.finish - part.jobs.arrival - part.jobs.length) / SLOTS_PER_HOUR
    first = part.grid.hourly.first_hour * SLOTS_PER_HOUR
    for slot in np.flatnonzero(placed.running):
        result.running[first + int(slot)] += int(placed.running[slot])
