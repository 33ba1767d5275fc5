"""Forecasts from a zone's own history: what they learn, what they refuse, and how sure they are."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_policy.domain.errors import InvalidInputError
from carbon_policy.domain.signal import BasisKind, FactorKind, IntensitySeries, SignalKind
from carbon_policy.forecasting.forecaster import SOURCE, Forecaster
from carbon_policy.forecasting.hourly import HourlyHistory

START = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def grid(hours: int, *, noise: float = 8.0, seed: int = 0) -> np.ndarray:
    """A day's and a week's shape with weather that stays for a day or two."""
    t = np.arange(hours)
    rng = np.random.default_rng(seed)
    weather = np.zeros(hours)
    for i in range(1, hours):
        weather[i] = 0.97 * weather[i - 1] + rng.normal(0, noise)
    weekend = np.where((t // 24) % 7 >= 5, -40.0, 0.0)
    return np.maximum(300 + 80 * np.sin(2 * np.pi * t / 24) + weekend + weather, 1.0)


def series(
    values: np.ndarray, start: datetime = START, step: timedelta = HOUR, zone: str = "XX"
) -> IntensitySeries:
    return IntensitySeries(
        zone=zone, start=start, step=step, values_gco2_per_kwh=tuple(values.tolist()), source="trace"
    )


@pytest.fixture(scope="module")
def year() -> np.ndarray:
    return grid(24 * 7 * 40)


@pytest.fixture(scope="module")
def fitted(year: np.ndarray) -> Forecaster:
    return Forecaster(series(year[: 24 * 7 * 32]))


def test_a_forecast_begins_where_history_ends_and_says_where_it_came_from(
    fitted: Forecaster, year: np.ndarray
) -> None:
    history = series(year[: 24 * 7 * 33])
    forecast = fitted.forecast(history).expected
    assert forecast.start == forecast.issued_at == history.end
    assert len(forecast.values_gco2_per_kwh) == 168
    assert forecast.source == SOURCE
    assert "ridge" in forecast.provenance[-1]
    assert "trace" in forecast.provenance[-1]


def test_a_forecast_carries_the_labels_of_its_history() -> None:
    history = IntensitySeries(
        zone="XX",
        start=START,
        step=HOUR,
        values_gco2_per_kwh=tuple(grid(48).tolist()),
        source="trace",
        signal=SignalKind.MARGINAL,
        factors=FactorKind.DIRECT,
        basis=BasisKind.PRODUCTION,
        simulated=True,
    )
    assert Forecaster(history).forecast(history).expected.labels == history.labels


def test_training_beats_yesterday_repeated(fitted: Forecaster, year: np.ndarray) -> None:
    ours, naive = [], []
    for issue in range(24 * 7 * 33, len(year) - 168, 37):
        truth = year[issue : issue + 168]
        said = np.array(fitted.forecast(series(year[:issue])).expected.values_gco2_per_kwh)
        ours.append(np.abs(said - truth).mean())
        naive.append(np.abs(np.tile(year[issue - 24 : issue], 7) - truth).mean())
    assert np.mean(ours) < 0.75 * np.mean(naive)


def test_bands_hold_what_they_promise_on_unseen_weeks(fitted: Forecaster, year: np.ndarray) -> None:
    inside = []
    for issue in range(24 * 7 * 33, len(year) - 168, 29):
        bands = fitted.forecast(series(year[:issue])).quantiles
        truth = year[issue : issue + 168]
        inside.append((truth >= bands[0.1]) & (truth <= bands[0.9]))
    assert 0.70 < np.mean(inside) < 0.90


def test_bands_widen_when_the_grid_becomes_wilder(fitted: Forecaster, year: np.ndarray) -> None:
    calm = series(year[: 24 * 7 * 32])
    wild = series(np.concatenate([year[: 24 * 7 * 26], grid(24 * 7 * 6, noise=40, seed=1)]))

    def width(history: IntensitySeries) -> float:
        bands = fitted.forecast(history).quantiles
        return float(np.mean(np.array(bands[0.9]) - np.array(bands[0.1])))

    assert width(wild) > 1.5 * width(calm)


def test_quantiles_never_cross(fitted: Forecaster, year: np.ndarray) -> None:
    bands = fitted.forecast(series(year[: 24 * 7 * 34])).quantiles
    rows = np.array([bands[level] for level in sorted(bands)])
    assert (np.diff(rows, axis=0) >= 0).all()


@pytest.mark.parametrize(
    ("hours", "model", "has_bands"),
    [
        (24, "profile", False),
        (47, "profile", False),
        (200, "profile", True),
        (24 * 7 * 9, "ridge and analogs", True),
    ],
)
def test_it_starts_with_one_day_of_history(hours: int, model: str, has_bands: bool) -> None:
    history = series(grid(hours))
    forecaster = Forecaster(history)
    forecast = forecaster.forecast(history)
    assert forecaster.model.name == model
    assert bool(forecast.quantiles) is has_bands
    assert np.isfinite(forecast.expected.values_gco2_per_kwh).all()


def test_one_day_is_repeated() -> None:
    day = grid(24)
    values = Forecaster(series(day)).forecast(series(day)).expected.values_gco2_per_kwh
    np.testing.assert_allclose(values, np.tile(day, 7))


@given(scale=st.floats(0.1, 5.0))
def test_a_grid_twice_as_dirty_has_a_forecast_twice_as_dirty(scale: float) -> None:
    values = grid(24 * 20)
    plain = Forecaster(series(values)).forecast(series(values)).expected
    scaled = Forecaster(series(values * scale)).forecast(series(values * scale)).expected
    np.testing.assert_allclose(
        scaled.values_gco2_per_kwh, np.array(plain.values_gco2_per_kwh) * scale, rtol=1e-9
    )


@given(first_hour=st.integers(0, 23))
def test_history_may_begin_at_any_hour(first_hour: int) -> None:
    values = np.tile(np.arange(24.0) + 100, 12)[first_hour:]
    history = series(values, START + first_hour * HOUR)
    said = Forecaster(history).forecast(history).expected
    np.testing.assert_allclose(said.values_gco2_per_kwh[:24], np.arange(24.0) + 100)


def test_finer_slots_become_hours_and_broken_hours_are_dropped() -> None:
    quarter = timedelta(minutes=15)
    hourly = HourlyHistory.of(series(np.arange(1.0, 12.0), START - 2 * quarter, quarter))
    assert hourly.end == START + 2 * HOUR
    np.testing.assert_allclose(hourly.values_gco2_per_kwh, [4.5, 8.5])


@pytest.mark.parametrize(
    ("history", "says"),
    [
        (series(grid(23)), "too short"),
        (series(grid(48), step=timedelta(hours=3)), "fill an hour"),
        (series(grid(48), step=timedelta(minutes=7)), "fill an hour"),
        (series(grid(48), START + timedelta(minutes=10), timedelta(minutes=30)), "straddle"),
        (series(grid(2), START, timedelta(minutes=15)), "not one full hour"),
    ],
)
def test_what_makes_no_forecast_is_refused(history: IntensitySeries, says: str) -> None:
    with pytest.raises(InvalidInputError, match=says):
        Forecaster(history)


def test_another_zone_and_a_short_history_are_refused(fitted: Forecaster, year: np.ndarray) -> None:
    with pytest.raises(InvalidInputError, match="fit one for it"):
        fitted.forecast(series(year, zone="YY"))
    with pytest.raises(InvalidInputError, match="too short"):
        fitted.forecast(series(year[:100]))
