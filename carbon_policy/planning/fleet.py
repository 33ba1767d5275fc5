"""`plan_fleet`: all waiting jobs together under the sites' capacities."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from carbon_policy.domain.job import Urgency
from carbon_policy.planning.booking import Booking
from carbon_policy.planning.improve import improve
from carbon_policy.planning.late import place_late
from carbon_policy.planning.prices import find_prices
from carbon_policy.planning.problem import FleetProblem, Floats
from carbon_policy.planning.queue import as_queue, capacities
from carbon_policy.planning.sacrifice import Sacrifice, sacrifices
from carbon_policy.planning.settle import settle

RANK = {Urgency.FLEXIBLE: 0, Urgency.NORMAL: 1, Urgency.CRITICAL: 2}


@dataclass(frozen=True)
class FleetAssignment:
    """What a job was given.

    Attributes:
        job: Its name.
        site: Name of the site; `None` where no place was left before the last slot.
        slots: The slots in which it runs, ascending.
        gco2: Expected grams, transfer and restarts included.
        cost: Expected money.
        objective_gco2: Grams with the money weighed in: what was made small.
        places_gco2: What its places are worth to the other jobs, grams: the sum of their shadow prices.
    """

    job: str
    site: str | None
    slots: tuple[int, ...]
    gco2: float
    cost: float
    objective_gco2: float
    places_gco2: float


@dataclass(frozen=True)
class FleetPlan:
    """A plan for all jobs.

    Attributes:
        assignments: One a job, in the order of the problem.
        objective_gco2: Grams of all jobs that have a place, money weighed in.
        bound_gco2: No plan of these jobs can have fewer; what was sacrificed is taken as given.
        sacrifices: The jobs that could not keep their deadline or stay below a ceiling, the most urgent first.
        shadow_price: Site name to the grams that one more place would save in each slot; shape (slots,). Approximate
            where a slot is taken by few jobs.
        steps: Steps of the search for prices.
        exchanges: Integer programs that were solved to improve the plan.
        exact: Whether every plan was looked at, so that this is the best there is.
        out_of_time: Whether the time limit ended the search: then, and only then, another machine may plan otherwise.
    """

    assignments: tuple[FleetAssignment, ...]
    objective_gco2: float
    bound_gco2: float
    sacrifices: tuple[Sacrifice, ...]
    shadow_price: dict[str, Floats]
    steps: int
    exchanges: int
    exact: bool
    out_of_time: bool

    @property
    def gap(self) -> float:
        """How much of the objective might still be saved at most, as a share (0 to 1)."""
        if self.objective_gco2 <= 0:
            return 0.0
        return max(0.0, 1 - self.bound_gco2 / self.objective_gco2)


def plan_fleet(
    problem: FleetProblem, *, time_limit_s: float = 60.0, clock: Callable[[], float] = time.monotonic
) -> FleetPlan:
    """Plan all jobs together, so that they emit as little as the capacities and deadlines allow.

    Capacity is priced first (`prices`), jobs take the cheapest places at these prices that are left (`booking`), those
    in want exchange with others (`exchange`), and what is then dearer than the bound is improved (`improve`). Few jobs
    with few choices are planned exactly. A queue that does not fit keeps its capacities: first ceilings yield, then
    deadlines, those of `flexible` jobs before `normal` and those before `critical`.

    Args:
        problem: Jobs, sites and slots.
        time_limit_s: After this time the plan is taken as it is.
        clock: Seconds that only go forward; measures the limit. A stopwatch: what time it is, no plan knows.

    Returns:
        The plan; the same for the same problem unless the time limit ended it, which it says.
    """
    deadline = clock() + time_limit_s
    timed_out = False

    def enough() -> bool:
        nonlocal timed_out
        timed_out = timed_out or clock() > deadline
        return timed_out

    rank = np.array([RANK[job.urgency] for job in problem.jobs], dtype=np.int64)
    under, most = (capacities(problem, ceilings=ceilings) for ceilings in (True, False))
    booking = Booking(as_queue(problem), rank, under)
    prices = find_prices(booking.queue, under, enough=enough)
    steps, granted = prices.steps, under
    settle(booking, prices.per_place, enough)
    if len(booking.waiting()):
        booking.room += most - under
        if (most > under).any():
            settle(booking, prices.per_place, enough)
        place_late(booking, prices.per_place)
        # From here on, the deadlines and places that were granted are as good as asked for.
        granted = np.maximum(under, most - booking.room)
        booking.room = booking.room - most + granted
        placed = booking.placed()
        prices = find_prices(booking.queue.only(placed), granted, enough=enough)
        steps += prices.steps
    improved = improve(booking, prices, enough)
    total = float(booking.gco2.sum())
    return FleetPlan(
        assignments=_assignments(problem, booking, prices.per_place),
        objective_gco2=total,
        bound_gco2=total if improved.exact else prices.bound_gco2,
        sacrifices=sacrifices(problem, booking, under),
        shadow_price={site.name: row for site, row in zip(problem.sites, prices.per_place, strict=True)},
        steps=steps,
        exchanges=improved.exchanges,
        exact=improved.exact,
        out_of_time=timed_out,
    )


def _assignments(problem: FleetProblem, booking: Booking, per_place: Floats) -> tuple[FleetAssignment, ...]:
    grams_only = as_queue(replace(problem, gco2_per_money=0.0))
    found = []
    for index, (job, run) in enumerate(zip(problem.jobs, booking.runs, strict=True)):
        if run is None:
            found.append(FleetAssignment(job.name, None, (), 0.0, 0.0, 0.0, 0.0))
            continue
        at, slots = run
        site = problem.sites[at]
        restarts = np.count_nonzero(np.diff(slots) > 1)
        hours = problem.step_hours * len(slots)
        energy_kwh = (
            (hours + restarts * job.restart_slots * problem.step_hours) * grams_only.kw[index, at] * site.pue
        )
        found.append(
            FleetAssignment(
                job=job.name,
                site=site.name,
                slots=tuple(slots.tolist()),
                gco2=grams_only.grams(index, at, slots),
                cost=energy_kwh * site.price_per_kwh + hours * site.price_per_hour,
                objective_gco2=float(booking.gco2[index]),
                places_gco2=float(per_place[at, slots].sum()),
            )
        )
    return tuple(found)
