"""Where an interruptible job's slices lie, by a dynamic programme over time and work done."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Stretches = list[tuple[float, float]]
"""Starts and ends, in order."""

# Work is counted in units, whole ones to a slot; a break is rounded up to units, so a plan never lacks work.
_MAX_UNITS_PER_SLOT = 60
# The table has one column a unit of work: so many keep a search of a week of half hours within a tenth of a second
# (30 to 90 ms, measured on a busy core).
_MAX_COLUMNS = 1500
# By so much of a slot rounding may be worse than with the finest unit.
_WASTE = 0.005
_EQUAL = 1e-9


def fewest_grams(
    times: Floats,
    gco2_per_kwh: Floats,
    *,
    work: float,
    break_cost: float,
    first_cost: float,
    shortest: float,
    may_start: Bools,
    may_be_first: Bools,
    shortest_rest: float = 0.0,
    break_grams: float = 0.0,
) -> Stretches | None:
    """Dynamic programme over slots and work done, O(slots x work), one numpy row a slot.

    `resting[w]` and `running[w]` are the fewest grams with which `w` units of work are done at a boundary; a
    slice enters `running` when it has its shortest length. Work beyond what is asked is never bought: the last
    slice is cut where the work ends.

    Args:
        times: The slots' boundaries, shape `(slots + 1,)`, in any unit of time.
        gco2_per_kwh: Shape `(slots,)`.
        work: Useful time asked, in the unit of `times`.
        break_cost: Time that a stop and the start after it take together.
        first_cost: Time before the first work.
        shortest: The shortest slice, but the last.
        may_start: Where a slice may begin, shape `(slots,)`.
        may_be_first: Where the first may begin, shape `(slots,)`.
        shortest_rest: The shortest time between slices.
        break_grams: A toll on each break, beside its time; in grams of one kW, times the unit of `times` in hours.

    Returns:
        Starts and ends of the slices, in order; `None` where the work does not fit.
    """
    slots = len(gco2_per_kwh)
    longest = float(np.diff(times).max())
    unit = _unit(longest, work, (break_cost, first_cost), np.diff(times))
    columns = math.ceil(work / unit - _EQUAL)
    gains = np.floor(np.diff(times) / unit + _EQUAL).astype(int)
    lost = math.ceil(break_cost / unit - _EQUAL)
    lost_first = math.ceil(first_cost / unit - _EQUAL)
    done = np.concatenate([[0], np.cumsum(gains)])
    grams = np.concatenate([[0.0], np.cumsum(gco2_per_kwh * np.diff(times))])
    # A slice is ripe when it may be stopped: it is long enough, and has done some work.
    ripe: NDArray[np.int64] = np.maximum(
        np.searchsorted(times, times[:-1] + shortest - _EQUAL * longest),
        np.searchsorted(done, done[:-1] + max(lost, lost_first) + 1),
    )
    # When a rest must have begun, that a slice can begin where it does.
    stopped = np.searchsorted(times, times[:-1] - shortest_rest + _EQUAL * longest, side="right") - 1
    stopped = np.maximum(stopped, 0)
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
            np.add(running[now - 1, : columns - gain], sums[now] - sums[now - 1], out=row[gain:])
        for begin in ripens.get(now, ()):
            gain, emitted = units[now] - units[begin], sums[now] - sums[begin]
            first = gain - lost_first
            if first < columns and may_be_first[begin] and emitted < row[first]:
                row[first] = emitted
            gain -= lost
            if gain < columns:
                after = fresh[gain:]
                np.add(resting[stopped[begin], : columns - gain], emitted + break_grams, out=after)
                np.minimum(row[gain:], after, out=row[gain:])
        np.minimum(resting[now - 1], row, out=resting[now])

    table = _Table(
        times,
        grams,
        gains,
        done,
        lost,
        lost_first,
        unit,
        ripe,
        stopped,
        break_grams,
        may_start,
        may_be_first,
        resting,
        running,
    )
    stretches = table.best()
    return _cut(stretches, work, break_cost, first_cost) if stretches else None


def _unit(longest: float, work: float, costs: tuple[float, ...], widths: Floats) -> float:
    """The unit of work: the largest that rounds next to nothing away, as fine as the table's size allows.

    Work and costs are rounded up to units and the slots' widths down.
    """
    per_slot = np.arange(1, max(1, min(_MAX_UNITS_PER_SLOT, int(_MAX_COLUMNS * longest / work))) + 1)
    amounts = np.concatenate([[work, *costs], -np.unique(widths[widths < longest])])[:, None] / longest
    wasted = (np.ceil(amounts * per_slot - _EQUAL) / per_slot - amounts).sum(axis=0)
    return longest / int(per_slot[np.argmax(wasted <= wasted.min() + _WASTE)])


def _cut(stretches: Stretches, work: float, break_cost: float, first_cost: float) -> Stretches:
    """The slices, ended when the work is done: counting in whole units left some room."""
    slices: Stretches = []
    for start, finish in stretches:
        # Where breaks are free, one of no length may be among them.
        begins = slices.pop()[0] if slices and start <= slices[-1][1] else start
        slices.append((begins, finish))
    left = work + first_cost + break_cost * (len(slices) - 1)
    for index, (start, finish) in enumerate(slices):
        if finish - start >= left - _EQUAL or index == len(slices) - 1:
            return [*slices[:index], (start, start + left)]
        left -= finish - start
    return slices


@dataclass(frozen=True)
class _Table:
    """The filled table of `fewest_grams`, and how to read a plan from it.

    Attributes:
        times: The boundaries.
        grams: Of a run from the first boundary to each.
        gains: Units of work of each slot.
        done: Units of a run from the first boundary to each.
        lost: Units that a break takes.
        lost_first: Units that the first start takes.
        unit: Its length.
        ripe: For each slot the boundary at which a slice that begins there may be stopped.
        stopped: For each slot the boundary by which the job must rest, that a slice can begin there.
        break_grams: The toll on a break.
        may_start: Where a slice may begin.
        may_be_first: Where the first may begin.
        resting: Shape `(slots + 1, columns)`.
        running: Shape `(slots + 1, columns)`.
    """

    times: Floats
    grams: Floats
    gains: Ints
    done: Ints
    lost: int
    lost_first: int
    unit: float
    ripe: Ints
    stopped: Ints
    break_grams: float
    may_start: Bools
    may_be_first: Bools
    resting: Floats
    running: Floats

    def best(self) -> Stretches | None:
        """The plan with the fewest grams; `None` where there is none."""
        columns = self.resting.shape[1]
        # The job may run at a boundary and be done in the slot that follows: the last columns are near enough.
        near = min(columns, int(self.gains.max()))
        left = np.arange(near, 0, -1)
        rates = np.diff(self.grams) / np.diff(self.times)
        going = self.running[:-1, columns - near :] + rates[:, None] * left * self.unit
        going[left > self.gains[:, None]] = np.inf
        # Or its last slice is done before it is ripe ...
        until = self.times[np.minimum(self.ripe, len(self.gains))]
        reach = math.ceil(float((until - self.times[:-1]).max()) / self.unit)
        short_columns = np.arange(max(0, columns + self.lost - reach), columns)
        short = self._slice_grams(until, columns - short_columns + self.lost, self.may_start)
        short += self.resting[self.stopped][:, short_columns] + self.break_grams
        # ... and may be the first.
        only = self._slice_grams(until, np.array([columns + self.lost_first]), self.may_be_first)

        fewest = [float(ends.min(initial=np.inf)) for ends in (going, short, only)]
        if not math.isfinite(min(fewest)):
            return None
        kind = fewest.index(min(fewest))
        if kind == 0:
            boundary, index = divmod(int(going.argmin()), near)
            finish = float(self.times[boundary] + left[index] * self.unit)
            return self._back(boundary, columns - near + index, finish)
        if kind == 1:
            begin, index = divmod(int(short.argmin()), len(short_columns))
            column = int(short_columns[index])
            start = float(self.times[begin])
            stopped = self._rested_since(int(self.stopped[begin]), column)
            finish = start + (columns - column + self.lost) * self.unit
            return [*self._back(stopped, column, float(self.times[stopped])), (start, finish)]
        start = float(self.times[only.argmin()])
        return [(start, start + (columns + self.lost_first) * self.unit)]

    def _slice_grams(self, until: Floats, units: Ints, allowed: Bools) -> Floats:
        """The grams of a slice of so many units from each slot on, shape `(slots, units)`; infinite past `until`."""
        finish = self.times[:-1, None] + units * self.unit
        emitted = np.interp(finish, self.times, self.grams) - self.grams[:-1, None]
        emitted[(finish > until[:, None] + _EQUAL) | ~allowed[:, None]] = np.inf
        return emitted

    def _rested_since(self, boundary: int, column: int) -> int:
        """When the rest began in which the job is at a boundary."""
        return int(np.argmax(self.resting[: boundary + 1, column] == self.resting[boundary, column]))

    def _back(self, boundary: int, column: int, finish: float) -> Stretches:
        """The slices up to the one that runs at a boundary and ends at `finish`."""
        slices: Stretches = []
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
            boundary = self._rested_since(int(self.stopped[begin]), column)
            finish = float(self.times[boundary])

    def _began(self, boundary: int, column: int) -> tuple[int | None, bool]:
        """Where the slice began that is ripe at a boundary, and whether it is the first; `None` if it ran before."""
        grams = self.running[boundary, column]
        for begin in np.flatnonzero((self.ripe == boundary) & self.may_start).tolist():
            gain = int(self.done[boundary] - self.done[begin])
            emitted = self.grams[boundary] - self.grams[begin]
            if self.may_be_first[begin] and column == gain - self.lost_first and grams == emitted:
                return begin, True
            before = column - gain + self.lost
            if before >= 0 and grams == self.resting[self.stopped[begin], before] + (
                emitted + self.break_grams
            ):
                return begin, False
        return None, False
