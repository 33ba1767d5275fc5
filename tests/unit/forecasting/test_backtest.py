"""The scores that a user gets for a history of their own."""

from __future__ import annotations

import numpy as np
import pytest

from carbon_policy.domain.errors import InvalidInputError
from carbon_policy.forecasting.backtest import OWN, TASKS, YESTERDAY, backtest
from carbon_policy.forecasting.capture import Task
from carbon_policy.forecasting.features import WEEK, Features
from carbon_policy.forecasting.forecaster import fit
from carbon_policy.forecasting.hourly import HourlyHistory
from tests.unit.forecasting.test_forecaster import grid

HISTORY = HourlyHistory(400_000, grid(24 * 7 * 26))
CUT = 20 * WEEK


def test_ours_is_nearer_than_yesterday_and_keeps_more() -> None:
    told: list[str] = []
    scores = backtest(HISTORY, CUT, progress=told.append)
    own, naive = scores.method(OWN), scores.method(YESTERDAY)
    assert own.mape_96h < naive.mape_96h
    assert [kept.task for kept in own.kept] == list(TASKS)
    assert all(ours.replanned > theirs.replanned for ours, theirs in zip(own.kept, naive.kept, strict=True))
    assert scores.bands is not None
    assert 0.6 < scores.bands.coverage_96h < 0.95
    assert scores.trained_h == CUT
    assert told


def test_a_perfectly_regular_grid_is_forecast_perfectly() -> None:
    history = HourlyHistory(400_000, np.tile(100.0 + np.arange(24.0), 80))
    scores = backtest(history, 24 * 40)
    assert scores.method(OWN).mape_96h < 1e-6
    assert scores.method(OWN).kept[0].once == pytest.approx(1.0)


def test_the_test_hours_teach_nothing() -> None:
    """What comes after an issue, however wild, must not change what was said at it."""
    wild = HISTORY.values_gco2_per_kwh.copy()
    wild[CUT + 100 :] *= 3
    model, _ = fit(Features(HISTORY.first(CUT)))
    issues = np.array([CUT + 100])
    np.testing.assert_allclose(
        model.predict(Features(HISTORY), issues),
        model.predict(Features(HourlyHistory(HISTORY.first_hour, wild)), issues),
    )


def test_refitting_is_scored_on_the_same_hours() -> None:
    told: list[str] = []
    scores = backtest(HISTORY, CUT, tasks=TASKS[:1], refit_every_h=2 * WEEK, progress=told.append)
    assert sum(line.startswith("Fitted") for line in told) == 3
    assert scores.submissions == backtest(HISTORY, CUT, tasks=TASKS[:1]).submissions


def test_a_few_days_of_training_have_neither_bands_nor_a_last_week() -> None:
    scores = backtest(HISTORY, 48, tasks=TASKS[:1])
    assert scores.bands is None
    assert {m.method for m in scores.methods} == {OWN, "profile", YESTERDAY}


@pytest.mark.parametrize("cut", [10, 26 * WEEK - 300])
def test_too_little_on_either_side_is_refused(cut: int) -> None:
    with pytest.raises(InvalidInputError, match="leaves too little"):
        backtest(HISTORY, cut)


@pytest.mark.parametrize("task", [Task(4, 4), Task(0, 5), Task(4, 200)])
def test_a_window_must_fit_job_and_forecast(task: Task) -> None:
    with pytest.raises(InvalidInputError, match="shorter than its window"):
        backtest(HISTORY, CUT, tasks=[task])
