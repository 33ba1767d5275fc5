"""The greenest slices, against every plan there is on tiny windows, and their promises on any window."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from carbon_policy.domain.errors import InvalidInputError
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.policies.slice_search import Stretches, fewest_grams
from carbon_policy.policies.slices import greenest_slices, plan_slices
from tests.unit.policies.strategies import START, series

EQUAL = 1e-6

tiny = st.lists(st.integers(0, 50), min_size=2, max_size=8)
costs = st.sampled_from([0.0, 0.25, 0.5, 1.0, 1.5])


def grams_of(stretches: Stretches, values: list[float]) -> float:
    cumulative = np.concatenate([[0.0], np.cumsum(values)])
    edges = np.arange(len(values) + 1)
    return float(
        sum(
            np.interp(end, edges, cumulative) - np.interp(start, edges, cumulative)
            for start, end in stretches
        )
    )


def slices_of(runs: tuple[bool, ...]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff([False, *runs, False]))
    return [(int(start), int(end)) for start, end in zip(edges[::2], edges[1::2], strict=True)]


def fewest_of_all(
    values: list[float],
    work: int,
    *,
    break_cost: float,
    first_cost: float = 0.0,
    shortest: float = 1.0,
    shortest_rest: float = 0.0,
    may_start: list[bool] | None = None,
    may_be_first: list[bool] | None = None,
) -> float | None:
    """Every subset of the slots is tried; of the last slot only what is needed is charged."""
    fewest = None
    for runs in product([False, True], repeat=len(values)):
        slices = slices_of(runs)
        if not slices:
            continue
        *before, last = slices
        spare = sum(runs) - work - first_cost - break_cost * len(before)
        overheads = [first_cost, *([break_cost] * len(before))]
        lengths = [end - start for start, end in slices]
        lengths[-1] -= spare
        rests = [begin - end for (_, end), (begin, _) in pairwise(slices)]
        if (
            not 0 <= spare < 1
            or any(length < shortest for length in lengths[:-1])
            or any(rest < shortest_rest for rest in rests)
            # Each slice does some work.
            or any(length <= overhead + EQUAL for length, overhead in zip(lengths, overheads, strict=True))
            or (may_start and not all(may_start[start] for start, _ in slices))
            or (may_be_first and not may_be_first[slices[0][0]])
        ):
            continue
        grams = sum(np.array(values)[list(runs)]) - spare * values[last[1] - 1]
        fewest = grams if fewest is None else min(fewest, grams)
    return fewest


@given(values=tiny, work=st.integers(1, 8))
def test_without_costs_they_are_the_lowest_slots_and_the_earliest_of_equal_ones(
    values: list[int], work: int
) -> None:
    assume(work <= len(values))
    runs = greenest_slices(np.array(values, dtype=float), work)
    lowest = sorted(range(len(values)), key=lambda slot: (values[slot], slot))[:work]
    assert sorted(lowest) == np.flatnonzero(runs).tolist()


@given(values=tiny, work=st.integers(1, 8))
def test_the_search_agrees_with_the_lowest_slots(values: list[int], work: int) -> None:
    assume(work <= len(values))
    found = search(values, work, break_cost=0.0)
    assert found is not None
    assert grams_of(found, values) == pytest.approx(sum(sorted(values)[:work]), abs=EQUAL)


def search(values: list[float], work: float, **limits: object) -> Stretches | None:
    anywhere = [True] * len(values)
    given = {"first_cost": 0.0, "shortest": 1.0} | limits
    given["may_start"] = np.array(given.get("may_start") or anywhere)
    given["may_be_first"] = given["may_start"] & np.array(given.get("may_be_first") or anywhere)
    return fewest_grams(np.arange(len(values) + 1.0), np.array(values, dtype=float), work=work, **given)


@given(values=tiny, work=st.integers(1, 8), break_cost=costs, shortest=st.integers(1, 3), data=st.data())
def test_no_plan_emits_less(
    values: list[int], work: int, break_cost: float, shortest: int, data: st.DataObject
) -> None:
    flags = st.lists(st.booleans(), min_size=len(values), max_size=len(values))
    limits = {
        "break_cost": break_cost,
        "shortest": float(shortest),
        "shortest_rest": data.draw(st.sampled_from([0.0, 1.0, 2.0])),
        "may_start": data.draw(flags),
    }
    limits["may_be_first"] = [a and b for a, b in zip(limits["may_start"], data.draw(flags), strict=True)]
    assume(any(limits["may_be_first"]))
    found = search(values, work, **limits)
    fewest = fewest_of_all(values, work, **limits)
    if fewest is None:
        assert found is None
    else:
        assert found is not None
        assert grams_of(found, values) == pytest.approx(fewest, abs=EQUAL)


@given(values=tiny, work=st.integers(1, 6), break_cost=costs, more=st.sampled_from([0.25, 0.5, 1.0]))
def test_dearer_breaks_never_make_it_greener(
    values: list[int], work: int, break_cost: float, more: float
) -> None:
    cheap = search(values, work, break_cost=break_cost)
    dear = search(values, work, break_cost=break_cost + more)
    if dear is not None:
        assert cheap is not None
        assert grams_of(cheap, values) <= grams_of(dear, values) + EQUAL


@given(
    values=st.lists(st.integers(0, 500), min_size=12, max_size=60),
    work=st.integers(1, 12),
    break_cost=st.floats(0, 1.2),
    shortest=st.integers(1, 4),
    first=st.floats(0, 0.5),
)
def test_a_plan_has_the_work_that_was_asked(
    values: list[int], work: int, break_cost: float, shortest: int, first: float
) -> None:
    found = search(values, work, break_cost=break_cost, shortest=float(shortest), first_cost=first)
    if found is None:
        assert work + first > len(values) - 1
        return
    lengths = [end - start for start, end in found]
    useful = sum(lengths) - first - break_cost * (len(found) - 1)
    assert useful == pytest.approx(work, abs=EQUAL)
    assert all(length >= shortest - EQUAL for length in lengths[:-1])


def test_work_that_does_not_fit_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="do not fit"):
        greenest_slices(np.ones(4), 5)
    assert search([1.0] * 4, 4, break_cost=0.0, first_cost=0.5) is None


def test_no_work_needs_no_slots() -> None:
    assert not greenest_slices(np.ones(4), 0).any()


def test_two_valleys_are_worth_a_break_only_while_it_is_cheap() -> None:
    values = [10.0, 10, 100, 100, 10, 10]
    # A break costs its time in the valley, which must be made up on the hill: 0.5 x 100 of running time, and no more.
    assert search(values, 3, break_cost=0.5) == [(0, 2), (4, 5.5)]
    assert len(search(values, 4, break_cost=2.0) or []) == 1


@st.composite
def windows(draw: st.DrawFn) -> tuple[IntensitySeries, datetime, datetime, dict[str, timedelta]]:
    outlook = draw(series())
    length = outlook.end - outlook.start
    earliest = outlook.start + draw(st.floats(0, 0.5)) * length
    finish = earliest + draw(st.floats(0.3, 1)) * (outlook.end - earliest)
    work = draw(st.floats(0.05, 0.8)) * (finish - earliest)
    step = outlook.step
    limits = {
        "work": work,
        "stop_cost": draw(st.floats(0, 0.5)) * step,
        "restart_cost": draw(st.floats(0, 0.7)) * step,
        "shortest": draw(st.sampled_from([0, 0.5, 1, 2.5])) * step,
        "shortest_rest": draw(st.sampled_from([0, 0.2, 1.5])) * step,
        "first_cost": draw(st.sampled_from([0, 0.3])) * step,
    }
    return outlook, earliest, finish, limits


TICK = timedelta(milliseconds=1)
"""Moments are whole microseconds, and a plan is made of a few of them."""


@given(windows(), st.sampled_from([None, 1, 2, 3]))
def test_a_plan_keeps_every_promise(
    window: tuple[IntensitySeries, datetime, datetime, dict[str, timedelta]], most: int | None
) -> None:
    outlook, earliest, finish, limits = window
    plan = plan_slices(outlook, earliest, finish, **limits, most_slices=most)
    needs = limits["work"] + limits["first_cost"]
    if plan is None:
        assert earliest + needs > finish - TICK
        return
    lengths = [item.finish - item.start for item in plan]
    breaks = len(plan) - 1
    taken = needs + breaks * (limits["stop_cost"] + limits["restart_cost"])
    assert abs(sum(lengths, timedelta(0)) - taken) < TICK
    assert earliest <= plan[0].start
    assert plan[-1].finish <= finish
    assert all(length >= limits["shortest"] - TICK for length in lengths[:-1])
    assert all(b.start - a.finish >= limits["shortest_rest"] - TICK for a, b in pairwise(plan))
    assert most is None or len(plan) <= most
    emitted = sum(outlook.integral(item.start, item.finish) for item in plan)
    # No window without a break is greener.
    room = finish - earliest - needs
    for share in (0, 0.1, 0.37, 0.5, 0.8, 1):
        start = earliest + share * max(room, timedelta(0))
        if start + needs <= finish:
            # Moments are rounded to microseconds at each end of a slice.
            assert emitted <= outlook.integral(start, start + needs) * (1 + 1e-9) + 2 * EQUAL


@given(windows(), st.floats(0.1, 0.9), st.floats(0, 0.4), st.floats(0.2, 1))
def test_slices_begin_only_where_they_may(
    window: tuple[IntensitySeries, datetime, datetime, dict[str, timedelta]],
    first: float,
    second: float,
    latest: float,
) -> None:
    outlook, earliest, finish, limits = window
    room = finish - earliest
    starts = [
        (earliest + first * 0.5 * room, earliest + (first * 0.5 + 0.1) * room),
        (earliest + (0.6 + second) * room, finish),
    ]
    latest_start = earliest + latest * room
    plan = plan_slices(outlook, earliest, finish, **limits, starts=starts, latest_start=latest_start)
    if plan is not None:
        assert plan[0].start <= latest_start + TICK
        for item in plan:
            assert any(opens - TICK <= item.start <= closes + TICK for opens, closes in starts)


def test_now_may_lie_inside_a_slot_and_the_last_slot_is_run_in_part() -> None:
    half = timedelta(minutes=30)
    outlook = IntensitySeries(
        zone="DE", start=START, step=half, values_gco2_per_kwh=(10, 90, 90, 20, 90, 90), source="test"
    )
    now = START + timedelta(minutes=10)
    plan = plan_slices(outlook, now, outlook.end, timedelta(minutes=40), restart_cost=timedelta(minutes=1))
    assert plan is not None
    assert [(item.start, item.finish) for item in plan] == [
        (now, START + half),
        (START + 3 * half, START + 3 * half + timedelta(minutes=21)),
    ]


def test_what_the_outlook_does_not_cover_is_not_planned_in() -> None:
    outlook = IntensitySeries(
        zone="DE", start=START, step=timedelta(hours=1), values_gco2_per_kwh=(50, 10), source="test"
    )
    far = outlook.end + timedelta(days=1)
    plan = plan_slices(outlook, START, far, timedelta(hours=1))
    assert plan is not None
    assert plan[0].start == START + timedelta(hours=1)
    assert plan_slices(outlook, START, far, timedelta(hours=3)) is None
    assert plan_slices(outlook, far, far + timedelta(hours=3), timedelta(hours=1)) is None
