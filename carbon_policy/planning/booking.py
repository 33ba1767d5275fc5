"""Who runs where, and what room that leaves: the one thing that changes while a plan is made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from carbon_policy.planning.problem import Booleans, Floats, Integers
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
        gco2: What each job costs where it is, money weighed in, grams; 0 without a place; shape (jobs,).
    """

    def __init__(self, queue: Queue, rank: Integers, places: Integers) -> None:
        self.queue = queue
        self.rank = rank
        self.room = places.copy()
        self.runs: list[Run | None] = [None] * queue.jobs
        self.gco2 = np.zeros(queue.jobs)
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
        self.gco2[job] = self.queue.grams(job, *run)

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
        self.gco2[job] = 0.0
        return run

    def holders(self, site: int, slot: int) -> list[int]:
        """The jobs that run on a site in a slot, in order."""
        return sorted(self._holders.get((site, slot), ()))

    def yielding(self, job: int) -> Integers:
        """Places held by jobs of a lower rank than this one; shape (sites, slots)."""
        held: Integers = self._held[: self.rank[job]].sum(axis=0)
        return held

    def held(self) -> Integers:
        """Places taken; shape (sites, slots)."""
        taken: Integers = self._held.sum(axis=0)
        return taken

    def open_slots(self) -> Booleans:
        """Where there are places, free or taken; shape (sites, slots)."""
        there: Booleans = self.room + self.held() > 0
        return there

    def claim(self, job: int, run: Run) -> dict[int, Run]:
        """Give a job its run, and take away those of the jobs in its way, the lowest-ranked first; returns these."""
        site, slots = run
        moved: dict[int, Run] = {}
        for slot in slots.tolist():
            if self.room[site, slot] < 1:
                # The lowest rank goes first; of equals, the lightest, which loses least elsewhere.
                goes = min(
                    self.holders(site, slot),
                    key=lambda other: (self.rank[other], self.gco2[other], other),
                )
                moved[goes] = self.take(goes)
        self.put(job, run)
        return moved

    def restore(self, before: Mapping[int, Run | None]) -> None:
        """Give jobs the runs that they had before, or none."""
        for job in before:
            if self.runs[job] is not None:
                self.take(job)
        for job, run in before.items():
            if run is not None:
                self.put(job, run)

    def placed(self) -> Integers:
        """The jobs with a place."""
        return np.flatnonzero([run is not None for run in self.runs])

    def waiting(self) -> Integers:
        """The jobs without a place."""
        return np.flatnonzero([run is None for run in self.runs])


def fill(booking: Booking, jobs: Iterable[int], prices: Floats) -> None:
    """Give jobs the cheapest places that are left, at these prices of capacity.

    In rounds: all jobs choose, the more urgent and the heavier take their choice while there is room, the rest choose
    again. Whoever finds no room stays without a place.
    """
    queue = booking.queue
    heavy = queue.duration.max(axis=1) * queue.kw.max(axis=1)
    left = np.array(sorted(jobs), dtype=np.int64)
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
