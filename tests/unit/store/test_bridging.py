"""For a forecaster a missing slot is bridged and flagged; an account never sees one that was made up."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from carbon_policy.domain.finding import FindingKind, Treatment
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.store import History

MakeSeries = Callable[..., IntensitySeries]
START = datetime(2026, 11, 22, 6, tzinfo=UTC)
HOUR = timedelta(hours=1)
LATER = START + timedelta(days=1)


def read(history: History, bridge: timedelta) -> IntensitySeries:
    found = history.measured("DE", START, LATER, bridge=bridge)
    assert found is not None
    return found


def test_short_gaps_are_bridged_and_flagged(history: History, make_series: MakeSeries) -> None:
    history.record(make_series(9), fetched_at=LATER)
    history.record(make_series(1, 2, hour=5, estimated=(True, False)), fetched_at=LATER)
    history.record(make_series(5, hour=9), fetched_at=LATER)
    history.record(make_series(7, 8, hour=11), fetched_at=LATER)
    found = read(history, 2 * HOUR)
    assert found.start == START + 5 * HOUR
    assert found.values_gco2_per_kwh == (1, 2, 3, 4, 5, 6, 7, 8)
    assert found.estimated == (True, False, True, True, False, True, False, False)
    left_out, bridged = found.findings
    assert (left_out.kind, left_out.treatment) == (FindingKind.GAP, Treatment.LEFT_OUT)
    assert left_out.sentence.endswith("; the 1 slots before are left out.")
    assert (bridged.kind, bridged.treatment) == (FindingKind.GAP, Treatment.NOTED)
    assert bridged.sentence == (
        "The history of DE lacks 3 slots between 2026-11-22T13:00:00+00:00 and 2026-11-22T17:00:00+00:00;"
        " they are bridged by a straight line and count as estimates."
    )
    assert read(history, 6 * HOUR).start == START


@pytest.mark.parametrize("bridge", [timedelta(0), 0.9 * HOUR])
def test_longer_gaps_are_not(history: History, make_series: MakeSeries, bridge: timedelta) -> None:
    history.record(make_series(1, 2), fetched_at=LATER)
    history.record(make_series(3, 4, hour=3), fetched_at=LATER)
    found = read(history, bridge)
    assert (found.start, found.values_gco2_per_kwh, found.estimated) == (START + 3 * HOUR, (3, 4), ())
    assert [finding.treatment for finding in found.findings] == [Treatment.LEFT_OUT]
    assert history.measured("DE", START, LATER) == read(history, timedelta(0))


def test_nothing_is_bridged_where_slots_are_shifted(history: History, make_series: MakeSeries) -> None:
    history.record(make_series(1, 2), fetched_at=LATER)
    history.record(make_series(3, 4, hour=3.5), fetched_at=LATER)
    assert read(history, 6 * HOUR).values_gco2_per_kwh == (3, 4)


def test_what_was_bridged_is_kept_nowhere(history: History, make_series: MakeSeries) -> None:
    history.record(make_series(1), fetched_at=LATER)
    history.record(make_series(3, hour=2), fetched_at=LATER)
    read(history, HOUR)
    labels = make_series().labels
    assert history.gaps("DE", START, START + 3 * HOUR, source="energy-charts", labels=labels) == [
        (START + HOUR, START + 2 * HOUR)
    ]


def test_a_year_of_quarters_full_of_holes_is_read_fast(sqlite_url: str, make_series: MakeSeries) -> None:
    step = timedelta(minutes=15)
    year = make_series(*(float(slot % 500) for slot in range(35_040)), step=step)
    with History(sqlite_url) as history:
        history.record(year, fetched_at=LATER)
        with history._engine.begin() as connection:
            connection.exec_driver_sql("DELETE FROM intensity WHERE (start_s / 900) % 10 = 0")
        began = time.perf_counter()
        found = history.measured("DE", year.start, year.end, bridge=6 * HOUR)
        assert time.perf_counter() - began < 2
    assert found is not None
    assert len(found.values_gco2_per_kwh) >= 35_038
    assert sum(found.estimated) >= 3_500
