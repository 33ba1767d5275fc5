"""What a queue that does not fit had to give up, job by job, in sentences."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

import numpy as np

from carbon_policy.domain.job import Urgency
from carbon_policy.domain.times import format_duration
from carbon_policy.planning.booking import Booking
from carbon_policy.planning.problem import FleetJob, FleetProblem, Integers


class SacrificeKind(StrEnum):
    """What was given up: the plan itself, the deadline, or a carbon-dependent ceiling."""

    NOT_PLACED = "not-placed"
    LATE = "late"
    OVER_CEILING = "over-ceiling"


@dataclass(frozen=True)
class Sacrifice:
    """What one job had to give up.

    Attributes:
        job: Its name.
        urgency: How urgent it is.
        kind: What was given up.
        late_by: For a late job, the time from its deadline to its end.
        sentence: The same for people.
    """

    job: str
    urgency: Urgency
    kind: SacrificeKind
    late_by: timedelta
    sentence: str


def sacrifices(problem: FleetProblem, booking: Booking, under_ceilings: Integers) -> tuple[Sacrifice, ...]:
    """What was given up, the most urgent first.

    Args:
        problem: What was asked.
        booking: What came of it.
        under_ceilings: Places with the ceilings applied; shape (sites, slots).
    """
    over = _over_ceiling(booking, under_ceilings)
    found = []
    for index, job in enumerate(problem.jobs):
        run = booking.runs[index]
        if run is None:
            found.append(_not_placed(problem, job))
        elif (end := int(run[1][-1]) + 1) > job.deadline_slot:
            found.append(_late(problem, job, problem.sites[run[0]].name, end))
        elif index in over:
            found.append(_over(job, problem.sites[run[0]].name))
    order = list(Urgency)
    return tuple(sorted(found, key=lambda each: order.index(each.urgency)))


def _over_ceiling(booking: Booking, under_ceilings: Integers) -> set[int]:
    """The jobs above a ceiling: of those that share a slot, the least urgent ones."""
    usage = booking.held()
    over: set[int] = set()
    for site, slot in np.argwhere(usage > under_ceilings).tolist():
        holders = sorted(booking.holders(site, slot), key=lambda job: (booking.rank[job], job))
        over.update(holders[: int(usage[site, slot] - under_ceilings[site, slot])])
    return over


def _late(problem: FleetProblem, job: FleetJob, site: str, end: int) -> Sacrifice:
    late_by = (end - job.deadline_slot) * problem.step
    shortest = min(job.duration_slots.values())
    if job.deadline_slot - job.first_slot < shortest:
        why = f"it takes {format_duration(shortest * problem.step)} and its window is shorter"
    else:
        why = "no place was found before it among jobs as urgent or more so"
    return Sacrifice(
        job.name,
        job.urgency,
        SacrificeKind.LATE,
        late_by,
        f"{job.name} ({job.urgency}) ends on {site} {format_duration(late_by)} after its deadline: {why}.",
    )


def _over(job: FleetJob, site: str) -> Sacrifice:
    return Sacrifice(
        job.name,
        job.urgency,
        SacrificeKind.OVER_CEILING,
        timedelta(0),
        f"{job.name} ({job.urgency}) runs on {site} above the ceiling for dirty hours:"
        " below it, not every deadline could be kept.",
    )


def _not_placed(problem: FleetProblem, job: FleetJob) -> Sacrifice:
    if job.duration_slots:
        until = problem.slot_start(problem.slots).isoformat()
        why = f"there is no place for it that ends by {until}, where the plan ends"
    else:
        why = "no site may take it"
    return Sacrifice(
        job.name,
        job.urgency,
        SacrificeKind.NOT_PLACED,
        timedelta(0),
        f"{job.name} ({job.urgency}) has no place in this plan: {why}.",
    )
