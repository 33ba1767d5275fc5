"""The fleet's plan: what always holds, how good it is, and what gives way where the queue does not fit."""

from __future__ import annotations

import dataclasses
from collections import Counter
from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings

from carbon_policy.domain.errors import InvalidInputError
from carbon_policy.domain.job import Urgency
from carbon_policy.planning.fleet import plan_fleet
from carbon_policy.planning.problem import FleetProblem
from carbon_policy.planning.sacrifice import SacrificeKind
from tests.unit.planning.fleets import (
    STEP,
    below_ceiling,
    best_by_brute_force,
    capacity,
    grams,
    job,
    problem,
    problems,
    site,
    usage,
)


@settings(max_examples=30)
@given(problems())
def test_every_plan_keeps_what_it_must(asked: FleetProblem) -> None:
    plan = plan_fleet(asked)
    given_up = {each.job: each for each in plan.sacrifices}
    sites = {each.name: each for each in asked.sites}
    assert [each.job for each in plan.assignments] == [each.name for each in asked.jobs]
    assert len(given_up) == len(plan.sacrifices), "a job is named once"
    total = 0.0
    for planned, run in zip(asked.jobs, plan.assignments, strict=True):
        if run.site is None:
            assert given_up[planned.name].kind is SacrificeKind.NOT_PLACED
            continue
        assert len(run.slots) == planned.duration_slots[run.site]
        assert len(set(run.slots)) == len(run.slots)
        assert planned.first_slot <= min(run.slots)
        if max(run.slots) >= planned.deadline_slot:
            assert given_up[planned.name].kind is SacrificeKind.LATE
            assert given_up[planned.name].late_by == (max(run.slots) + 1 - planned.deadline_slot) * STEP
        if not planned.interruptible:
            assert list(run.slots) == list(range(run.slots[0], run.slots[0] + len(run.slots)))
        assert run.objective_gco2 == pytest.approx(grams(asked, planned, sites[run.site], run.slots))
        assert run.objective_gco2 == pytest.approx(run.gco2 + run.cost * asked.gco2_per_money)
        total += run.objective_gco2
    assert plan.objective_gco2 == pytest.approx(total)
    assert plan.bound_gco2 <= plan.objective_gco2 * (1 + 1e-9) + 1e-9
    for (name, slot), used in usage(asked, plan).items():
        assert used <= capacity(sites[name], slot)
        holders = [each.job for each in plan.assignments if each.site == name and slot in each.slots]
        assert sum(holder in given_up for holder in holders) >= used - below_ceiling(sites[name], slot)


@settings(max_examples=30)
@given(problems(max_jobs=3, slots=5))
def test_small_queues_are_planned_as_well_as_by_trying_everything(asked: FleetProblem) -> None:
    counts, least = best_by_brute_force(asked)
    plan = plan_fleet(asked)
    if sum(counts) == len(asked.jobs):
        assert plan.sacrifices == ()
        assert plan.exact
        assert plan.objective_gco2 == pytest.approx(least)
        assert plan.gap == pytest.approx(0.0, abs=1e-9)
    else:
        assert plan.sacrifices


@settings(max_examples=30)
@given(problems(max_jobs=4, slots=4))
def test_no_more_urgent_job_is_given_up_than_must_be(asked: FleetProblem) -> None:
    # Without ceilings, a sacrifice is a job that is late or has no place.
    asked = dataclasses.replace(
        asked, sites=tuple(dataclasses.replace(each, ceiling=None) for each in asked.sites)
    )
    kept, _ = best_by_brute_force(asked)
    plan = plan_fleet(asked)
    given_up = Counter(each.urgency for each in plan.sacrifices)
    asked_for = Counter(each.urgency for each in asked.jobs)
    assert given_up[Urgency.CRITICAL] == asked_for[Urgency.CRITICAL] - kept[0]


@settings(max_examples=10)
@given(problems())
def test_the_same_queue_gets_the_same_plan(asked: FleetProblem) -> None:
    one, other = plan_fleet(asked), plan_fleet(asked)
    assert one.assignments == other.assignments
    assert one.sacrifices == other.sacrifices
    for name, prices in one.shadow_price.items():
        assert np.array_equal(prices, other.shadow_price[name])


def crowd(jobs: int, places: int, slots: int = 48, **fields: object) -> FleetProblem:
    """A queue too long to try everything, from fixed pseudo-random numbers."""
    rng = np.random.default_rng(7)
    sites = [
        site(name, list(rng.uniform(50, 500, slots)), capacity=places, **fields)
        for name in ("north", "south")
    ]
    made = []
    for index in range(jobs):
        length = int(rng.integers(1, 6))
        first = int(rng.integers(0, slots - 24))
        made.append(
            job(
                f"job-{index}",
                first,
                first + length + int(rng.integers(6, 18)),
                {"north": length, "south": length + 1},
                urgency=list(Urgency)[int(rng.integers(0, 3))],
                interruptible=bool(rng.integers(0, 2)),
                power_kw={"north": float(rng.uniform(0.1, 2)), "south": float(rng.uniform(0.1, 2))},
                restart_slots=0.1,
            )
        )
    return problem(sites, made)


def test_a_longer_queue_fits_within_capacity_and_close_to_the_bound() -> None:
    asked = crowd(jobs=150, places=9)
    plan = plan_fleet(asked)
    assert plan.sacrifices == ()
    assert not plan.exact
    assert max(usage(asked, plan).values()) == 9, "the capacity is meant to bind"
    for planned, run in zip(asked.jobs, plan.assignments, strict=True):
        assert planned.first_slot <= run.slots[0]
        assert run.slots[-1] < planned.deadline_slot
    assert 0 <= plan.gap < 0.03
    assert plan_fleet(asked).assignments == plan.assignments


def test_no_place_is_looked_for_where_a_site_is_closed() -> None:
    asked = crowd(jobs=150, places=12)
    hours = np.arange(asked.slots) // 2
    opened = [np.where(hours % 5 == shut, 0, 12) for shut in (0, 2)]
    sites = tuple(
        dataclasses.replace(each, capacity=places) for each, places in zip(asked.sites, opened, strict=True)
    )
    plan = plan_fleet(dataclasses.replace(asked, sites=sites))
    assert not plan.exact
    assert plan.gap < 0.1
    used = usage(asked, plan)
    for each, places in zip(sites, opened, strict=True):
        assert all(used.get((each.name, slot), 0) <= most for slot, most in enumerate(places.tolist()))


def test_a_place_has_a_price_only_where_it_is_wanted() -> None:
    asked = crowd(jobs=150, places=9)
    plan = plan_fleet(asked)
    used = usage(asked, plan)
    dearest = max(plan.shadow_price, key=lambda name: float(plan.shadow_price[name].max()))
    slot = int(plan.shadow_price[dearest].argmax())
    assert plan.shadow_price[dearest][slot] > 0
    assert used[dearest, slot] == 9
    roomy = plan_fleet(crowd(jobs=150, places=150))
    assert all((prices == 0).all() for prices in roomy.shadow_price.values())
    assert roomy.gap == pytest.approx(0, abs=1e-9), "without contention each job has its own best"


def test_a_queue_that_does_not_fit_gives_up_the_flexible_ones() -> None:
    hours = {"north": 2}
    jobs = [
        job(f"{urgency}-{index}", 0, 4, hours, urgency=urgency)
        for index in range(3)
        for urgency in reversed(Urgency)
    ]
    # Four slots of two places: four jobs fit of the nine, and there is room for the others behind.
    plan = plan_fleet(problem([site("north", [300.0] * 12, capacity=2)], jobs))
    late = {each.job: each for each in plan.sacrifices}
    assert all(each.kind is SacrificeKind.LATE for each in late.values())
    assert Counter(each.urgency for each in late.values()) == {Urgency.NORMAL: 2, Urgency.FLEXIBLE: 3}
    assert [each.urgency for each in plan.sacrifices] == [Urgency.NORMAL] * 2 + [Urgency.FLEXIBLE] * 3
    assert max(late[f"normal-{i}"].late_by for i in range(3) if f"normal-{i}" in late) <= min(
        late[f"flexible-{i}"].late_by for i in range(3)
    )
    assert "after its deadline" in plan.sacrifices[0].sentence


def test_more_urgent_jobs_displace_others_in_a_long_queue() -> None:
    jobs = [job(f"flexible-{i}", 0, 40, {"north": 4}) for i in range(60)]
    jobs += [job(f"critical-{i}", 18, 22, {"north": 4}, urgency=Urgency.CRITICAL) for i in range(5)]
    plan = plan_fleet(problem([site("north", list(np.linspace(300, 100, 80)), capacity=5)], jobs))
    assert {each.urgency for each in plan.sacrifices} == {Urgency.FLEXIBLE}
    # 40 slots of 5 places hold 50 runs of 4 slots, and the critical ones need 5 of them.
    assert len(plan.sacrifices) >= 15


def test_a_ceiling_holds_where_deadlines_allow_and_yields_where_they_do_not() -> None:
    dirty = site(
        "north", [500.0, 500.0, 100.0, 100.0], capacity=3, ceiling=lambda value: 1 if value > 400 else 3
    )
    roomy = plan_fleet(problem([dirty], [job(f"job-{i}", 0, 4, {"north": 2}) for i in range(4)]))
    assert roomy.sacrifices == ()
    assert sum(0 in each.slots for each in roomy.assignments) == 1
    tight = plan_fleet(problem([dirty], [job(f"job-{i}", 0, 2, {"north": 2}) for i in range(3)]))
    assert [each.kind for each in tight.sacrifices] == [SacrificeKind.OVER_CEILING] * 2
    assert "above the ceiling" in tight.sacrifices[0].sentence


def test_a_job_that_nothing_can_take_is_said_to_have_no_place() -> None:
    plan = plan_fleet(
        problem(
            [site("north", [100.0] * 4, capacity=1)],
            [job("homeless", 0, 4, {}), job("endless", 0, 4, {"north": 9}), job("fine", 0, 4, {"north": 1})],
        )
    )
    assert [(each.job, each.kind) for each in plan.sacrifices] == [
        ("homeless", SacrificeKind.NOT_PLACED),
        ("endless", SacrificeKind.NOT_PLACED),
    ]
    assert plan.assignments[2].site == "north"


def test_a_job_longer_than_its_window_ends_as_soon_as_it_can() -> None:
    plan = plan_fleet(problem([site("north", [9.0] * 8)], [job("long", 1, 3, {"north": 4})]))
    assert plan.assignments[0].slots == (1, 2, 3, 4)
    assert plan.sacrifices[0].sentence == (
        "long (flexible) ends on north 1h after its deadline: it takes 2h and its window is shorter."
    )


def test_price_and_transfer_move_a_job() -> None:
    sites = [site("north", [100.0] * 2, price_per_hour=4.0), site("south", [110.0] * 2)]
    one = job("one", 0, 2, {"north": 1, "south": 1}, power_kw={"north": 1.0, "south": 1.0})
    assert plan_fleet(problem(sites, [one])).assignments[0].site == "north"
    assert plan_fleet(problem(sites, [one], gco2_per_money=10.0)).assignments[0].site == "south"
    far = dataclasses.replace(one, transfer_gco2={"north": 6.0})
    assert plan_fleet(problem(sites, [far])).assignments[0].site == "south"


def test_a_restart_is_paid_for_by_what_it_saves() -> None:
    valley = [site("north", [100.0, 140.0, 100.0, 300.0])]
    halves = job("halves", 0, 4, {"north": 2}, interruptible=True, power_kw={"north": 2.0})
    assert plan_fleet(problem(valley, [halves])).assignments[0].slots == (0, 2)
    costly = dataclasses.replace(halves, restart_slots=0.5)
    assert plan_fleet(problem(valley, [costly])).assignments[0].slots == (0, 1)


def test_the_end_of_time_is_said() -> None:
    asked = crowd(jobs=150, places=9)
    ticks = iter(range(10**6))
    plan = plan_fleet(asked, time_limit_s=3, clock=lambda: float(next(ticks)))
    assert plan.out_of_time
    assert plan.steps < 10
    assert max(usage(asked, plan).values()) <= 9
    assert not plan_fleet(crowd(jobs=5, places=9)).out_of_time


def test_an_empty_queue_is_a_plan() -> None:
    plan = plan_fleet(problem([site("north", [100.0])], []))
    assert plan.assignments == ()
    assert plan.objective_gco2 == 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: problem([], []), "at least one site"),
        (lambda: problem([site("a", [1.0]), site("a", [1.0])], []), "same name"),
        (lambda: problem([site("a", [1.0]), site("b", [1.0, 2.0])], []), "one a slot"),
        (lambda: problem([site("a", [float("nan")])], []), "not a number"),
        (lambda: problem([site("a", [1.0], capacity=-1)], []), "below 0"),
        (lambda: problem([site("a", [1.0], capacity=np.array([1, 2]))], []), "capacities of shape"),
        (lambda: problem([site("a", [1.0], pue=0.5)], []), "PUE"),
        (lambda: problem([site("a", [1.0])], [job("j", 0, 1, {"b": 1})]), "none of that name"),
        (lambda: problem([site("a", [1.0])], [job("j", 0, 1, {"a": 0})]), "less than a slot"),
        (lambda: problem([site("a", [1.0])], [job("j", -1, 1, {"a": 1})]), "may start in slot -1"),
        (lambda: problem([site("a", [1.0])], [job("j", 0, 1, {"a": 1}, restart_slots=-1.0)]), "below 0"),
        (lambda: FleetProblem(STEP, datetime(2024, 1, 1), (), ()), "no time zone"),  # noqa: DTZ001
        (lambda: FleetProblem(timedelta(0), problem([site("a", [1.0])], []).start, (), ()), "a length"),
    ],
)
def test_contradictions_are_refused(wrong: object, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        wrong()  # type: ignore[operator]
