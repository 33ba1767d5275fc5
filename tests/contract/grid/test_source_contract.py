"""What every grid source keeps to, whatever is behind it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from carbon_policy.domain.errors import CarbonPolicyError, InvalidInputError
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.grid.chain import actuals, outlook, pinned
from carbon_policy.grid.simulated import SimulatedGrid
from carbon_policy.grid.source import GridSource
from carbon_policy.grid.trace import TraceGrid, write_trace
from tests.support.grid_apis import APIS, NOW

DAY = timedelta(days=1)
REPLAY: dict[str, Any] = {"trace_start": NOW - 900 * DAY, "began_at": NOW - timedelta(hours=2), "speed": 1200}


def trace(folder: Path, **fields: Any) -> GridSource:
    path = folder / "trace.csv"
    start = fields.get("trace_start", NOW)
    series = SimulatedGrid().history("GB", start - 10 * DAY, start + 200 * DAY)
    write_trace(series, path)
    return TraceGrid(path=path, **fields)


SOURCES = [*APIS, "trace", "replayed trace", "simulated", "replayed simulated"]


@pytest.fixture
def zone(request: pytest.FixtureRequest) -> str:
    """One that the source serves."""
    name = request.node.callspec.params["source"]
    return APIS[name].zone if name in APIS else "GB"


@pytest.fixture(params=SOURCES)
def source(request: pytest.FixtureRequest, tmp_path: Path, server: Any, answer: Any) -> GridSource:
    if request.param in APIS:
        api = APIS[request.param]
        server.answer = lambda path: answer(api.answer(path))
        return api.source(server.url)
    builders: dict[str, Callable[[Path], GridSource]] = {
        "trace": trace,
        "replayed trace": lambda folder: trace(folder, **REPLAY),
        "simulated": lambda folder: SimulatedGrid(),
        "replayed simulated": lambda folder: SimulatedGrid(**REPLAY),
    }
    return builders[request.param](tmp_path)


def check(series: IntensitySeries, source: GridSource, zone: str) -> None:
    """Units, labels and times that hold for history and forecast alike."""
    known = source.capabilities()
    assert series.zone == zone
    # The place that stands for the zone may follow.
    assert series.source.startswith(known.name)
    assert series.signal is known.signal
    assert known.factors in (None, series.factors)
    assert known.basis in (None, series.basis)
    assert known.simulated <= series.simulated
    assert series.start.utcoffset() == timedelta(0)
    assert all(1 < value < 1000 for value in series.values_gco2_per_kwh), "g/kWh"
    assert series.provenance
    assert all(sentence.endswith(".") for sentence in series.provenance)
    assert known.attribution


def test_a_forecast_begins_with_the_slot_of_now(source: GridSource, zone: str) -> None:
    series = source.forecast(zone, NOW)
    check(series, source, zone)
    assert series.start <= NOW < series.start + series.step
    assert series.issued_at is not None
    assert NOW - timedelta(hours=1) <= series.issued_at <= NOW
    horizon = source.capabilities().horizon
    assert horizon - series.step <= series.end - NOW <= horizon + series.step


def test_a_series_bears_the_name_that_the_source_says(source: GridSource, zone: str) -> None:
    assert source.forecast(zone, NOW).source == source.source_name(zone)


def test_history_is_the_slots_that_overlap_the_range(source: GridSource, zone: str) -> None:
    start = NOW - timedelta(minutes=95)
    series = source.history(zone, start, NOW - timedelta(minutes=20))
    check(series, source, zone)
    assert series.issued_at is None
    assert series.start <= start < series.start + series.step
    assert series.end - series.step < NOW - timedelta(minutes=20) <= series.end


def test_the_same_question_has_the_same_answer(source: GridSource, zone: str) -> None:
    assert source.forecast(zone, NOW).fingerprint == source.forecast(zone, NOW).fingerprint


def test_a_slot_begins_when_it_begins_whenever_it_is_asked_for(source: GridSource, zone: str) -> None:
    early, late = source.forecast(zone, NOW), source.forecast(zone, NOW + 3 * source.forecast(zone, NOW).step)
    assert (late.start - early.start) % early.step == timedelta(0)


def test_an_answer_passes_the_chain(source: GridSource, zone: str) -> None:
    assert outlook(zone, NOW, pinned([source])).notes == ()
    measured = actuals(zone, NOW - timedelta(minutes=90), NOW - timedelta(minutes=30), pinned([source]))
    assert measured.series is not None
    assert measured.notes == ()


def test_errors_are_ours(source: GridSource, zone: str) -> None:
    with pytest.raises(CarbonPolicyError):
        source.history(zone, NOW, NOW)
    with pytest.raises(InvalidInputError, match="no time zone"):
        source.forecast(zone, NOW.replace(tzinfo=None))
