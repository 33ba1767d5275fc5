"""A provider's forecast on the measured level: its bias stays, news fade, and are not counted twice."""

from __future__ import annotations

import numpy as np
import pytest

from carbon_policy.forecasting.level import on_measured_level

FLAT = np.full(48, 50.0)
HOURLY = {"residual_h": 1.0, "step_h": 1.0}


def test_a_bias_of_a_day_is_taken_out_of_all_leads_alike() -> None:
    shifted = on_measured_level(FLAT, np.full(24, 13.0), has_the_news=True, **HOURLY)
    assert shifted == pytest.approx(np.full(48, 62.0))


def test_of_one_hour_little_is_believed() -> None:
    assert on_measured_level(FLAT, np.array([9.0]), has_the_news=True, **HOURLY)[0] == pytest.approx(53.0)


def test_news_fade_where_the_forecast_does_not_have_them() -> None:
    lately = np.array([0.0] * 23 + [26.0])
    old = on_measured_level(FLAT, lately, has_the_news=False, **HOURLY)
    assert old[0] == pytest.approx(76.0)
    assert old[47] == pytest.approx(51.0, abs=0.6)
    assert np.all(np.diff(old) < 0)
    assert on_measured_level(FLAT, lately, has_the_news=True, **HOURLY) == pytest.approx(np.full(48, 51.0))


def test_nothing_falls_below_nought() -> None:
    low = on_measured_level(np.zeros(5), np.full(24, -40.0), has_the_news=False, **HOURLY)
    assert (low == 0).all()


def test_slots_of_any_length_count_by_their_time() -> None:
    quarters = on_measured_level(FLAT, np.full(96, 13.0), residual_h=0.25, step_h=0.25, has_the_news=True)
    assert quarters == pytest.approx(np.full(48, 62.0))
