"""What a forecast is worth, and how two are mixed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_policy.forecasting.blend import learn_weights
from carbon_policy.forecasting.capture import Captured, Task, planned_once, replanned

TASK = Task(job_h=2, window_h=6)
RNG = np.random.default_rng(7)


def windows(values: np.ndarray, submissions: np.ndarray, hours: int) -> np.ndarray:
    return values[submissions[:, None] + np.arange(hours)]


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    return RNG.uniform(50, 500, 400)


def test_perfect_foresight_keeps_all_of_the_saving_planned_once_or_again(truth: np.ndarray) -> None:
    submissions = np.arange(0, 300, 5)
    rows = windows(truth, np.arange(360), 6)
    once = planned_once(rows[submissions], rows[submissions], TASK)
    again = replanned(rows, truth, submissions, TASK)
    assert once.share == again.share == 1.0
    assert once.at_once > once.oracle


def test_a_forecast_that_is_off_by_a_constant_loses_nothing(truth: np.ndarray) -> None:
    rows = windows(truth, np.arange(100), 6)
    assert planned_once(rows + 1000, rows, TASK).share == 1.0


def test_the_opposite_of_the_truth_costs_carbon() -> None:
    falling = np.tile(np.arange(6.0, 0.0, -1.0), (3, 1))
    assert planned_once(-falling, falling, TASK).share == 0.0  # It starts at once.
    valley = np.tile([5.0, 5.0, 1.0, 1.0, 9.0, 9.0], (3, 1))
    assert planned_once(-valley, valley, TASK).share < 0


def test_by_hand() -> None:
    row = np.array([[4.0, 2.0, 2.0, 6.0, 1.0, 1.0]])
    forecast = np.array([[4.0, 1.0, 1.0, 6.0, 3.0, 3.0]])
    captured = planned_once(forecast, row, TASK)
    assert (captured.at_once, captured.followed, captured.oracle) == (3.0, 2.0, 1.0)
    assert captured.share == 0.5


def test_a_flat_day_has_no_share() -> None:
    assert np.isnan(Captured(5.0, 5.0, 5.0).share)


@given(st.integers(0, 1000))
def test_nobody_beats_the_oracle(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.uniform(0, 100, 60)
    rows = windows(values, np.arange(50), 6) + rng.normal(0, 30, (50, 6))
    submissions = np.arange(0, 40, 3)
    for captured in (
        replanned(rows, values, submissions, TASK),
        planned_once(rows[submissions], windows(values, submissions, 6), TASK),
    ):
        assert captured.oracle <= captured.followed + 1e-9


def errors(rng: np.random.Generator, size: float) -> np.ndarray:
    return rng.normal(0, size, (200, 24))


def test_the_better_forecast_weighs_more_and_the_useless_one_nothing() -> None:
    rng = np.random.default_rng(1)
    truth = rng.uniform(100, 300, (200, 24))
    good, bad = truth + errors(rng, 5), truth + errors(rng, 50)
    assert (learn_weights(own=bad, provider=good, truth=truth).provider > 0.9).all()
    assert (learn_weights(own=good, provider=bad, truth=truth).provider < 0.1).all()
    copied = good + errors(rng, 50)  # Ours with noise on top: adds nothing.
    assert (learn_weights(own=good, provider=copied, truth=truth).provider < 0.05).all()


def test_a_provider_that_is_off_by_far_has_no_say_after_a_few_days() -> None:
    rng = np.random.default_rng(4)
    truth = rng.uniform(100, 300, (5, 24))
    own, far_off = truth + rng.normal(0, 5, truth.shape), truth + 200
    assert (learn_weights(own=own, provider=far_off, truth=truth).provider < 0.01).all()
    assert (learn_weights(own=far_off, provider=own, truth=truth).provider > 0.99).all()


def test_the_blend_is_better_than_either() -> None:
    rng = np.random.default_rng(2)
    truth = rng.uniform(100, 300, (400, 24))
    own, provider = truth + rng.normal(0, 20, truth.shape), truth + rng.normal(0, 25, truth.shape)
    weights = learn_weights(own[:200], provider[:200], truth[:200])
    blended = weights.blend(own[200:], provider[200:])

    def rmse(said: np.ndarray) -> float:
        return float(np.sqrt(((said - truth[200:]) ** 2).mean()))

    assert rmse(blended) < min(rmse(own[200:]), rmse(provider[200:]))


def test_without_a_past_it_is_an_even_mix_and_without_a_provider_our_own() -> None:
    nothing = np.full((1, 24), np.nan)
    weights = learn_weights(nothing, nothing, nothing)
    np.testing.assert_allclose(weights.provider, 0.5)
    own = np.full(24, 100.0)
    provider = np.where(np.arange(24) < 12, 200.0, np.nan)
    np.testing.assert_allclose(weights.blend(own, provider), np.where(np.arange(24) < 12, 150.0, 100.0))
