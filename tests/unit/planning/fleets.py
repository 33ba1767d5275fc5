"""Small fleets for the tests of the planner, and the plain ways to judge a plan."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import combinations, product

import numpy as np
from hypothesis import strategies as st

from carbon_policy.domain.job import Urgency
from carbon_policy.planning.fleet import FleetPlan
from carbon_policy.planning.problem import FleetJob, FleetProblem, FleetSite

START = datetime(2024, 3, 4, tzinfo=UTC)
STEP = timedelta(minutes=30)
NAMES = ("north", "south", "west")


def site(name: str, values: list[float], **fields: object) -> FleetSite:
    return FleetSite(name, np.array(values, dtype=float), **fields)  # type: ignore[arg-type]


def job(name: str, first: int, deadline: int, duration: dict[str, int], **fields: object) -> FleetJob:
    fields.setdefault("urgency", Urgency.FLEXIBLE)
    return FleetJob(
        name=name,
        first_slot=first,
        deadline_slot=deadline,
        duration_slots=duration,
        **fields,  # type: ignore[arg-type]
    )


def problem(sites: list[FleetSite], jobs: list[FleetJob], gco2_per_money: float = 0.0) -> FleetProblem:
    return FleetProblem(STEP, START, tuple(sites), tuple(jobs), gco2_per_money)


@st.composite
def problems(draw: st.DrawFn, max_jobs: int = 4, slots: int = 6) -> FleetProblem:
    """Two sites, a few jobs that want the same slots, ceilings at times; the queue may not fit."""
    sites = []
    for name in NAMES[:2]:
        values = draw(st.lists(st.integers(0, 600), min_size=slots, max_size=slots))
        ceiling = draw(st.sampled_from([None, 0, 1]))
        sites.append(
            site(
                name,
                [float(value) for value in values],
                capacity=draw(st.integers(1, 2)),
                price_per_kwh=draw(st.sampled_from([0.0, 0.3])),
                price_per_hour=draw(st.sampled_from([0.0, 1.0])),
                pue=draw(st.sampled_from([1.0, 1.4])),
                ceiling=None if ceiling is None else (lambda value, most=ceiling: most if value > 400 else 9),
            )
        )
    jobs = []
    for index in range(draw(st.integers(1, max_jobs))):
        durations = {s.name: draw(st.integers(1, 3)) for s in sites if draw(st.booleans())}
        first = draw(st.integers(0, slots - 1))
        jobs.append(
            job(
                f"job-{index}",
                first,
                first + draw(st.integers(1, slots)),
                durations,
                urgency=draw(st.sampled_from(list(Urgency))),
                interruptible=draw(st.booleans()),
                power_kw={name: draw(st.sampled_from([0.1, 1.0, 3.0])) for name in durations},
                transfer_gco2={name: draw(st.sampled_from([0.0, 20.0])) for name in durations},
                restart_slots=draw(st.sampled_from([0.0, 0.2])),
            )
        )
    return problem(sites, jobs, gco2_per_money=draw(st.sampled_from([0.0, 50.0])))


def capacity(planned: FleetSite, slot: int) -> int:
    if planned.capacity is None:
        return 10**9
    return int(planned.capacity[slot]) if isinstance(planned.capacity, np.ndarray) else planned.capacity


def below_ceiling(planned: FleetSite, slot: int) -> int:
    most = capacity(planned, slot)
    return most if planned.ceiling is None else min(most, planned.ceiling(float(planned.gco2_per_kwh[slot])))


def usage(asked: FleetProblem, plan: FleetPlan) -> dict[tuple[str, int], int]:
    used: dict[tuple[str, int], int] = {}
    for given in plan.assignments:
        for slot in given.slots:
            assert given.site is not None
            used[given.site, slot] = used.get((given.site, slot), 0) + 1
    return used


def grams(asked: FleetProblem, planned: FleetJob, place: FleetSite, slots: tuple[int, ...]) -> float:
    """What a run costs, money weighed in, summed slot by slot."""
    kw = planned.power_kw.get(place.name, place.power_w / 1000)
    total = planned.transfer_gco2.get(place.name, 0.0)
    for before, slot in zip((None, *slots), slots, strict=False):
        restarts = planned.restart_slots if before is not None and slot > before + 1 else 0.0
        energy_kwh = kw * place.pue * asked.step_hours * (1 + restarts)
        money = energy_kwh * place.price_per_kwh + place.price_per_hour * asked.step_hours
        total += energy_kwh * float(place.gco2_per_kwh[slot]) + money * asked.gco2_per_money
    return total


def runs(asked: FleetProblem, planned: FleetJob) -> Iterator[tuple[FleetSite, tuple[int, ...]]]:
    """Every run that keeps the job's window."""
    for place in asked.sites:
        length = planned.duration_slots.get(place.name, 0)
        window = range(planned.first_slot, min(planned.deadline_slot, asked.slots))
        if length == 0 or length > len(window):
            continue
        for slots in combinations(window, length):
            if planned.interruptible or slots[-1] - slots[0] == length - 1:
                yield place, slots


def best_by_brute_force(asked: FleetProblem) -> tuple[tuple[int, ...], float]:
    """The most jobs that can keep window, capacity and ceilings, the most urgent first; and their least grams."""
    best: tuple[tuple[int, ...], float] | None = None
    for chosen in product(*([None, *runs(asked, planned)] for planned in asked.jobs)):
        used: dict[tuple[str, int], int] = {}
        for run in chosen:
            for slot in run[1] if run else ():
                used[run[0].name, slot] = used.get((run[0].name, slot), 0) + 1
        if any(
            used.get((s.name, slot), 0) > below_ceiling(s, slot)
            for s in asked.sites
            for slot in range(asked.slots)
        ):
            continue
        placed = [planned.urgency for planned, run in zip(asked.jobs, chosen, strict=True) if run]
        counts = tuple(placed.count(urgency) for urgency in Urgency)
        total = sum(
            grams(asked, planned, *run) for planned, run in zip(asked.jobs, chosen, strict=True) if run
        )
        if best is None or (tuple(-count for count in counts), total) < (tuple(-c for c in best[0]), best[1]):
            best = counts, total
    assert best is not None
    return best
