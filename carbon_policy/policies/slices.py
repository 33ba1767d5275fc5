"""The greenest slices of an interruptible job: when it runs and when it rests, each break at its price."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from carbon_policy.domain.decision import Slice
from carbon_policy.domain.errors import InvalidInputError
from carbon_policy.domain.signal import IntensitySeries

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

# Work is counted in units, whole ones to a slot; a break is rounded up to units, so a plan never lacks work.
_MAX_UNITS_PER_SLOT = 60
# The table has one column a unit of work: so many keep a week of half hours within milliseconds.
_MAX_COLUMNS = 1500
# By so much of a slot rounding may be worse than with the finest unit.
_WASTE = 0.005
_EQUAL = 1e-9


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
    stretches = _solve(
        np.arange(slots + 1, dtype=float),
        np.asarray(gco2_per_kwh, dtype=float),
        work=float(work_slots),
        break_cost=break_cost,
        first_cost=(first_slots_cost, first_slots_cost),
        shortest=float(max(shortest_slots, 1)),
        may_start=np.ones(slots, dtype=bool) if may_start is None else may_start,
    )
    if stretches is None:
        raise InvalidInputError(f"{work_slots} slots of work and their breaks do not fit into {slots} slots.")
    for start, finish in stretches:
        runs[round(start) : math.ceil(finish - _EQUAL)] = True
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
    first_cost_now: timedelta = timedelta(0),
    first_cost_later: timedelta = timedelta(0),
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
        first_cost_now: Running time before the first work, where the first slice begins at `earliest`.
        first_cost_later: The same where it begins later.
        starts: The stretches in which a slice may begin, ends included, in order, UTC; `None` for any time.

    Returns:
        The plan, or `None` where the work does not fit.
    """
    begin, end = max(earliest, series.start), min(latest_finish, series.end)
    if begin >= end or work <= timedelta(0):
        return None
    step_s = series.step.total_seconds()
    horizon_s = (end - begin).total_seconds()
    allowed = (
        [(0.0, horizon_s)]
        if starts is None
        else [((opens - begin).total_seconds(), (closes - begin).total_seconds()) for opens, closes in starts]
    )
    offset_s = (begin - series.start).total_seconds()
    first, last = int(offset_s // step_s), math.ceil((offset_s + horizon_s) / step_s - _EQUAL)
    edges = np.arange(first, last + 1) * step_s - offset_s
    times = np.unique(np.clip(np.concatenate([edges, np.ravel(allowed)]), 0.0, horizon_s))
    values = np.asarray(series.values_gco2_per_kwh)
    middles = (times[:-1] + times[1:]) / 2 + offset_s
    gco2_per_kwh = values[np.minimum((middles / step_s).astype(int), len(values) - 1)]
    may_start = np.zeros(len(times) - 1, dtype=bool)
    for opens_s, closes_s in allowed:
        may_start |= (times[:-1] >= opens_s) & (times[:-1] <= closes_s)
    first_cost = (
        (first_cost_now if begin == earliest else first_cost_later).total_seconds(),
        first_cost_later.total_seconds(),
    )
    work_s = work.total_seconds()
    cumulative = np.concatenate([[0.0], np.cumsum(gco2_per_kwh * np.diff(times))])

    def grams(stretches: list[tuple[float, float]]) -> float:
        ends = np.interp([finish for _, finish in stretches], times, cumulative)
        return float((ends - np.interp([start for start, _ in stretches], times, cumulative)).sum())

    plans = [
        _solve(
            times,
            gco2_per_kwh,
            work=work_s,
            break_cost=(stop_cost + restart_cost).total_seconds(),
            first_cost=first_cost,
            shortest=max(shortest, stop_cost + restart_cost).total_seconds(),
            may_start=may_start,
        ),
        _best_window(times, cumulative, work_s, first_cost, allowed),
    ]
    found = [plan for plan in plans if plan is not None]
    if not found:
        return None
    # The window comes last, and wins where equal: a break for nothing is no plan.
    best = min(reversed(found), key=grams)
    return SlicePlan(
        slices=tuple(
            Slice(start=begin + timedelta(seconds=start), finish=min(begin + timedelta(seconds=finish), end))
            for start, finish in best
        ),
        gh_per_kwh=grams(best) / 3600,
    )


def _best_window(
    times: Floats,
    cumulative: Floats,
    work: float,
    first_cost: tuple[float, float],
    allowed: list[tuple[float, float]],
) -> list[tuple[float, float]] | None:
    """The best run without a break: its grams have kinks only where one of its ends meets a slot's boundary."""
    length = work + first_cost[1]
    latest = times[-1] - length
    kinks = np.concatenate([times, times - length])
    parts = [
        np.concatenate([[low, high], kinks[(kinks > low) & (kinks < high)]])
        for low, high in ((max(opens, 0.0), min(closes, latest)) for opens, closes in allowed)
        if low <= high
    ]
    windows: list[tuple[float, float, float]] = []
    if (
        any(opens <= 0.0 <= closes for opens, closes in allowed)
        and work + first_cost[0] <= times[-1] + _EQUAL
    ):
        finish = work + first_cost[0]
        windows.append((float(np.interp(finish, times, cumulative)), 0.0, finish))
    if parts:
        starts = np.unique(np.concatenate(parts))
        emitted = np.interp(starts + length, times, cumulative) - np.interp(starts, times, cumulative)
        index = int(emitted.argmin())
        windows.append((float(emitted[index]), float(starts[index]), float(starts[index] + length)))
    if not windows:
        return None
    _, start, finish = min(windows)
    return [(start, finish)]


def _solve(
    times: Floats,
    gco2_per_kwh: Floats,
    *,
    work: float,
    break_cost: float,
    first_cost: tuple[float, float],
    shortest: float,
    may_start: Bools,
) -> list[tuple[float, float]] | None:
    """Dynamic programme over slots and work done, O(slots x work), one numpy row a slot.

    `resting[w]` and `running[w]` are the fewest grams with which `w` units of work are done at a boundary; a
    slice enters `running` when it has its shortest length. Work beyond what is asked is never bought: the last
    slice is cut where the work ends.

    Args:
        times: The slots' boundaries, shape `(slots + 1,)`, in any unit of time.
        gco2_per_kwh: Shape `(slots,)`.
        work: Useful time asked, in the unit of `times`.
        break_cost: Time that a stop and the start after it take together.
        first_cost: Time before the first work, where the first slice begins at the first boundary, and later.
        shortest: Time.
        may_start: Shape `(slots,)`.

    Returns:
        Starts and ends of the slices, in order; `None` where the work does not fit.
    """
    slots = len(gco2_per_kwh)
    longest = float(np.diff(times).max())
    unit = _unit(longest, work, (break_cost, *first_cost), np.diff(times))
    columns = math.ceil(work / unit - _EQUAL)
    gains = np.floor(np.diff(times) / unit + _EQUAL).astype(int)
    lost = math.ceil(break_cost / unit - _EQUAL)
    lost_first = [math.ceil(cost / unit - _EQUAL) for cost in first_cost]
    done = np.concatenate([[0], np.cumsum(gains)])
    grams = np.concatenate([[0.0], np.cumsum(gco2_per_kwh * np.diff(times))])
    # A slice is ripe when it may be stopped: it is long enough, and has done some work.
    ripe: NDArray[np.int64] = np.maximum(
        np.searchsorted(times, times[:-1] + shortest - _EQUAL * longest),
        np.searchsorted(done, done[:-1] + max(lost, *lost_first) + 1),
    )
    ripens: dict[int, list[int]] = defaultdict(list)
    for begin in np.flatnonzero(may_start).tolist():
        ripens[int(ripe[begin])].append(begin)

    resting = np.full((slots + 1, columns), np.inf)
    running = np.full((slots + 1, columns), np.inf)
    fresh = np.empty(columns)
    # Plain numbers: reading single ones from an array is what would take the time.
    units, sums = done.tolist(), grams.tolist()
    for now in range(1, slots + 1):
        row, gain = running[now], units[now] - units[now - 1]
        if gain < columns:
            np.add(running[now - 1, : columns - gain], sums[now] - sums[now - 1], row[gain:])
        for begin in ripens.get(now, ()):
            gain, emitted = units[now] - units[begin], sums[now] - sums[begin]
            first = gain - lost_first[begin > 0]
            if first < columns and emitted < row[first]:
                row[first] = emitted
            gain -= lost
            if begin > 0 and gain < columns:
                into = row[gain:]
                np.minimum(into, np.add(resting[begin, : columns - gain], emitted, fresh[gain:]), into)
        np.minimum(resting[now - 1], row, resting[now])

    table = _Table(times, grams, gains, done, lost, lost_first, resting, running, ripens)
    stretches = table.best(ripe, may_start, unit)
    return _cut(stretches, work, break_cost, first_cost) if stretches else None


def _unit(longest: float, work: float, costs: tuple[float, ...], widths: Floats) -> float:
    """The unit of work: the largest that rounds next to nothing away, as fine as the table's size allows.

    Work and costs are rounded up to units and the slots' widths down.
    """
    per_slot = np.arange(1, max(1, min(_MAX_UNITS_PER_SLOT, int(_MAX_COLUMNS * longest / work))) + 1)
    amounts = np.concatenate([[work, *costs], -np.unique(widths[widths < longest])])[:, None] / longest
    wasted = (np.ceil(amounts * per_slot - _EQUAL) / per_slot - amounts).sum(axis=0)
    return longest / int(per_slot[np.argmax(wasted <= wasted.min() + _WASTE)])


def _cut(
    stretches: list[tuple[float, float]], work: float, break_cost: float, first_cost: tuple[float, float]
) -> list[tuple[float, float]]:
    """The slices with the last one ended when the work is done: counting in whole units left some room."""
    taken = first_cost[stretches[0][0] > 0] + break_cost * (len(stretches) - 1)
    for index, (start, finish) in enumerate(stretches):
        ran = sum(end - begin for begin, end in stretches[:index])
        if ran + finish - start >= work + taken - _EQUAL or index == len(stretches) - 1:
            return [*stretches[:index], (start, start + work + taken - ran)]
    return stretches


@dataclass(frozen=True)
class _Table:
    """The filled table of `_solve`, and how to read a plan from it."""

    times: Floats
    grams: Floats
    gains: NDArray[np.int64]
    done: NDArray[np.int64]
    lost: int
    lost_first: list[int]
    resting: Floats
    running: Floats
    ripens: dict[int, list[int]]

    def best(
        self, ripe: NDArray[np.int64], may_start: Bools, unit: float
    ) -> list[tuple[float, float]] | None:
        """The slices of the plan with the fewest grams; `None` where there is none."""
        slots, columns = len(self.gains), self.resting.shape[1]
        # It runs at a boundary, and is done in the slot that follows: only the last columns are so near the end.
        tail = min(columns, int(self.gains.max()))
        left = np.arange(tail, 0, -1)
        rates = np.diff(self.grams) / np.diff(self.times)
        emitted = rates[:, None] * left * unit
        ends = np.where(left <= self.gains[:, None], self.running[:-1, columns - tail :] + emitted, np.inf)
        going = int(ends.argmin())
        fewest, chosen = float(ends.flat[going]), None
        # A last slice is done before it is ripe.
        until = self.times[np.minimum(ripe, slots)]
        reach = math.ceil(float((until - self.times[:-1]).max()) / unit)
        first_column = max(0, columns + self.lost - reach)
        if first_column < columns:
            left = np.arange(columns - first_column, 0, -1) + self.lost
            finish = self.times[:-1, None] + left * unit
            emitted = np.interp(finish, self.times, self.grams) - self.grams[:-1, None]
            fits = (finish <= until[:, None] + _EQUAL) & may_start[:, None]
            short = np.where(fits, self.resting[:-1, first_column:] + emitted, np.inf)
            index = int(short.argmin())
            if short.flat[index] < fewest:
                begin, column = divmod(index, short.shape[1])
                fewest, chosen = float(short.flat[index]), (begin, first_column + column, finish.flat[index])
        for begin in np.flatnonzero(may_start):
            finish_s = self.times[begin] + (columns + self.lost_first[int(begin > 0)]) * unit
            if finish_s <= until[begin] + _EQUAL:
                emitted_s = float(np.interp(finish_s, self.times, self.grams) - self.grams[begin])
                if emitted_s < fewest:
                    fewest, chosen = emitted_s, (int(begin), -1, finish_s)
        if not math.isfinite(fewest):
            return None
        if chosen is None:
            boundary, column = divmod(going, ends.shape[1])
            column += columns - tail
            return self._back(boundary, column, float(self.times[boundary] + (columns - column) * unit))
        begin, column, finish_s = chosen
        last = (float(self.times[begin]), float(finish_s))
        if column < 0:
            return [last]
        stopped = self._stopped(begin, column)
        return [*self._back(stopped, column, float(self.times[stopped])), last]

    def _stopped(self, boundary: int, column: int) -> int:
        """When the rest began in which the job is at a boundary."""
        return int(np.argmax(self.resting[: boundary + 1, column] == self.resting[boundary, column]))

    def _back(self, boundary: int, column: int, finish: float) -> list[tuple[float, float]]:
        """The slices up to the one that runs at a boundary and ends at `finish`."""
        slices: list[tuple[float, float]] = []
        while True:
            begin, first = self._began(boundary, column)
            while begin is None:
                boundary -= 1
                column -= int(self.gains[boundary])
                begin, first = self._began(boundary, column)
            slices.append((float(self.times[begin]), finish))
            if first:
                return slices[::-1]
            column -= int(self.done[boundary] - self.done[begin]) - self.lost
            boundary = self._stopped(begin, column)
            finish = float(self.times[boundary])

    def _began(self, boundary: int, column: int) -> tuple[int | None, bool]:
        """Where the slice began that is ripe at a boundary, and whether it is the first; `None` if it ran before."""
        grams = self.running[boundary, column]
        for begin in self.ripens.get(boundary, ()):
            gain, emitted = (
                int(self.done[boundary] - self.done[begin]),
                self.grams[boundary] - self.grams[begin],
            )
            if column == gain - self.lost_first[int(begin > 0)] and grams == emitted:
                return begin, True
            before = column - gain + self.lost
            if begin > 0 and before >= 0 and grams == self.resting[begin, before] + emitted:
                return begin, False
        return None, False
