"""Who runs where, and what room that leaves: the one thing that changes while a plan is made."""

from __future__ import annotations

import numpy as np

from carbon_policy.planning.problem import Floats, Integers
from carbon_policy.planning.queue import Queue
from carbon_policy.planning.runs import NOWHERE
from carbon_policy.planning.search import Search

Run = tuple[int, Integers]
"""A site and the slots there, ascending."""


class Booking:
    """Jobs on places.

    Attributes:
        queue: The jobs.
        rank: How much a job may ask of others: those of a lower rank make room for it; shape (jobs,).
        room: Places that are free; shape (sites, slots).
        runs: Each job's run, `None` where it has no place.
    """

    def __init__(self, queue: Queue, rank: Integers, places: Integers) -> None:
        self.queue = queue
        self.rank = rank
        self.room = places.copy()
        self.runs: list[Run | None] = [None] * queue.jobs
        self._holders: dict[tuple[int, int], set[int]] = {}
        ranks = int(rank.max(initial=0)) + 1
        self._held = np.zeros((ranks, *places.shape), dtype=np.int64)

    def fits(self, run: Run) -> bool:
        """Whether there is room for a run."""
        return bool((self.room[run[0], run[1]] > 0).all())

    def put(self, job: int, run: Run) -> None:
        """Give a job its run."""
        site, slots = run
        self.room[site, slots] -= 1
        self._held[self.rank[job], site, slots] += 1
        for slot in slots.tolist():
            self._holders.setdefault((site, slot), set()).add(job)
        self.runs[job] = run

    def take(self, job: int) -> Run:
        """Take a job's run away, and return what it had."""
        run = self.runs[job]
        if run is None:
            raise KeyError(f"Job {job} has no run to take away.")
        site, slots = run
        self.room[site, slots] += 1
        self._held[self.rank[job], site, slots] -= 1
        for slot in slots.tolist():
            self._holders[site, slot].remove(job)
        self.runs[job] = None
        return run

    def holders(self, site: int, slot: int) -> list[int]:
        """The jobs that run on a site in a slot, in order."""
        return sorted(self._holders.get((site, slot), ()))

    def yielding(self, job: int) -> Integers:
        """Places held by jobs of a lower rank than this one; shape (sites, slots)."""
        held: Integers = self._held[: self.rank[job]].sum(axis=0)
        return held

    def claim(self, job: int, run: Run) -> list[int]:
        """Give a job its run, and take away those of lower-ranked jobs that are in its way; returns these."""
        site, slots = run
        moved = []
        for slot in slots.tolist():
            if self.room[site, slot] < 1:
                # The lowest rank goes first; of equals, who holds the fewest slots is the easiest to place again.
                goes = min(
                    self.holders(site, slot),
                    key=lambda other: (self.rank[other], len(self._slots(other)), other),
                )
                self.take(goes)
                moved.append(goes)
        self.put(job, run)
        return moved

    def _slots(self, job: int) -> Integers:
        run = self.runs[job]
        return run[1] if run is not None else np.empty(0, dtype=np.int64)

    def grams(self, job: int) -> float:
        """What a job costs where it is, money weighed in; 0 without a place."""
        run = self.runs[job]
        return 0.0 if run is None else self.queue.grams(job, *run)

    def total_gco2(self) -> float:
        """What all jobs cost where they are, money weighed in."""
        return sum(self.grams(job) for job in range(self.queue.jobs))

    def waiting(self) -> Integers:
        """The jobs without a place."""
        return np.flatnonzero([run is None for run in self.runs])


def fill(booking: Booking, jobs: Integers, prices: Floats) -> None:
    """Give jobs the cheapest places that are left, at these prices of capacity.

    In rounds: all jobs choose, the more urgent and the heavier take their choice while there is room, the rest choose
    again. Whoever finds no room stays without a place.
    """
    queue = booking.queue
    heavy = queue.duration.max(axis=1) * queue.kw.max(axis=1)
    left = np.asarray(jobs)
    while len(left):
        found = Search(queue.only(left)).best(prices, booking.room > 0)
        again = []
        for index in np.lexsort((left, -heavy[left], -booking.rank[left])).tolist():
            if found.site[index] == NOWHERE:
                continue
            run = (int(found.site[index]), found.slots_of(index))
            if booking.fits(run):
                booking.put(int(left[index]), run)
            else:
                again.append(left[index])
        left = np.array(sorted(again), dtype=np.int64)


def displace(booking: Booking, prices: Floats) -> None:
    """Give jobs without a place those that lower-ranked jobs hold; who loses one is placed again where it can be."""
    for rank in range(int(booking.rank.max(initial=0)), 0, -1):
        for job in booking.waiting()[booking.rank[booking.waiting()] == rank].tolist():
            full = booking.room < 1
            allowed = ~full | (booking.yielding(job) > 0)
            # As few jobs as can be are moved: a full place outweighs all prices.
            found = Search(booking.queue.only(np.array([job]))).best(
                prices + full * (1.0 + prices.max() * prices.shape[1]), allowed
            )
            if found.site[0] == NOWHERE:
                continue
            moved = booking.claim(job, (int(found.site[0]), found.slots_of(0)))
            fill(booking, np.array(sorted(moved), dtype=np.int64), prices)
