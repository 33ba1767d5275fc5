from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from carbon_policy.domain.errors import HorizonError, InvalidInputError, UnknownZoneError
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.grid.trace import TraceGrid, write_trace

START = datetime(2023, 6, 1, tzinfo=UTC)
BEGAN = datetime(2026, 11, 22, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Ten days of hours that count up from 100 g/kWh."""
    values = tuple(100.0 + hour for hour in range(240))
    series = IntensitySeries(zone="DE", start=START, step=HOUR, values_gco2_per_kwh=values, source="test")
    write_trace(series, tmp_path / "days.csv")
    return tmp_path / "days.csv"


def grid(path: Path, **fields: Any) -> TraceGrid:
    return TraceGrid(path=path, **fields)


def test_without_a_clock_the_trace_is_at_its_own_time(path: Path) -> None:
    series = grid(path).history("DE", START + 90 * timedelta(minutes=1), START + 3 * HOUR)
    assert (series.start, series.step) == (START + HOUR, HOUR)
    assert series.values_gco2_per_kwh == (101, 102)
    assert series.issued_at is None


def test_the_forecast_is_the_trace_and_says_so(path: Path) -> None:
    now = START + 5 * HOUR + timedelta(minutes=59)
    series = grid(path, horizon="48h").forecast("DE", now)
    assert series.start == START + 5 * HOUR
    assert series.values_gco2_per_kwh == tuple(float(value) for value in range(105, 154))
    assert series.issued_at == now
    assert "perfect knowledge" in series.provenance[-1]


def test_the_forecast_ends_with_the_trace(path: Path) -> None:
    assert grid(path).forecast("DE", START + 239 * HOUR).values_gco2_per_kwh == (339,)


def test_replayed_the_trace_is_in_wall_time(path: Path) -> None:
    replayed = grid(path, trace_start=START + 24 * HOUR, began_at=BEGAN, speed=1200)
    forecast = replayed.forecast("DE", BEGAN + timedelta(seconds=4))
    assert (forecast.start, forecast.step) == (BEGAN + timedelta(seconds=3), timedelta(seconds=3))
    assert forecast.values_gco2_per_kwh[0] == 125
    assert forecast.provenance[-2] == (
        "Replayed at 1200 times real speed: 2023-06-02T00:00:00+00:00 is shown at 2026-11-22T09:00:00+00:00."
    )
    history = replayed.history("DE", BEGAN - timedelta(seconds=6), BEGAN)
    assert history.values_gco2_per_kwh == (122, 123)
    capabilities = replayed.capabilities()
    assert (capabilities.horizon, capabilities.speed) == (timedelta(seconds=288), 1200)


def test_energy_and_deadlines_live_in_wall_time(path: Path) -> None:
    replayed = grid(path, trace_start=START, began_at=BEGAN, speed=3600).forecast("DE", BEGAN)
    # Ten hours of trace are ten seconds of wall: a job of 10 s at 1 kW takes 1/360 kWh.
    assert replayed.integral(BEGAN, BEGAN + timedelta(seconds=10)) == pytest.approx(104.5 / 360)


@pytest.mark.parametrize("now", [START - HOUR, START + 240 * HOUR])
def test_outside_the_trace_the_way_to_replay_it_is_named(path: Path, now: datetime) -> None:
    with pytest.raises(HorizonError, match="set `trace_start` and `began_at`"):
        grid(path).forecast("DE", now)
    with pytest.raises(HorizonError):
        grid(path).history("DE", START + 500 * HOUR, START + 501 * HOUR)


def test_a_trace_of_one_zone_serves_no_other(path: Path) -> None:
    assert grid(path, zone="DE").forecast("DE", START).zone == "DE"
    with pytest.raises(UnknownZoneError, match=r"days.csv serves DE, and not 'FR'"):
        grid(path, zone="DE").forecast("FR", START)


def test_a_range_that_is_none_is_refused(path: Path) -> None:
    with pytest.raises(InvalidInputError, match="let it end later"):
        grid(path).history("DE", START, START)
    with pytest.raises(InvalidInputError, match="no time zone"):
        grid(path).history("DE", START.replace(tzinfo=None), START)
