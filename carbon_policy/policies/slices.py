"""The greenest slices of an interruptible job: when it runs and when it rests, each break at its price."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import numpy as np

from carbon_policy.domain.decision import Slice
from carbon_policy.domain.errors import InvalidInputError
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.policies.slice_search import Bools, Floats, Stretches, fewest_grams

# Each halves what is unknown of the toll, and costs another search.
_TOLLS = 6


def greenest_slices(gco2_per_kwh: Floats, work_slots: int) -> Bools:
    """The slots in which a job runs so that it emits least where stops and starts are free, as a mask.

    These are the lowest slots, the earliest of equal ones: "Let's Wait Awhile"'s interrupting optimum (Wiesner et
    al., Middleware 2021).

    Args:
        gco2_per_kwh: One intensity a slot, shape `(slots,)`.
        work_slots: Work that is left, in slots of running time.

    Returns:
        For each slot whether the job runs in it, shape `(slots,)`.

    Raises:
        InvalidInputError: The window is shorter than the work.
    """
    slots = len(gco2_per_kwh)
    if work_slots > slots:
        raise InvalidInputError(f"{work_slots} slots of work do not fit into {slots} slots.")
    runs = np.zeros(slots, dtype=bool)
    runs[np.argsort(gco2_per_kwh, kind="stable")[: max(0, work_slots)]] = True
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
) -> tuple[Slice, ...] | None:
    """The greenest slices of a job in a window of real time, in order; the time of starting and stopping included.

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
    return tuple(
        Slice(start=begin + timedelta(seconds=start), finish=min(begin + timedelta(seconds=finish), end))
        for start, finish in best
    )


def _with_fewer_slices(
    sliced: Callable[[float, Floats | None], Stretches | None],
    plan: Stretches,
    most_slices: int,
    highest_toll: float,
) -> list[Stretches]:
    """Plans of so many slices at most; a search, and not exact: to count slices too would take many times longer.

    A toll on each break is bisected: as high as all breaks together save it leaves none worth while. And because
    tolls may skip some numbers of slices, the last plan with too many is made anew with its longest ones. A plan under
    a toll that has just so many is the best of all that have no more, and ends the search.
    """
    found, low, high = [], 0.0, highest_toll
    for _ in range(_TOLLS):
        toll = (low + high) / 2
        tried = sliced(toll, None)
        if tried is not None and len(tried) == most_slices:
            return [tried]
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
