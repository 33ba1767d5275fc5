"""What is planned: waiting jobs, the sites that could take them, and the slots ahead."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from carbon_policy.domain.errors import InvalidInputError
from carbon_policy.domain.job import Urgency

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]


@dataclass(frozen=True)
class FleetSite:
    """A site over the slots of the plan.

    Attributes:
        name: What people and decisions call it.
        gco2_per_kwh: Expected intensity, one value a slot, shape (slots,).
        capacity: Jobs it runs at once: one number, or one a slot; `None` for no limit.
        price_per_kwh: Money per kWh drawn.
        price_per_hour: Money per hour of one job, beside its energy.
        pue: Power usage effectiveness of the building, at least 1.
        power_w: What a job draws here that has no figure of its own, watts, without PUE.
        ceiling: A carbon-dependent ceiling on the capacity: from a slot's g/kWh to the jobs that may run in it.
            It yields to deadlines; the capacity never does.
    """

    name: str
    gco2_per_kwh: Floats
    capacity: int | Integers | None = None
    price_per_kwh: float = 0.0
    price_per_hour: float = 0.0
    pue: float = 1.0
    power_w: float = 100.0
    ceiling: Callable[[float], int] | None = None


@dataclass(frozen=True)
class FleetJob:
    """A waiting job. It takes one place of a site's capacity in each slot in which it runs.

    Attributes:
        name: What names the run.
        urgency: Where not every job can keep its deadline, `flexible` ones give way first and `critical` ones last.
        first_slot: It runs in no slot before this one.
        deadline_slot: It is done before this slot begins.
        duration_slots: Site name to the slots it takes there; a site that is missing is not allowed.
        interruptible: Its slots need not follow each other; all of them are on one site.
        power_kw: Site name to what it draws there, kW, without PUE; the site's `power_w` where missing. Where the last
            slot is used in part, give the mean over its slots, so that the energy is right.
        transfer_gco2: Site name to the grams of moving its data there.
        restart_slots: What each stop and restart costs, in slots of its power, at the intensity of the slot in which it
            starts again: 0.1 is three minutes of half an hour. It takes no place.
    """

    name: str
    urgency: Urgency
    first_slot: int
    deadline_slot: int
    duration_slots: Mapping[str, int]
    interruptible: bool = False
    power_kw: Mapping[str, float] = field(default_factory=dict)
    transfer_gco2: Mapping[str, float] = field(default_factory=dict)
    restart_slots: float = 0.0


@dataclass(frozen=True)
class FleetProblem:
    """All waiting jobs, all sites, and the slots ahead.

    Attributes:
        step: Length of a slot.
        start: Start of slot 0, UTC.
        sites: The sites; all have the same number of slots.
        jobs: The jobs; names are unique.
        gco2_per_money: How many grams one unit of money weighs; 0 ignores prices.

    Raises:
        InvalidInputError: Something contradicts itself; the message says what.
    """

    step: timedelta
    start: datetime
    sites: tuple[FleetSite, ...]
    jobs: tuple[FleetJob, ...]
    gco2_per_money: float = 0.0

    def __post_init__(self) -> None:
        if self.start.tzinfo is None:
            raise InvalidInputError(f"start ({self.start.isoformat()}) has no time zone; give it in UTC.")
        if self.step <= timedelta(0):
            raise InvalidInputError(f"A slot must have a length, and {self.step} is none.")
        if not self.sites:
            raise InvalidInputError("A plan needs at least one site.")
        for names, what in (((s.name for s in self.sites), "sites"), ((j.name for j in self.jobs), "jobs")):
            listed = list(names)
            if len(set(listed)) != len(listed):
                raise InvalidInputError(f"Two {what} have the same name; give each its own.")
        for site in self.sites:
            self._check_site(site)
        known = {site.name for site in self.sites}
        for job in self.jobs:
            _check_job(job, known)

    def _check_site(self, site: FleetSite) -> None:
        shape = (self.slots,)
        if site.gco2_per_kwh.shape != shape or self.slots == 0:
            raise InvalidInputError(
                f"{site.name} has intensities of shape {site.gco2_per_kwh.shape}; all sites need one a slot, {shape}."
            )
        if not np.all(np.isfinite(site.gco2_per_kwh)) or np.any(site.gco2_per_kwh < 0):
            raise InvalidInputError(
                f"{site.name} has an intensity that is negative or not a number; fill the gap."
            )
        if isinstance(site.capacity, np.ndarray) and site.capacity.shape != shape:
            raise InvalidInputError(
                f"{site.name} has capacities of shape {site.capacity.shape}; give one number, or one a slot, {shape}."
            )
        if site.capacity is not None and np.any(np.asarray(site.capacity) < 0):
            raise InvalidInputError(f"{site.name} has a capacity below 0.")
        if min(site.price_per_kwh, site.price_per_hour, site.power_w) < 0 or site.pue < 1:
            raise InvalidInputError(f"{site.name} has a price or power below 0, or a PUE below 1.")

    @property
    def slots(self) -> int:
        """How many slots are planned."""
        return len(self.sites[0].gco2_per_kwh)

    @property
    def step_hours(self) -> float:
        """Length of a slot, hours."""
        return self.step.total_seconds() / 3600

    def slot_start(self, slot: int) -> datetime:
        """When a slot starts, UTC."""
        return self.start + slot * self.step


def _check_job(job: FleetJob, known: set[str]) -> None:
    for mapping in (job.duration_slots, job.power_kw, job.transfer_gco2):
        if unknown := sorted(set(mapping) - known):
            raise InvalidInputError(
                f"{job.name} names the site {unknown[0]}, and there is none of that name."
            )
    if any(duration < 1 for duration in job.duration_slots.values()):
        raise InvalidInputError(f"{job.name} takes less than a slot somewhere; the least is 1.")
    if job.first_slot < 0:
        raise InvalidInputError(f"{job.name} may start in slot {job.first_slot}; the first there is, is 0.")
    if min([job.restart_slots, *job.power_kw.values(), *job.transfer_gco2.values()]) < 0:
        raise InvalidInputError(f"{job.name} has a power, a transfer or a cost of restarts below 0.")
