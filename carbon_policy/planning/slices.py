"""The cheapest slots of interruptible jobs, restarts included: an exact dynamic program over many jobs at once.

`policies.slice_search` answers for one job and in real time, where a break takes running time and slices have a
shortest length. Here a queue is asked again at each step of its prices, in whole slots, and a restart costs grams.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from carbon_policy.planning.problem import Booleans, Floats, Integers
from carbon_policy.planning.queue import Queue


@dataclass(frozen=True)
class SliceGroup:
    """Interruptible jobs of like length and window, padded to the longest of them.

    Attributes:
        jobs: Index of the job; shape (n,).
        sites: Index of the site; shape (n,).
        count: Slots to choose; shape (n,).
        cells: Slot of each step of the window, clipped to the last slot; shape (steps, n).
        cost: Grams in that slot, infinite outside the job's window; shape (steps, n).
        restart: Grams of starting again in that slot; shape (steps, n).
        fixed: Grams of being there at all; shape (n,).
    """

    jobs: Integers
    sites: Integers
    count: Integers
    cells: Integers
    cost: Floats
    restart: Floats
    fixed: Floats

    def cheapest(self, prices: Floats, allowed: Booleans | None) -> tuple[Floats, Booleans]:
        """The least that each job can cost, and the steps of its window that it takes.

        Args:
            prices: Grams for a place in each slot of each site; shape (sites, slots).
            allowed: Slots that may be used, same shape; `None` for all.

        Returns:
            Grams and prices together, infinite where there is no room, shape (n,); and shape (steps, n).
        """
        cost = self.cost + prices[self.sites, self.cells]
        if allowed is not None:
            cost[~allowed[self.sites, self.cells]] = np.inf
        steps, jobs = cost.shape
        states = int(self.count.max()) + 1
        # on[c], off[c]: the least cost with c slots taken, running and not running in the last step.
        off = np.full((states, jobs), np.inf)
        off[0] = 0.0
        on = np.full((states, jobs), np.inf)
        went_on = np.empty((steps, states, jobs), dtype=np.bool_)
        stopped = np.empty((steps, states, jobs), dtype=np.bool_)
        begun = np.empty_like(off)
        for step in range(steps):
            np.add(off, self.restart[step], out=begun)
            begun[0] = off[0]  # The first start is no restart.
            np.less_equal(on, begun, out=went_on[step])
            np.less(on, off, out=stopped[step])
            np.minimum(off, on, out=off)
            np.minimum(begun, on, out=begun)
            np.add(begun[:-1], cost[step], out=on[1:])
        every = np.arange(jobs)
        running = on[self.count, every] < off[self.count, every]
        value = np.minimum(on[self.count, every], off[self.count, every]) + self.fixed
        left = self.count.copy()
        taken = np.zeros((steps, jobs), dtype=np.bool_)
        for step in range(steps - 1, -1, -1):
            taken[step] = running
            left = left - running
            running = np.where(running, went_on[step, left, every], stopped[step, left, every])
        return value, taken


def slice_groups(queue: Queue, jobs: Integers, sites: Integers) -> list[SliceGroup]:
    """Pairs of a job and a site, in groups whose members waste little padding."""
    count = queue.duration[jobs, sites]
    window = queue.deadline[jobs] - queue.first[jobs]
    kinds = np.stack([np.ceil(np.log2(count)), np.ceil(np.log2(window))], axis=1)
    unique, kind = np.unique(kinds, axis=0, return_inverse=True)
    groups = []
    for index in range(len(unique)):
        at = np.flatnonzero(kind.reshape(-1) == index)
        groups.append(_group(queue, jobs[at], sites[at]))
    return groups


def _group(queue: Queue, jobs: Integers, sites: Integers) -> SliceGroup:
    window = queue.deadline[jobs] - queue.first[jobs]
    steps = np.arange(int(window.max()))[:, None]
    cells = np.minimum(queue.first[jobs] + steps, queue.slots - 1)
    grams = queue.kw[jobs, sites] * queue.weight[sites, cells]
    return SliceGroup(
        jobs=jobs,
        sites=sites,
        count=queue.duration[jobs, sites],
        cells=cells,
        cost=np.where(steps < window, grams, np.inf),
        restart=queue.restart[jobs] * grams,
        fixed=queue.fixed[jobs, sites],
    )
