"""Each job's cheapest place, for given prices of capacity; all jobs at once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from carbon_policy.planning.problem import Booleans, Floats, Integers
from carbon_policy.planning.queue import Queue
from carbon_policy.planning.runs import NOWHERE, Runs, ragged
from carbon_policy.planning.slices import SliceGroup, slice_groups

PRICE_SHARES = (0.0, 0.5, 1.0, 1.5)
"""An interruptible job offers the slices that it would take at these shares of the prices."""

_EVEN = 1e-9
"""Sums that differ by so small a share differ by the order in which they were added up."""


class Search:
    """Finds each job's cheapest site and slots.

    Runs without a break are found by sums over all their starts: one number for each pair of a site and a duration and
    each start is enough for all jobs that share them. What an interruptible job takes is found by `slices`.
    """

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        duration, window = queue.duration, (queue.deadline - queue.first)[:, None]
        fits = (duration > 0) & (duration <= window)
        sliced = fits & queue.interruptible[:, None] & (duration > 1) & (duration < window)
        jobs, sites = np.nonzero(fits & ~sliced)
        self._jobs, self._sites, self._length = jobs, sites, duration[jobs, sites]
        starts = queue.deadline[jobs] - queue.first[jobs] - self._length + 1
        self._begin = np.cumsum(starts) - starts
        self._starts = starts
        # The table of window sums: a row for each pair of a site and a duration, a cell for each start.
        pairs, pair = np.unique(sites * (queue.slots + 1) + self._length, return_inverse=True)
        self._pair_site, self._pair_length = np.divmod(pairs, queue.slots + 1)
        cells = queue.slots - self._pair_length + 1
        before = np.repeat(self._pair_site * (queue.slots + 1), cells)
        self._from = before + ragged(np.zeros_like(cells), cells)
        self._to = self._from + np.repeat(self._pair_length, cells)
        row = (np.cumsum(cells) - cells)[pair.reshape(-1)]
        self._cell = ragged(row + queue.first[jobs], starts)
        grams = queue.weight_before.reshape(-1)
        window_grams = grams[self._to] - grams[self._from]
        self._grams = window_grams[self._cell] * np.repeat(queue.kw[jobs, sites], starts)
        self._grams += np.repeat(queue.fixed[jobs, sites], starts)
        self._groups = slice_groups(queue, *np.nonzero(sliced)) if sliced.any() else []

    def best(self, prices: Floats, allowed: Booleans | None = None) -> Runs:
        """Each job's cheapest place.

        Args:
            prices: Grams for a place in each slot of each site; shape (sites, slots).
            allowed: Slots that may be used, same shape; `None` for all.

        Returns:
            One place a job, and its grams and prices together. Of equals, the first site and the earliest start.
        """
        queue = self.queue
        value = np.full((queue.jobs, queue.sites), np.inf)
        start = np.zeros((queue.jobs, queue.sites), dtype=np.int64)
        if len(self._jobs):
            costs = self._window_prices(prices, allowed)[self._cell]
            costs += self._grams
            least = np.minimum.reduceat(costs, self._begin)
            even = np.repeat(least + _EVEN * np.abs(least), self._starts)
            hits = np.flatnonzero(costs <= even)
            first_hit = hits[np.searchsorted(hits, self._begin)]
            value[self._jobs, self._sites] = least
            start[self._jobs, self._sites] = queue.first[self._jobs] + first_hit - self._begin
        slices = []
        for group in self._groups:
            group_value, taken = group.cheapest(prices, allowed)
            value[group.jobs, group.sites] = group_value
            slices.append((group, taken))
        return self._runs(value, start, slices)

    def several(self, prices: Floats, allowed: Booleans, count: int) -> Iterator[tuple[int, int, Integers]]:
        """Each job's cheapest places: `count` starts a site without a break, and the cheapest slices of a site.

        Yields:
            The job's row, the site and the slots.
        """
        if len(self._jobs):
            costs = self._window_prices(prices, allowed)[self._cell] + self._grams
            for item, begin in enumerate(self._begin.tolist()):
                here = costs[begin : begin + self._starts[item]]
                for start in np.argsort(here, kind="stable")[:count]:
                    if np.isfinite(here[start]):
                        job, length = self._jobs[item], self._length[item]
                        first = self.queue.first[job] + start
                        yield int(job), int(self._sites[item]), np.arange(first, first + length)
        for group in self._groups:
            for share in PRICE_SHARES:
                value, taken = group.cheapest(prices * share, allowed)
                for index in np.flatnonzero(np.isfinite(value)):
                    job = group.jobs[index]
                    slots = self.queue.first[job] + np.flatnonzero(taken[:, index])
                    yield int(job), int(group.sites[index]), slots

    def _window_prices(self, prices: Floats, allowed: Booleans | None) -> Floats:
        before = np.pad(np.cumsum(prices, axis=1), ((0, 0), (1, 0))).reshape(-1)
        sums: Floats = before[self._to] - before[self._from]
        if allowed is not None:
            closed = np.pad(np.cumsum(~allowed, axis=1), ((0, 0), (1, 0))).reshape(-1)
            sums[closed[self._to] > closed[self._from]] = np.inf
        return sums

    def _runs(self, value: Floats, start: Integers, slices: list[tuple[SliceGroup, Booleans]]) -> Runs:
        every = np.arange(self.queue.jobs)
        site = np.argmin(value, axis=1)
        least = value[every, site]
        placed = np.isfinite(least)
        length = np.where(placed, self.queue.duration[every, site], 0)
        begin = np.concatenate([[0], np.cumsum(length)])
        slots = ragged(start[every, site], length)
        for group, taken in slices:
            chosen = np.flatnonzero((site[group.jobs] == group.sites) & placed[group.jobs])
            _, steps = np.nonzero(taken.T[chosen])
            at = ragged(begin[group.jobs[chosen]], group.count[chosen])
            slots[at] = np.repeat(self.queue.first[group.jobs[chosen]], group.count[chosen]) + steps
        return Runs(site=np.where(placed, site, NOWHERE), begin=begin, slots=slots, value=least)
