"""What `carbon-policy plan` shows, however it is shown: the queue on the forecast, what waiting and limits cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from carbon_policy.cli.words import counted, iso
from carbon_policy.domain.decision import Slice
from carbon_policy.domain.times import format_duration
from carbon_policy.domain.units import format_grams, format_percent
from carbon_policy.orchestration.queue import WaitingJob, WaitingQueue, as_problem
from carbon_policy.planning.fleet import FleetPlan, plan_fleet
from carbon_policy.planning.problem import FleetProblem, FleetSite, Floats
from carbon_policy.planning.queue import as_queue
from carbon_policy.policies.needs import reference_site

JSON_SCHEMA = "carbon-policy-plan/1"
"""Named in the JSON; raised when a field changes its meaning."""

_NOTABLE_GCO2 = 1e-6
"""A smaller price of a place is the arithmetic's."""


@dataclass(frozen=True)
class PlannedJob:
    """A waiting job and its place.

    Attributes:
        job: The job.
        site: Where it is planned; `None` where no place was found.
        slices: When, in order; one, unless it is interrupted.
        gco2: Expected grams there and then; `None` without a place.
        at_once_gco2: Expected grams if it goes as soon as it is due, on the site where it would go without us.
        unlimited_gco2: Expected grams if every site had room for all.
        places_gco2: What its places are worth to the other jobs.
        sacrificed: What it had to give up for want of room; empty where nothing.
    """

    job: WaitingJob
    site: str | None
    slices: tuple[Slice, ...]
    gco2: float | None
    at_once_gco2: float | None
    unlimited_gco2: float | None
    places_gco2: float = 0.0
    sacrificed: str = ""

    @property
    def saved_gco2(self) -> float | None:
        """What the plan saves against going at once."""
        if self.gco2 is None or self.at_once_gco2 is None:
            return None
        return self.at_once_gco2 - self.gco2

    @property
    def start(self) -> datetime | None:
        """When it first runs, UTC."""
        return self.slices[0].start if self.slices else None


@dataclass(frozen=True)
class PricedSite:
    """What the limit of a site costs.

    Attributes:
        name: Of the site.
        capacity: Jobs it runs at once; `None` for no limit.
        dirty_capacity: Jobs it is planned to run at once in dirty hours; `None` where these are like others.
        busy: Jobs that run there now.
        full_h: Hours in which the plan leaves no place free.
        peak: Most planned jobs at once.
        one_more_gco2: What one more place over the whole plan would save, as its shadow price says; to first order.
        dearest_at: When a place is dearest, UTC; `None` where none is.
    """

    name: str
    capacity: int | None
    dirty_capacity: int | None
    busy: int
    full_h: float
    peak: int
    one_more_gco2: float
    dearest_at: datetime | None


@dataclass(frozen=True)
class ShownPlan:
    """The plan of a queue.

    Attributes:
        queue: What waits.
        jobs: In the order of their starts; those without a place last.
        sites: By name.
        end: Until when the plan looks, UTC.
        gap: By how much of the bound's grams the plan may be worse than the best there is.
        remarks: What a reader must know.
    """

    queue: WaitingQueue
    jobs: tuple[PlannedJob, ...]
    sites: tuple[PricedSite, ...]
    end: datetime
    gap: float
    remarks: tuple[str, ...]

    def total(self, name: str) -> float:
        """The sum of a number of grams over the jobs that have a place and all three numbers."""
        return float(sum(getattr(job, name) for job in self._counted))

    @property
    def capacity_gco2(self) -> float:
        """What the sites' limits cost: the plan against the one with room for all."""
        return self.total("gco2") - self.total("unlimited_gco2")

    @property
    def saved_share(self) -> float:
        """Of the grams of going at once."""
        at_once = self.total("at_once_gco2")
        return 1 - self.total("gco2") / at_once if at_once else 0.0

    @property
    def sacrificed(self) -> list[PlannedJob]:
        """The jobs that had to give something up."""
        return [job for job in self.jobs if job.sacrificed]

    @property
    def simulated(self) -> bool:
        """Whether the grid is made up."""
        return any(series.simulated for series in self.queue.outlook.values())

    @property
    def limited(self) -> bool:
        """Whether any site has a limit, if only in dirty hours."""
        return _is_limited(self.queue)

    @property
    def _counted(self) -> list[PlannedJob]:
        return [job for job in self.jobs if None not in (job.gco2, job.at_once_gco2, job.unlimited_gco2)]


def shown_plan(queue: WaitingQueue) -> ShownPlan:
    """Plan a queue with the sites' capacities, and once more without."""
    problem = as_problem(queue)
    remarks = list(queue.left_out)
    if problem is None or not problem.jobs:
        if queue.jobs:
            remarks.append(
                "Nothing is known of the grid, so nothing is planned: every job goes when it is due."
            )
        waiting = tuple(PlannedJob(job, None, (), None, None, None) for job in queue.jobs)
        return ShownPlan(queue, waiting, (), queue.now, 0.0, tuple(remarks))
    unlimited = as_problem(queue, with_capacity=False)
    assert unlimited is not None  # noqa: S101  There is one with capacity.
    plan = plan_fleet(problem)
    free = plan_fleet(unlimited) if _is_limited(queue) else plan
    at_once = _at_once_gco2(queue, problem)
    by_run = {job.run_id: job for job in queue.jobs}
    # The plan knows runs by their ids; people know them by their names.
    lost = {one.job: one.sentence.replace(one.job, by_run[one.job].name, 1) for one in plan.sacrifices}
    planned = [
        PlannedJob(
            job=by_run[one.job],
            site=one.site,
            slices=_slices(problem, one.slots),
            gco2=one.gco2 if one.site else None,
            at_once_gco2=at_once.get(one.job),
            unlimited_gco2=roomy.gco2 if roomy.site else None,
            places_gco2=one.places_gco2,
            sacrificed=lost.get(one.job, ""),
        )
        for one, roomy in zip(plan.assignments, free.assignments, strict=True)
    ]
    outside = len(queue.jobs) - len(planned)
    if outside:
        what = counted(outside, "job")
        remarks.append(f"Not planned: {what} that no site takes, or that the outlook ends before.")
    planned.sort(key=lambda one: (one.start is None, one.start or queue.now, one.job.due_at))
    end = problem.slot_start(problem.slots)
    sites = tuple(_priced(problem, plan, queue))
    return ShownPlan(queue, tuple(planned), sites, end, plan.gap, tuple(remarks))


def _is_limited(queue: WaitingQueue) -> bool:
    return bool(queue.capacity) or any(site.dirty_capacity is not None for site in queue.sites)


def _at_once_gco2(queue: WaitingQueue, problem: FleetProblem) -> Mapping[str, float]:
    """Run to the grams of going as soon as it may, on the site where it would go without us, money left out."""
    rows = as_queue(replace(problem, gco2_per_money=0.0))
    column = {site.name: number for number, site in enumerate(problem.sites)}
    reference = {job.run_id: reference_site(job.evidence) for job in queue.jobs}
    found = {}
    for number, job in enumerate(problem.jobs):
        site = reference[job.name]
        if site is None or site.name not in job.duration_slots:
            continue
        slots = np.arange(job.first_slot, job.first_slot + job.duration_slots[site.name])
        if slots[-1] < problem.slots:
            found[job.name] = rows.grams(number, column[site.name], slots)
    return found


def _slices(problem: FleetProblem, slots: tuple[int, ...]) -> tuple[Slice, ...]:
    """Slots that follow each other are one slice."""
    found: list[list[int]] = []
    for slot in slots:
        if found and slot == found[-1][1]:
            found[-1][1] += 1
        else:
            found.append([slot, slot + 1])
    return tuple(Slice(start=problem.slot_start(a), finish=problem.slot_start(b)) for a, b in found)


def _priced(problem: FleetProblem, plan: FleetPlan, queue: WaitingQueue) -> Iterator[PricedSite]:
    used = np.zeros((len(problem.sites), problem.slots), dtype=np.int64)
    row = {site.name: number for number, site in enumerate(problem.sites)}
    for one in plan.assignments:
        if one.site is not None:
            used[row[one.site], list(one.slots)] += 1
    for number, (site, said) in enumerate(zip(problem.sites, queue.sites, strict=True)):
        prices = plan.shadow_price[site.name]
        full = used[number] >= _places(site)
        dearest = int(prices.argmax())
        yield PricedSite(
            name=site.name,
            capacity=queue.capacity.get(site.name),
            dirty_capacity=said.dirty_capacity,
            busy=queue.busy.get(site.name, 0),
            full_h=float(full.sum() * problem.step_hours),
            peak=int(used[number].max()),
            one_more_gco2=float(prices.sum()),
            dearest_at=problem.slot_start(dearest) if prices[dearest] > _NOTABLE_GCO2 else None,
        )


def _places(site: FleetSite) -> Floats:
    """In each slot, shape (slots,); infinite where nothing limits them."""
    places = np.full(len(site.gco2_per_kwh), np.inf)
    if site.capacity is not None:
        places = np.minimum(places, site.capacity)
    if site.ceiling is not None:
        places = np.minimum(places, [site.ceiling(float(value)) for value in site.gco2_per_kwh])
    return places


def as_document(shown: ShownPlan) -> dict[str, Any]:
    """The JSON: grams are gCO2e, times UTC, and what is not known is null."""
    return {
        "schema": JSON_SCHEMA,
        "now": iso(shown.queue.now),
        "end": iso(shown.end),
        "simulated": shown.simulated,
        "outlook": {
            zone: {"source": series.source, "id": series.fingerprint, "end": iso(series.end)}
            for zone, series in sorted(shown.queue.outlook.items())
        },
        "totals": {
            "jobs": len(shown.jobs),
            "plan_gco2": shown.total("gco2"),
            "at_once_gco2": shown.total("at_once_gco2"),
            "unlimited_gco2": shown.total("unlimited_gco2"),
            "capacity_gco2": shown.capacity_gco2,
            "sacrificed": len(shown.sacrificed),
            "gap": shown.gap,
        },
        "sites": [
            {
                "site": site.name,
                "capacity": site.capacity,
                "dirty_capacity": site.dirty_capacity,
                "busy": site.busy,
                "full_h": site.full_h,
                "peak": site.peak,
                "one_more_place_gco2": site.one_more_gco2,
                "dearest_at": iso(site.dearest_at) if site.dearest_at else None,
            }
            for site in shown.sites
        ],
        "jobs": [_job_document(one) for one in shown.jobs],
        "remarks": list(shown.remarks),
    }


def _job_document(one: PlannedJob) -> dict[str, Any]:
    return {
        "run_id": one.job.run_id,
        "name": one.job.name,
        "deployment": one.job.deployment,
        "urgency": one.job.evidence.spec.urgency.value,
        "due_at": iso(one.job.due_at),
        "starts_at": iso(one.job.starts_at),
        "site": one.site,
        "slices": [{"start": iso(part.start), "finish": iso(part.finish)} for part in one.slices],
        "plan_gco2": one.gco2,
        "at_once_gco2": one.at_once_gco2,
        "unlimited_gco2": one.unlimited_gco2,
        "places_gco2": one.places_gco2,
        "sacrificed": one.sacrificed or None,
    }


def headline(shown: ShownPlan) -> str:
    """The plan in a sentence."""
    share = format_percent(100 * shown.saved_share)
    return (
        f"{counted(len(shown.jobs), 'waiting job')}: {format_grams(shown.total('gco2'))} by this plan,"
        f" {format_grams(shown.total('at_once_gco2'))} if each goes when it is due: {share} saved."
    )


def capacity_sentence(shown: ShownPlan) -> str:
    """What the limits cost, in a sentence."""
    if not shown.limited:
        return "No site has a limit, so capacity costs nothing."
    cost = format_grams(max(0.0, shown.capacity_gco2))
    return (
        f"The sites' limits cost {cost} of that; the plan is within {shown.gap:.2%} of the best there can be."
    )


def slices_text(one: PlannedJob) -> str:
    """How long it runs, and in how many pieces."""
    runs = sum((part.finish - part.start for part in one.slices), timedelta(0))
    pieces = f" in {len(one.slices)} slices" if len(one.slices) > 1 else ""
    return f"{format_duration(runs)}{pieces}" if one.slices else "–"


ASSUMED = (
    "Grams are expected ones, on the forecast that a decision would see now, in slots of a quarter of an hour."
    " At once is as soon as a job is due, on the site where it would go without a carbon policy."
    " Jobs that run now are taken to hold their places for another hour."
)
SITE_HEAD = (
    "Site",
    "Places",
    "Taken now",
    "Most at once",
    "Full for",
    "One more place saves",
    "Dearest at (UTC)",
)


def site_cells(site: PricedSite) -> list[str]:
    """A site's row."""
    dirty = "" if site.dirty_capacity is None else f" (dirty: {site.dirty_capacity})"
    return [
        site.name,
        f"{'no limit' if site.capacity is None else site.capacity}{dirty}",
        str(site.busy),
        str(site.peak),
        f"{site.full_h:g} h",
        format_grams(site.one_more_gco2),
        f"{site.dearest_at:%a %d %b %H:%M}" if site.dearest_at else "–",
    ]
