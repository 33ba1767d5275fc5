"""The queue as arrays: one row a job, one column a site, one cell a slot."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from carbon_policy.planning.problem import Booleans, FleetProblem, Floats, Integers


@dataclass(frozen=True)
class Queue:
    """Jobs and sites as numbers.

    Attributes:
        duration: Slots each job takes at each site, 0 where it is not allowed; shape (jobs, sites).
        kw: What it draws there, kW, PUE and prices not included; shape (jobs, sites).
        fixed: Grams of being there at all: transfer, and what the hours cost; shape (jobs, sites).
        first: First slot of each job; shape (jobs,).
        deadline: The slot before which it is done, at most `slots`; shape (jobs,).
        interruptible: Shape (jobs,).
        restart: Slots of its power that each restart costs; shape (jobs,).
        weight: Grams per kW in each slot of each site, PUE and the price of energy included; shape (sites, slots).
    """

    duration: Integers
    kw: Floats
    fixed: Floats
    first: Integers
    deadline: Integers
    interruptible: Booleans
    restart: Floats
    weight: Floats

    @property
    def jobs(self) -> int:
        """How many jobs."""
        return len(self.first)

    @property
    def sites(self) -> int:
        """How many sites."""
        return len(self.weight)

    @property
    def slots(self) -> int:
        """How many slots."""
        return int(self.weight.shape[1])

    @cached_property
    def weight_before(self) -> Floats:
        """Sum of `weight` over all slots before one; shape (sites, slots + 1)."""
        return np.pad(np.cumsum(self.weight, axis=1), ((0, 0), (1, 0)))

    def only(self, jobs: Integers) -> Queue:
        """The same sites, and these jobs."""
        return replace(
            self,
            duration=self.duration[jobs],
            kw=self.kw[jobs],
            fixed=self.fixed[jobs],
            first=self.first[jobs],
            deadline=self.deadline[jobs],
            interruptible=self.interruptible[jobs],
            restart=self.restart[jobs],
        )

    def grams(self, job: int, site: int, slots: Integers) -> float:
        """What a job costs in these slots of a site, in grams, money weighed in; `slots` ascend."""
        weight = self.weight[site, slots]
        restarts = np.flatnonzero(np.diff(slots) > 1) + 1
        used = weight.sum() + self.restart[job] * weight[restarts].sum()
        return float(self.fixed[job, site] + self.kw[job, site] * used)


def as_queue(problem: FleetProblem) -> Queue:
    """The problem as numbers; a deadline behind the last slot is the last slot's end."""
    names = [site.name for site in problem.sites]
    hours = problem.step_hours
    duration = np.array(
        [[job.duration_slots.get(n, 0) for n in names] for job in problem.jobs], dtype=np.int64
    )
    duration = duration.reshape(-1, len(names))
    kw = np.array(
        [[job.power_kw.get(s.name, s.power_w / 1000) for s in problem.sites] for job in problem.jobs]
    ).reshape(-1, len(names))
    transfer = np.array([[job.transfer_gco2.get(n, 0.0) for n in names] for job in problem.jobs])
    hourly = np.array([site.price_per_hour for site in problem.sites]) * hours * problem.gco2_per_money
    return Queue(
        duration=duration,
        kw=kw,
        fixed=transfer.reshape(-1, len(names)) + duration * hourly,
        first=np.array([job.first_slot for job in problem.jobs], dtype=np.int64),
        deadline=np.array([min(job.deadline_slot, problem.slots) for job in problem.jobs], dtype=np.int64),
        interruptible=np.array([job.interruptible for job in problem.jobs], dtype=np.bool_),
        restart=np.array([job.restart_slots for job in problem.jobs], dtype=np.float64),
        weight=np.array(
            [
                (site.gco2_per_kwh + site.price_per_kwh * problem.gco2_per_money) * site.pue * hours
                for site in problem.sites
            ]
        ),
    )


def capacities(problem: FleetProblem, *, ceilings: bool) -> Integers:
    """Places at each site in each slot, carbon-dependent ceilings applied or not; shape (sites, slots)."""
    places = np.empty((len(problem.sites), problem.slots), dtype=np.int64)
    for row, site in zip(places, problem.sites, strict=True):
        row[:] = len(problem.jobs) if site.capacity is None else site.capacity
        if ceilings and site.ceiling is not None:
            limits = [site.ceiling(float(value)) for value in site.gco2_per_kwh]
            np.minimum(row, np.maximum(limits, 0), out=row)
    return places
