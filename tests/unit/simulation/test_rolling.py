"""Plans that are looked at again: what a newer forecast, a margin, a skill and a price of waiting change."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_policy.domain.errors import InvalidInputError
from carbon_policy.simulation.outlook import Issued, knowing_the_hour, persistence
from carbon_policy.simulation.rolling import Rolling, RollingSlices
from carbon_policy.simulation.workload import Workload, workload
from carbon_policy.simulation.world import World

HOURS = 96


def one_job(length: int, latest_start: int, arrival: int = 0) -> Workload:
    return workload(np.array([arrival]), np.array([length]), np.array([latest_start]))


def told(actual: np.ndarray, rows: dict[int, np.ndarray], slots_per_hour: int = 1) -> Issued:
    return Issued("told", np.array(list(rows)), np.array(list(rows.values())), actual, slots_per_hour)


def flat_but(hours: int, **dips: float) -> np.ndarray:
    values = np.full(hours, 300.0)
    for hour, value in dips.items():
        values[int(hour[1:])] = value
    return values


def started(policy: Rolling, here: World) -> int:
    return int(policy.place(here).finish[0] - here.jobs.length[0])


def test_a_new_forecast_moves_a_plan_that_was_made_at_arrival() -> None:
    actual = flat_but(HOURS, h12=100)
    rows = {0: flat_but(48, h20=150), 4: flat_but(48, h8=100)}
    here = World(one_job(1, 30), actual, 1, told(actual, rows))
    assert started(Rolling(every_h=None), here) == 20
    assert started(Rolling(), here) == 12


def test_a_change_must_be_worth_it() -> None:
    actual = flat_but(HOURS, h20=150, h26=148.5)
    rows = {0: flat_but(48, h20=150), 4: flat_but(48, h16=150, h22=148.5)}
    here = World(one_job(1, 30), actual, 1, told(actual, rows))
    assert started(Rolling(margin=0.02), here) == 20
    assert started(Rolling(margin=0.005), here) == 26


@pytest.mark.parametrize(("skill", "start"), [(1.0, 12), (0.5, 12), (0.05, 20), (0.0, 20), (-0.4, 20)])
def test_forecasts_that_kept_little_move_no_plan(skill: float, start: int) -> None:
    actual = flat_but(HOURS, h12=149, h20=150)
    rows = {0: flat_but(48, h20=150), 4: flat_but(48, h8=100, h16=150)}
    here = World(one_job(1, 30), actual, 1, told(actual, rows))
    assert started(Rolling(margin=0.02, skill=skill), here) == start


def test_an_hour_that_is_green_now_is_taken_whatever_the_skill() -> None:
    actual = flat_but(HOURS, h5=90)
    rows = {0: flat_but(48, h20=150)}
    here = World(one_job(1, 30), actual, 1, told(actual, rows))
    assert started(Rolling(skill=-1.0), here) == 5


def test_waiting_has_its_price() -> None:
    actual = flat_but(HOURS, h3=280, h20=100)
    here = World(one_job(1, 30), actual, 1, told(actual, {0: actual}))
    assert started(Rolling(), here) == 20
    assert started(Rolling(wait_cost_per_hour=0.05), here) == 0
    assert started(Rolling(wait_cost_per_hour=0.02), here) == 20
    # Of a job of two hours, half the share for each.
    two = World(one_job(2, 30), actual, 1, told(actual, {0: actual}))
    assert started(Rolling(every_h=None, wait_cost_per_running_hour=0.02), two) == 19
    assert started(Rolling(every_h=None, wait_cost_per_hour=0.02), two) == 0


def test_an_interruptible_job_follows_the_newest_forecast_slot_by_slot() -> None:
    actual = flat_but(HOURS, h6=50, h7=50)
    rows = {0: flat_but(48, h2=100, h3=100), 2: flat_but(48, h4=50, h5=50)}
    here = World(one_job(2, 20), actual, 1, told(actual, rows))
    once = RollingSlices(every_h=None).place(here)
    again = RollingSlices().place(here)
    assert np.flatnonzero(once.running).tolist() == [2, 3]
    assert np.flatnonzero(again.running).tolist() == [6, 7]


@given(st.integers(0, 2**32 - 1))
def test_whatever_is_forecast_all_work_is_done_in_time_and_counted_once(seed: int) -> None:
    rng = np.random.default_rng(seed)
    actual = rng.uniform(10, 900, 60)
    rows = {hour: rng.uniform(10, 900, 30) for hour in range(0, 30, int(rng.integers(1, 9)))}
    arrival, length = rng.integers(0, 40, 12), rng.integers(1, 20, 12)
    jobs = workload(
        arrival, length, arrival + rng.integers(0, 25, 12), rng.uniform(0.1, 3, 12), rng.integers(1, 30, 12)
    )
    here = World(jobs, np.repeat(actual, 2), 2, told(actual, rows, 2))
    for placed in (RollingSlices().place(here), Rolling().place(here)):
        assert (placed.finish <= jobs.latest_finish).all()
        assert (placed.finish >= jobs.arrival + jobs.length).all()
        assert placed.running.sum() == jobs.length.sum()
    equal_kw = World(workload(arrival, length, jobs.latest_start), here.actual, 2, here.outlook)
    sliced = RollingSlices().place(equal_kw)
    assert sliced.gco2.sum() == pytest.approx((sliced.running * here.actual).sum() / 2)


def test_an_outlook_shows_the_current_hour_as_it_is_and_repeats_the_last_day_beyond_its_horizon() -> None:
    actual = np.arange(100.0)
    outlook = told(actual, {0: 1000 + np.arange(36.0), 10: 2000 + np.arange(36.0)}, 2)
    assert outlook.at(0, 3).tolist() == [0, 0, 1001]
    assert outlook.at(19, 3).tolist() == [9, 1010, 1010]
    assert outlook.at(20, 4).tolist() == [10, 10, 2001, 2001]
    assert outlook.at(20, 76)[-4:].tolist() == [2012, 2012, 2013, 2013]
    with pytest.raises(InvalidInputError, match="no forecast was issued by hour -1"):
        outlook.at(-2, 4)


def test_our_forecasts_know_the_current_hour_because_the_next_issue_does() -> None:
    actual = np.arange(100.0)
    said = 1000 * np.arange(1.0, 6)[:, None] + np.arange(24.0)
    outlook = knowing_the_hour(said, 0, actual, 1)
    assert outlook.at(0, 3).tolist() == [0, 2000, 2001]
    assert outlook.at(3, 3).tolist() == [3, 5000, 5001]


def test_yesterday_again_knows_nothing_of_today() -> None:
    actual = np.concatenate([np.arange(24.0), np.full(48, 500.0)])
    outlook = persistence(actual, 24, 40, 1)
    assert outlook.at(24, 5).tolist() == [500, 1, 2, 3, 4]


def test_nonsense_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="Job 2"):
        workload(np.array([0, 5]), np.array([1, 1]), np.array([3, 4]))
    with pytest.raises(InvalidInputError, match="trace ends after 4 h"):
        World(one_job(3, 2), np.ones(4), 1, told(np.ones(4), {0: np.ones(24)}))
    with pytest.raises(InvalidInputError, match="in the order of issue"):
        told(np.ones(30), {3: np.ones(24), 1: np.ones(24)})
