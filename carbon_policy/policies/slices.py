"""The greenest slices of an interruptible job: when it runs and when it rests, each break at its price."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from carbon_policy.domain.decision import Slice
from carbon_policy.domain.errors import InvalidInputError
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.policies.slice_search import Bools, Floats, Stretches, fewest_grams

# Each halves what is unknown of the toll, and costs another search.
_TOLLS = 6


@dataclass(frozen=True)
class SlicePlan:
    """When an interruptible job runs.

    Attributes:
        slices: In order, UTC; the time of starting and stopping included.
        gh_per_kwh: The integral of the intensity over all slices, (g/kWh) x h; times kW it is grams.
    """

    slices: tuple[Slice, ...]
    gh_per_kwh: float


def greenest_slices(
    gco2_per_kwh: Floats,
    work_slots: int,
    *,
    stop_slots_cost: float = 0.0,
    restart_slots_cost: float = 0.0,
    shortest_slots: int = 1,
    first_slots_cost: float = 0.0,
    may_start: Bools | None = None,
) -> Bools:
    """The slots in which a job runs so that it emits least, as a mask.

    Stopping and starting again take running time inside the slices: a slice's first `restart_slots_cost` and
    last `stop_slots_cost` slots do no work, but emit. So the useful work is the slots run, less both for every
    break, and it is at least `work_slots`; of the last slot only so much is run, and charged, as is needed.

    Without costs and with slices as short as a slot these are the `work_slots` lowest slots, the earliest of
    equal ones: "Let's Wait Awhile"'s interrupting optimum (Wiesner et al., Middleware 2021).

    Args:
        gco2_per_kwh: One intensity a slot, shape `(slots,)`.
        work_slots: Useful work that is left, in slots of running time.
        stop_slots_cost: Running time of a stop, in slots.
        restart_slots_cost: Running time of a start after a stop, in slots.
        shortest_slots: No slice is shorter, but the last, which ends when the job does.
        first_slots_cost: Running time before the first work, in slots: of a job that was stopped before.
        may_start: For each slot, whether a slice may begin with it; `None` for all. Shape `(slots,)`.

    Returns:
        For each slot whether the job runs in it, shape `(slots,)`.

    Raises:
        InvalidInputError: The window is shorter than the work.
    """
    slots = len(gco2_per_kwh)
    runs = np.zeros(slots, dtype=bool)
    if work_slots <= 0:
        return runs
    break_cost = stop_slots_cost + restart_slots_cost
    if break_cost == 0 and first_slots_cost == 0 and shortest_slots <= 1 and may_start is None:
        if work_slots > slots:
            raise InvalidInputError(f"{work_slots} slots of work do not fit into {slots} slots.")
        runs[np.argsort(gco2_per_kwh, kind="stable")[:work_slots]] = True
        return runs
    allowed = np.ones(slots, dtype=bool) if may_start is None else may_start
    stretches = fewest_grams(
        np.arange(slots + 1, dtype=float),
        np.asarray(gco2_per_kwh, dtype=float),
        work=float(work_slots),
        break_cost=break_cost,
        first_cost=first_slots_cost,
        shortest=float(max(shortest_slots, 1)),
        may_start=allowed,
        may_be_first=allowed,
    )
    if stretches is None:
        raise InvalidInputError(f"{work_slots} slots of work and their breaks do not fit into {slots} slots.")
    for start, finish in stretches:
        runs[round(start) : math.ceil(finish - 1e-9)] = True
    return runs


def plan_slices(
    series: IntensitySeries,
    earliest: datetime,
    latest_finish: datetime,
    work: timedelta,
    *,
    stop_cost: timedelta = timedelta(0),
    restart_cost: timedelta = timedelta(0),
    shortest: timedelta = timedelta(0),
    shortest_rest: timedelta = timedelta(0),
    first_cost: timedelta = timedelta(0),
    most_slices: int | None = None,
    latest_start: datetime | None = None,
    starts: Sequence[tuple[datetime, datetime]] | None = None,
) -> SlicePlan | None:
    """The greenest slices of a job in a window of real time.

    Slices begin and end where slots do, at the edges of the window and of `starts`, and the last when the work
    is done; one run without a break may begin anywhere, so a plan is never worse than the best window.

    Args:
        series: The outlook; what it does not cover is not planned in.
        earliest: Nothing runs before, UTC; it may lie inside a slot.
        latest_finish: All work and all breaks are done by then, UTC.
        work: Useful running time that is left.
        stop_cost: Running time of a stop, at the end of its slice.
        restart_cost: Running time of a start after a stop, at the beginning of its slice.
        shortest: No slice is shorter, but the last.
        shortest_rest: No rest between slices is shorter.
        first_cost: Running time before the first work: of a job that was stopped before.
        most_slices: So many at most; `None` for any number.
        latest_start: The first slice begins by then, UTC; `None` for any time.
        starts: The stretches in which a slice may begin, ends included, in order, UTC; `None` for any time.

    Returns:
        The plan, or `None` where the work does not fit.
    """
    begin, end = max(earliest, series.start), min(latest_finish, series.end)
    if begin >= end or work <= timedelta(0):
        return None

    def seconds(moment: datetime) -> float:
        return (moment - begin).total_seconds()

    step_s, horizon_s, offset_s = series.step.total_seconds(), seconds(end), -seconds(series.start)
    allowed = [(0.0, horizon_s)] if starts is None else [(seconds(a), seconds(z)) for a, z in starts]
    latest_s = horizon_s if latest_start is None else seconds(latest_start)
    slots = np.arange(math.floor(offset_s / step_s), math.ceil((offset_s + horizon_s) / step_s) + 1)
    edges = np.concatenate([slots * step_s - offset_s, np.ravel(allowed), [latest_s]])
    times = np.unique(np.clip(edges, 0.0, horizon_s))
    values = np.asarray(series.values_gco2_per_kwh)
    middles = (times[:-1] + times[1:]) / 2 + offset_s
    gco2_per_kwh = values[np.minimum((middles / step_s).astype(int), len(values) - 1)]
    may_start = np.zeros(len(gco2_per_kwh), dtype=bool)
    for opens_s, closes_s in allowed:
        may_start |= (times[:-1] >= opens_s) & (times[:-1] <= closes_s)
    cumulative = np.concatenate([[0.0], np.cumsum(gco2_per_kwh * np.diff(times))])

    def emitted(stretches: Stretches) -> float:
        ends = np.interp(np.asarray(stretches), times, cumulative)
        return float((ends[:, 1] - ends[:, 0]).sum())

    def sliced(break_grams: float = 0.0, begins: Floats | None = None) -> Stretches | None:
        may = may_start if begins is None else may_start & np.isin(times[:-1], begins)
        return fewest_grams(
            times,
            gco2_per_kwh,
            work=work.total_seconds(),
            break_cost=(stop_cost + restart_cost).total_seconds(),
            first_cost=first_cost.total_seconds(),
            shortest=max(shortest, stop_cost + restart_cost).total_seconds(),
            shortest_rest=shortest_rest.total_seconds(),
            may_start=may,
            may_be_first=may & (times[:-1] <= latest_s),
            break_grams=break_grams,
        )

    length_s = (work + first_cost).total_seconds()
    window_starts = [(opens_s, min(closes_s, latest_s)) for opens_s, closes_s in allowed]
    window, plan = _best_window(times, cumulative, length_s, window_starts), sliced()
    plans = [window, plan]
    if plan is not None and most_slices is not None and len(plan) > most_slices:
        toll = emitted(window) - emitted(plan) if window is not None else float(cumulative[-1])
        plans = [window, *_with_fewer_slices(sliced, plan, most_slices, toll)]
    # The window comes first, and wins where equal: a break for nothing is no plan.
    best = min((found for found in plans if found is not None), key=emitted, default=None)
    if best is None:
        return None
    return SlicePlan(
        slices=tuple(
            Slice(start=begin + timedelta(seconds=start), finish=min(begin + timedelta(seconds=finish), end))
            for start, finish in best
        ),
        gh_per_kwh=emitted(best) / 3600,
    )


def _with_fewer_slices(
    sliced: Callable[[float, Floats | None], Stretches | None],
    plan: Stretches,
    most_slices: int,
    highest_toll: float,
) -> list[Stretches]:
    """Plans of so many slices at most; a search, and not exact: to count slices too would take many times longer.

    A toll on each break is bisected: as high as all breaks together save it leaves none worth while. And because
    tolls may skip some numbers of slices, the last plan with too many is made anew with its longest ones.
    """
    found, low, high = [], 0.0, highest_toll
    for _ in range(_TOLLS):
        toll = (low + high) / 2
        tried = sliced(toll, None)
        if tried is not None and len(tried) > most_slices:
            plan, low = tried, toll
        else:
            high = toll
            found.append(tried)
    longest = sorted(plan, key=lambda stretch: stretch[0] - stretch[1])[:most_slices]
    found.append(sliced(0.0, np.array([start for start, _ in longest])))
    return [fewer for fewer in found if fewer is not None]


def _best_window(
    times: Floats, cumulative: Floats, length: float, allowed: list[tuple[float, float]]
) -> Stretches | None:
    """The best run without a break: its grams have kinks only where one of its ends meets a slot's boundary."""
    last = times[-1] - length
    kinks = np.concatenate([times, times - length])
    parts = [
        np.concatenate([[low, high], kinks[(kinks > low) & (kinks < high)]])
        for low, high in ((max(opens, 0.0), min(closes, last)) for opens, closes in allowed)
        if low <= high
    ]
    if not parts:
        return None
    starts = np.unique(np.concatenate(parts))
    emitted = np.interp(starts + length, times, cumulative) - np.interp(starts, times, cumulative)
    start = float(starts[emitted.argmin()])
    return [(start, start + length)]
