"""Each peer against its published rule, on days small enough to work out by hand.

GAIA's published figures are of South Australia in 2022, which our data lacks.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_policy.simulation.outlook import Perfect
from carbon_policy.simulation.policies import (
    BEST_WINDOW,
    GAIA_CARBON_TIME,
    GAIA_LOWEST_WINDOW,
    LOWEST_SLOT,
    WAIT_AWHILE,
    Policy,
    RunNow,
    Threshold,
)
from carbon_policy.simulation.queues import queued
from carbon_policy.simulation.rolling import WAIT_AWHILE_INTERRUPTING, Rolling
from carbon_policy.simulation.run import simulate
from carbon_policy.simulation.workload import workload
from carbon_policy.simulation.world import World

DAY = np.array([300.0, 280, 100, 320, 150, 160, 140, 400, 400, 400])


def world(
    intensities: np.ndarray, length: int, may_wait: int, expected: int | None = None, slots_per_hour: int = 1
) -> World:
    jobs = workload(
        np.array([0]),
        np.array([length]),
        np.array([may_wait]),
        expected_length=np.array([expected or length]),
    )
    return World(jobs, intensities, slots_per_hour, Perfect(intensities))


def start_of(policy: Policy, here: World) -> int:
    placed = policy.place(here)
    return int(placed.finish[0] - here.jobs.length[0])


def test_run_now_starts_where_it_arrives() -> None:
    placed = RunNow().place(world(DAY, 3, 6))
    assert placed.gco2[0] == 300 + 280 + 100
    assert placed.running.tolist() == [1, 1, 1, 0, 0, 0, 0, 0, 0, 0]


def test_jobrunr_takes_the_lowest_slot_whatever_the_duration() -> None:
    here = world(DAY, 3, 6)
    assert start_of(LOWEST_SLOT, here) == 2
    assert start_of(BEST_WINDOW, here) == 4
    assert LOWEST_SLOT.place(here).gco2[0] == 100 + 320 + 150 > BEST_WINDOW.place(here).gco2[0]


def test_the_best_window_is_the_lowest_mean_over_the_duration_and_the_earliest_of_equals() -> None:
    assert start_of(WAIT_AWHILE, world(DAY, 3, 3)) == 2
    assert start_of(BEST_WINDOW, world(np.array([3.0, 1, 2, 1, 2, 9]), 2, 4)) == 1
    assert start_of(BEST_WINDOW, world(np.full(6, 0.1), 3, 3)) == 0


def test_gaia_plans_with_the_average_length_and_starts_whole_hours_after_the_arrival() -> None:
    halves = np.array([9.0, 9, 5, 1, 4, 4, 8, 8, 8, 8])
    # The lowest pair of halves begins at the half hour, which GAIA does not look at.
    assert start_of(BEST_WINDOW, world(halves, 2, 6, slots_per_hour=2)) == 3
    assert start_of(GAIA_LOWEST_WINDOW, world(halves, 2, 6, slots_per_hour=2)) == 2
    assert start_of(GAIA_LOWEST_WINDOW, world(halves, 2, 6, expected=4, slots_per_hour=2)) == 2
    # It runs one slot, and is believed to run three.
    assert start_of(GAIA_LOWEST_WINDOW, world(DAY, 1, 6, expected=3)) == 4


def test_carbon_time_divides_what_is_saved_by_the_time_to_completion() -> None:
    # Saved 20 in 2 h, 200 in 3 h, 150 in 5 h, 160 in 7 h: 10, 66.7, 30, 22.9 an hour.
    assert start_of(GAIA_CARBON_TIME, world(DAY, 1, 6)) == 2
    # Windows of 3: at once 680; from 2 on 570 (110 in 5 h: 22), from 4 on 450 (230 in 7 h: 32.9).
    assert start_of(GAIA_CARBON_TIME, world(DAY, 3, 6)) == 4
    # A deeper valley later is worth less than a near one: 50 in 2 h against 80 in 6 h.
    late = np.array([100.0, 50, 90, 90, 90, 20, 90])
    assert start_of(GAIA_CARBON_TIME, world(late, 1, 5)) == 1
    assert start_of(GAIA_LOWEST_WINDOW, world(late, 1, 5)) == 5


def test_the_threshold_waits_for_a_low_intensity_and_no_longer_than_it_may() -> None:
    intensities = np.concatenate([np.tile([100.0, 200, 300], 60), [250, 210, 120, 90]])
    jobs = workload(np.array([180, 180]), np.array([1, 1]), np.array([183, 181]))
    placed = Threshold(low_quantile=0.4).place(World(jobs, intensities, 1, Perfect(intensities)))
    # 200 is the quantile; 120 is below it.
    assert (placed.finish - 1).tolist() == [182, 181]


def test_queues_have_averages_and_limits() -> None:
    jobs = queued(np.array([0.0, 61, 600]), np.array([600.0, 1200, 36000]), np.ones(3), 12)
    assert jobs.arrival.tolist() == [0, 1, 2]
    assert jobs.length.tolist() == [2, 4, 120]
    assert jobs.expected_length.tolist() == [3, 3, 120]
    assert (jobs.latest_start - jobs.arrival).tolist() == [72, 72, 288]


@given(
    st.lists(st.floats(1, 900), min_size=8, max_size=40),
    st.integers(1, 6),
    st.integers(0, 30),
)
def test_the_oracle_is_the_optimum_and_nobody_beats_it_or_misses(
    values: list[float], length: int, may_wait: int
) -> None:
    intensities = np.array(values)
    here = world(intensities, length, min(may_wait, len(values) - length))
    peers = [
        LOWEST_SLOT,
        BEST_WINDOW,
        WAIT_AWHILE,
        GAIA_LOWEST_WINDOW,
        GAIA_CARBON_TIME,
        Threshold(),
        Rolling(),
    ]
    found = list(simulate(here, peers))
    latest = int(here.jobs.latest_start[0])
    best = min(intensities[start : start + length].sum() for start in range(latest + 1))
    assert found[-1].gco2 == pytest.approx(best)
    assert all(out.gco2 >= best * (1 - 1e-9) and out.missed == 0 for out in found)
    sliced = list(simulate(here, [WAIT_AWHILE_INTERRUPTING], interrupting=True))
    lowest = np.sort(intensities[: latest + length])[:length].sum()
    assert sliced[1].gco2 == pytest.approx(lowest)
    assert sliced[-1].gco2 == pytest.approx(lowest)
