"""Where and when jobs run, as a search finds it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from carbon_policy.planning.problem import Floats, Integers

NOWHERE = -1


@dataclass(frozen=True)
class Runs:
    """A site and slots for each job.

    Attributes:
        site: Index of the site, `NOWHERE` for a job without a place; shape (jobs,).
        begin: Where a job's slots begin in `slots`; one more than there are jobs.
        slots: The slots of all jobs, one job after the other, ascending within a job.
        value: What the search was asked to make small, for each job; infinite without a place.
    """

    site: Integers
    begin: Integers
    slots: Integers
    value: Floats

    def slots_of(self, job: int) -> Integers:
        """The slots of one job, ascending."""
        return self.slots[self.begin[job] : self.begin[job + 1]]

    def usage(self, sites: int, slots: int) -> Integers:
        """Places taken; shape (sites, slots)."""
        cells = np.repeat(self.site, np.diff(self.begin)) * slots + self.slots
        return np.asarray(np.bincount(cells, minlength=sites * slots).reshape(sites, slots), dtype=np.int64)


def ragged(begin: Integers, length: Integers) -> Integers:
    """`begin[i] + 0 .. begin[i] + length[i] - 1`, for one i after the other."""
    total = int(length.sum())
    ends = np.cumsum(length)
    flat: Integers = np.arange(total) + np.repeat(begin - (ends - length), length)
    return flat
