from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from carbon_policy.domain.errors import InvalidInputError, UnknownZoneError
from carbon_policy.grid.simulated import SimulatedGrid
from carbon_policy.grid.weather import MadeUpGrid
from carbon_policy.grid.zones import yearly_mean_gco2_per_kwh

NOW = datetime(2026, 11, 22, 6, 17, tzinfo=UTC)
HOUR = timedelta(hours=1)
ZONES = ("DE", "GB", "FR", "PL", "US-CAL-CISO", "AU", "SG", "TM", "IS", "CA-ON")


@given(
    start=st.datetimes(datetime(2015, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    hours=st.integers(1, 100),
    before=st.integers(0, 50),
)
@settings(max_examples=30)
def test_an_hour_has_one_value_whatever_range_is_asked(start: datetime, hours: int, before: int) -> None:
    grid = SimulatedGrid(seed=3)
    asked = grid.history("DE", start, start + hours * HOUR)
    wider = grid.history("DE", start - before * HOUR, start + (hours + 7) * HOUR)
    assert wider.between(asked.start, asked.end).values_gco2_per_kwh == asked.values_gco2_per_kwh


def test_every_process_and_platform_makes_up_the_same() -> None:
    values = MadeUpGrid("DE", yearly_mean_gco2_per_kwh("DE"), 0).actual_gco2_per_kwh(500_000, 5)
    assert values == [439.5, 466.6, 444.9, 438.3, 385.3]


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("year", [2021, 2026])
def test_the_yearly_mean_is_the_zone_s(zone: str, year: int) -> None:
    series = SimulatedGrid().history(
        zone, datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)
    )
    mean = np.mean(series.values_gco2_per_kwh)
    assert mean == pytest.approx(yearly_mean_gco2_per_kwh(zone).gco2_per_kwh, rel=0.02)


def test_days_look_like_days() -> None:
    year = SimulatedGrid().history("DE", datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))
    values = np.array(year.values_gco2_per_kwh)
    by_hour = values.reshape(365, 24).mean(axis=0)
    assert by_hour[11:13].mean() < 0.85 * by_hour.mean(), "the sun is seen at noon"
    assert by_hour[17:20].max() > 1.1 * by_hour.mean(), "and missed in the evening"
    weekend = np.array([(year.start + day * 24 * HOUR).weekday() >= 5 for day in range(365)])
    by_day = values.reshape(365, 24).mean(axis=1)
    assert by_day[weekend].mean() < by_day[~weekend].mean()
    lag = 36
    assert np.corrcoef(by_day[:-1], by_day[1:])[0, 1] > 0.3, "weather comes in spells"
    assert abs(np.corrcoef(values[:-lag], values[lag:])[0, 1]) < 0.9, "and they end"


def test_noon_is_local() -> None:
    day = SimulatedGrid().history("US", datetime(2026, 6, 1, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC))
    by_hour = np.array(day.values_gco2_per_kwh).reshape(30, 24).mean(axis=0)
    assert 17 <= int(by_hour.argmin()) <= 21


def test_seeds_and_zones_have_weather_of_their_own() -> None:
    def shape(zone: str, seed: int) -> tuple[float, ...]:
        return SimulatedGrid(seed=seed).history(zone, NOW, NOW + 48 * HOUR).values_gco2_per_kwh

    assert len({shape("DE", 0), shape("DE", 1), shape("AT", 0)}) == 3


@given(now=st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
@settings(max_examples=30)
def test_the_forecast_begins_with_what_is_known(now: datetime) -> None:
    grid = SimulatedGrid()
    forecast = grid.forecast("GB", now)
    actual = grid.history("GB", now, now + HOUR)
    assert forecast.start == actual.start <= now < forecast.start + forecast.step
    assert forecast.at(now) == actual.at(now)
    assert len(forecast.values_gco2_per_kwh) == 96


def test_the_forecast_looks_at_no_shock_to_come(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = MadeUpGrid("DE", yearly_mean_gco2_per_kwh("DE"), 0)
    asked: list[int] = []
    shocks = MadeUpGrid._shocks

    def spy(self: MadeUpGrid, first: int, count: int) -> object:
        asked.append(first + count - 1)
        return shocks(self, first, count)

    monkeypatch.setattr(MadeUpGrid, "_shocks", spy)
    grid.forecast_gco2_per_kwh(500_000, 96)
    assert max(asked) == 500_000


def test_the_forecast_is_good_at_first_and_wrong_later() -> None:
    grid = SimulatedGrid()
    errors = []
    for day in range(60):
        now = datetime(2026, 1, 1, tzinfo=UTC) + day * timedelta(days=5)
        forecast = np.array(grid.forecast("DE", now).values_gco2_per_kwh)
        actual = np.array(grid.history("DE", now, now + 96 * HOUR).values_gco2_per_kwh)
        errors.append(np.abs(forecast / actual - 1))
    by_lead = np.mean(errors, axis=0)
    assert by_lead[0] == 0
    assert 0 < by_lead[1] < by_lead[6] < by_lead[24]
    assert 0.08 < by_lead[24:].mean() < 0.3


def test_everything_says_that_it_is_simulated() -> None:
    grid = SimulatedGrid()
    for series in (grid.history("DE", NOW, NOW + HOUR), grid.forecast("US-CAL-CISO", NOW)):
        assert series.simulated
        assert series.source == "simulated"
        assert "simulated" in series.provenance[0]
    assert "US-CAL-CISO is not in the table" in grid.forecast("US-CAL-CISO", NOW).provenance[1]


def test_replayed_it_shows_the_same_hours_faster() -> None:
    shown = datetime(2023, 6, 1, 6, tzinfo=UTC)
    slow = SimulatedGrid().history("DE", shown, shown + 24 * HOUR)
    grid = SimulatedGrid(began_at=NOW, trace_start=shown, speed=1200)
    fast = grid.history("DE", NOW, NOW + 24 * timedelta(seconds=3))
    assert (fast.start, fast.step) == (NOW, timedelta(seconds=3))
    assert fast.values_gco2_per_kwh == slow.values_gco2_per_kwh
    forecast = grid.forecast("DE", NOW + timedelta(seconds=7))
    assert forecast.start == NOW + timedelta(seconds=6)
    assert forecast.values_gco2_per_kwh[0] == slow.values_gco2_per_kwh[2]
    assert forecast.end - forecast.start == timedelta(hours=96) / 1200
    assert "1200 times" in forecast.provenance[-1]


def test_an_unknown_zone_is_refused() -> None:
    with pytest.raises(UnknownZoneError, match="did you mean"):
        SimulatedGrid().forecast("Germany", NOW)


def test_a_naive_moment_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="no time zone"):
        SimulatedGrid().forecast("DE", NOW.replace(tzinfo=None))


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"speed": 60}, "give `trace_start` and `began_at`"),
        ({"began_at": NOW}, "give both or neither"),
        ({"speed": 0, "began_at": NOW, "trace_start": NOW}, "greater than 0"),
        ({"began_at": "2026-11-22T06:00:00", "trace_start": NOW}, "no time zone"),
    ],
)
def test_half_a_clock_is_refused(fields: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        SimulatedGrid(**fields)
