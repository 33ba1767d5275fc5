"""The parts of the mixed model: what each adds, and that none is judged on what it has seen."""

from __future__ import annotations

import numpy as np
import pytest

from carbon_policy.forecasting.analog_model import AnalogModel
from carbon_policy.forecasting.bands import ErrorBands
from carbon_policy.forecasting.features import HORIZON_H, SEASON, Features
from carbon_policy.forecasting.hourly import HourlyHistory
from carbon_policy.forecasting.mixed_model import MixedModel
from carbon_policy.forecasting.ridge_model import RidgeModel
from carbon_policy.forecasting.training import BLOCKS, SHORTEST_HISTORY_H, Residuals, Training
from tests.unit.forecasting.test_forecaster import grid, series

WEEKS = 7 * 24


@pytest.fixture(scope="module")
def training() -> Training:
    return Training.of(Features(HourlyHistory(400_000, grid(WEEKS * 30))))


def test_the_newest_issues_count_most_and_every_block_has_its_turn(training: Training) -> None:
    assert (np.diff(training.weights) > 0).all()
    assert set(training.blocks.tolist()) == set(range(BLOCKS))


def test_an_analog_of_a_moment_that_it_remembers_is_near_to_what_followed(training: Training) -> None:
    """Asked of its own training, it finds the moment itself; asked without that block, it must not."""
    analogs = AnalogModel(training)
    probed = training.probed
    truth = training.targets[probed]

    def error(said: np.ndarray) -> float:
        return float(np.abs(said - truth).mean())

    remembered = error(analogs.relative(training.matrix[probed], training.hours[probed]))
    left_out = error(analogs.left_out(training))
    assert remembered < 0.97 * left_out
    assert left_out < np.abs(truth).mean()


def test_what_a_ridge_says_of_a_left_out_block_is_worse_than_of_its_training(training: Training) -> None:
    ridge = RidgeModel(training)
    probed = training.probed
    fitted = ridge.relative(training.matrix[probed], training.hours[probed])
    truth = training.targets[probed]
    assert ((fitted - truth) ** 2).mean() < ((ridge.left_out - truth) ** 2).mean()


def test_the_shortest_history_makes_a_finite_forecast() -> None:
    features = Features(HourlyHistory(400_000, grid(SHORTEST_HISTORY_H)))
    said = MixedModel(features).predict(features, np.array([SHORTEST_HISTORY_H]))
    assert said.shape == (1, HORIZON_H)
    assert np.isfinite(said).all()
    assert (said >= 0).all()


def test_a_part_of_a_year_teaches_no_seasons(training: Training) -> None:
    ridge = RidgeModel(training)
    rows, hours = training.matrix[:24].copy(), training.hours[:24]
    said = ridge.relative(rows, hours)
    rows[:, SEASON] *= -1  # Half a year later.
    np.testing.assert_array_equal(ridge.relative(rows, hours), said)


def test_a_grid_that_never_changes_is_forecast_as_it_is() -> None:
    features = Features(HourlyHistory(400_000, np.full(WEEKS * 12, 250.0)))
    model = MixedModel(features)
    np.testing.assert_allclose(model.predict(features, np.array([len(features)])), 250.0, rtol=1e-3)
    assert np.isfinite(ErrorBands(model.residuals).band(0)).all()


def test_a_grid_at_zero_for_weeks_breaks_nothing() -> None:
    values = np.concatenate([np.zeros(WEEKS * 6), grid(WEEKS * 6)])
    features = Features(HourlyHistory(400_000, values))
    assert np.isfinite(MixedModel(features).predict(features, np.array([len(features)]))).all()


def test_the_usual_size_of_an_error_is_known_for_each_hour_of_the_day() -> None:
    rng = np.random.default_rng(3)
    hours = np.arange(2400) % 24
    target = (hours[:, None] + np.arange(HORIZON_H)) % 24
    values = rng.normal(0, np.where(target < 12, 0.1, 0.4))
    offsets = ErrorBands(Residuals(values, hours)).band(hour_of_issue=0)
    width = offsets[-1] - offsets[0]
    assert np.mean(width[12:24]) > 3 * np.mean(width[:12])


def test_the_newest_hours_alone_are_the_same_hours() -> None:
    whole = HourlyHistory.of(series(grid(100)))
    newest = HourlyHistory.of(series(grid(100)), newest_h=30)
    assert newest.end == whole.end
    np.testing.assert_array_equal(newest.values_gco2_per_kwh, whole.last(30).values_gco2_per_kwh)
    assert len(HourlyHistory.of(series(grid(20)), newest_h=30)) == 20
