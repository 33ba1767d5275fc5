"""Measured intensities come back as they were fetched, corrected where a source corrected itself, and never made up."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from carbon_policy.domain.errors import InvalidInputError
from carbon_policy.domain.finding import FindingKind, Treatment
from carbon_policy.domain.signal import BasisKind, FactorKind, IntensitySeries, SignalKind
from carbon_policy.store import Forgotten, History, RecordResult, ZoneHistory

MakeSeries = Callable[..., IntensitySeries]
START = datetime(2026, 11, 22, 6, tzinfo=UTC)
HOUR = timedelta(hours=1)
LATER = START + timedelta(days=1)


def read(history: History, hours: float = 24, **filters: object) -> IntensitySeries:
    found = history.measured("DE", START, START + hours * HOUR, **filters)  # type: ignore[arg-type]
    assert found is not None
    return found


def test_what_is_recorded_is_read_back(history: History, make_series: MakeSeries) -> None:
    series = make_series(
        basis=BasisKind.PRODUCTION, factors=FactorKind.DIRECT, estimated=(False, True, False)
    )
    assert history.record(series, fetched_at=LATER) == RecordResult(added=3)
    found = read(history)
    assert found.provenance == ("Kept in the history, as energy-charts answered.",)
    assert found.model_copy(update={"provenance": ()}) == series
    assert all(isinstance(flag, bool) for flag in found.estimated)


def test_where_nothing_is_known_there_is_none(history: History, make_series: MakeSeries) -> None:
    assert history.measured("DE", START, LATER) is None
    history.record(make_series(), fetched_at=LATER)
    assert history.measured("FR", START, LATER) is None
    assert history.measured("DE", LATER, LATER + HOUR) is None
    assert history.measured("DE", START, LATER, source="neso") is None


def test_slots_that_overlap_the_range_are_read(history: History, make_series: MakeSeries) -> None:
    history.record(make_series(1, 2, 3, 4), fetched_at=LATER)
    found = history.measured("DE", START + 1.5 * HOUR, START + 2.5 * HOUR)
    assert found is not None
    assert (found.start, found.values_gco2_per_kwh) == (START + HOUR, (2, 3))
    found = history.measured("DE", START + HOUR, START + 2 * HOUR)
    assert found is not None
    assert found.values_gco2_per_kwh == (2,)


def test_recording_again_changes_nothing_and_says_so(history: History, make_series: MakeSeries) -> None:
    history.record(make_series(1, 2, 3), fetched_at=LATER)
    assert history.record(make_series(1, 2, 3), fetched_at=LATER + HOUR) == RecordResult(unchanged=3)
    assert history.record(make_series(2, 3, 4, hour=1), fetched_at=LATER) == RecordResult(1, 0, 2)
    assert read(history).values_gco2_per_kwh == (1, 2, 3, 4)
    assert history.revisions("DE", START, LATER) == []
    [line] = history.zones()
    assert line.last_fetched_at == LATER + HOUR


def test_a_corrected_value_keeps_the_old_one_as_a_revision(history: History, make_series: MakeSeries) -> None:
    history.record(make_series(1, 2, 3), fetched_at=LATER)
    assert history.record(make_series(1, 20, 3), fetched_at=LATER + HOUR) == RecordResult(0, 1, 2)
    assert history.record(make_series(1, 22, 3), fetched_at=LATER + 2 * HOUR) == RecordResult(0, 1, 2)
    assert read(history).values_gco2_per_kwh == (1, 22, 3)
    first, second = history.revisions("DE", START, LATER)
    assert (first.slot_start, first.gco2_per_kwh) == (START + HOUR, 2)
    assert (first.fetched_at, first.replaced_at) == (LATER, LATER + HOUR)
    assert (second.gco2_per_kwh, second.replaced_at) == (20, LATER + 2 * HOUR)
    assert first.labels == make_series().labels


def test_an_answer_fetched_earlier_changes_nothing(history: History, make_series: MakeSeries) -> None:
    history.record(make_series(1), fetched_at=LATER)
    assert history.record(make_series(2), fetched_at=LATER - HOUR) == RecordResult(unchanged=1)
    assert read(history).values_gco2_per_kwh == (1,)


def test_an_estimate_never_replaces_what_was_measured(history: History, make_series: MakeSeries) -> None:
    estimated, measured = make_series(1, estimated=(True,)), make_series(2)
    assert history.record(estimated, fetched_at=LATER) == RecordResult(added=1)
    assert history.record(make_series(3, estimated=(True,)), fetched_at=LATER) == RecordResult(updated=1)
    assert history.record(measured, fetched_at=LATER) == RecordResult(updated=1)
    assert history.record(estimated, fetched_at=LATER + HOUR) == RecordResult(unchanged=1)
    assert read(history).values_gco2_per_kwh == (2,)
    assert read(history).estimated == ()
    # The same number, now no estimate any more, is an update as well.
    history.record(make_series(5, hour=1, estimated=(True,)), fetched_at=LATER)
    assert history.record(make_series(5, hour=1), fetched_at=LATER) == RecordResult(updated=1)


def test_forecasts_and_simulated_values_are_refused(history: History, make_series: MakeSeries) -> None:
    with pytest.raises(InvalidInputError, match="record_forecast"):
        history.record(make_series(issued_at=START), fetched_at=LATER)
    with pytest.raises(InvalidInputError, match="made up"):
        history.record(make_series(simulated=True), fetched_at=LATER)
    with pytest.raises(InvalidInputError, match="made up"):
        history.record_forecast(make_series(simulated=True, issued_at=START), fetched_at=LATER)
    with pytest.raises(InvalidInputError, match="whole seconds"):
        history.record(make_series(step=timedelta(seconds=1.5)), fetched_at=LATER)
    with pytest.raises(InvalidInputError, match="no time zone"):
        history.record(make_series(), fetched_at=datetime(2026, 11, 22))  # noqa: DTZ001
    with pytest.raises(InvalidInputError, match="no time zone"):
        history.measured("DE", datetime(2026, 11, 22), LATER)  # noqa: DTZ001
    assert history.zones() == []


def test_kinds_of_numbers_never_mix(history: History, make_series: MakeSeries) -> None:
    kinds = [
        make_series(1),
        make_series(2, factors=FactorKind.DIRECT),
        make_series(3, signal=SignalKind.MARGINAL),
        make_series(4, basis=BasisKind.CONSUMPTION),
        make_series(5, basis=BasisKind.PRODUCTION),
    ]
    for series in kinds:
        assert history.record(series, fetched_at=LATER) == RecordResult(added=1)
    for series in kinds:
        found = read(history, labels=series.labels)
        assert (found.labels, found.values_gco2_per_kwh) == (series.labels, series.values_gco2_per_kwh)
    assert read(history, signal=SignalKind.MARGINAL).values_gco2_per_kwh == (3,)
    made_up = make_series(simulated=True).labels
    assert history.measured("DE", START, LATER, labels=made_up) is None
    marginal = kinds[2].labels
    assert history.measured("DE", START, LATER, labels=marginal, signal=SignalKind.AVERAGE) is None


def test_the_source_that_reaches_furthest_is_read(history: History, make_series: MakeSeries) -> None:
    history.record(make_series(1, 2, source="neso"), fetched_at=LATER)
    history.record(make_series(3, hour=2), fetched_at=LATER)
    assert read(history).source == "energy-charts"
    # Of the range's end on nothing counts.
    assert read(history, hours=2).source == "neso"
    history.record(make_series(4, hour=2, source="neso"), fetched_at=LATER)
    assert read(history).values_gco2_per_kwh == (1, 2, 4)


def test_lengths_of_slots_do_not_mix(history: History, make_series: MakeSeries) -> None:
    history.record(make_series(1, 2), fetched_at=LATER)
    quarters = make_series(3, 4, 5, 6, hour=2, step=timedelta(minutes=15))
    history.record(quarters, fetched_at=LATER)
    assert read(history).values_gco2_per_kwh == (3, 4, 5, 6)
    assert read(history, hours=2).values_gco2_per_kwh == (1, 2)
    # A backfill need not fetch again what is known in slots of another length.
    labels = quarters.labels
    assert history.gaps("DE", START, START + 4 * HOUR, source="energy-charts", labels=labels) == [
        (START + 3 * HOUR, START + 4 * HOUR)
    ]
    [line] = history.zones()
    assert (line.slots, line.first_slot, line.last_slot) == (6, START, START + 2.75 * HOUR)


def test_before_a_gap_everything_is_left_out_and_said(history: History, make_series: MakeSeries) -> None:
    history.record(make_series(1, 2), fetched_at=LATER)
    history.record(make_series(3, hour=4), fetched_at=LATER)
    history.record(make_series(4, 5, hour=7), fetched_at=LATER)
    found = read(history)
    assert (found.start, found.values_gco2_per_kwh) == (START + 7 * HOUR, (4, 5))
    [finding] = found.findings
    assert (finding.kind, finding.treatment, finding.source) == (
        FindingKind.GAP,
        Treatment.LEFT_OUT,
        "energy-charts",
    )
    assert finding.sentence == (
        "The history of DE has nothing from 2026-11-22T11:00:00+00:00 to 2026-11-22T13:00:00+00:00;"
        " the 3 slots before are left out."
    )
    assert read(history, hours=2).findings == ()


def test_gaps_are_what_a_backfill_must_fetch(history: History, make_series: MakeSeries) -> None:
    def gaps(start: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
        return history.gaps("DE", start, end, source="energy-charts", labels=make_series().labels)

    assert gaps(START, LATER) == [(START, LATER)]
    history.record(make_series(1, 2, hour=1), fetched_at=LATER)
    history.record(make_series(3, hour=4), fetched_at=LATER)
    history.record(make_series(9, 9, 9, source="neso"), fetched_at=LATER)
    assert gaps(START, LATER) == [
        (START, START + HOUR),
        (START + 3 * HOUR, START + 4 * HOUR),
        (START + 5 * HOUR, LATER),
    ]
    assert gaps(START + 1.5 * HOUR, START + 3 * HOUR) == []
    assert gaps(START + 3.25 * HOUR, START + 3.5 * HOUR) == [(START + 3.25 * HOUR, START + 3.5 * HOUR)]
    assert gaps(START + 2.5 * HOUR, START + 4.5 * HOUR) == [(START + 3 * HOUR, START + 4 * HOUR)]


def test_years_are_recorded_in_batches(history: History, make_series: MakeSeries) -> None:
    values = tuple(float(index % 700) for index in range(12_001))
    estimated = tuple(index % 7 == 0 for index in range(12_001))
    series = make_series(*values, estimated=estimated)
    assert history.record(series, fetched_at=LATER) == RecordResult(added=12_001)
    found = history.measured("DE", series.start, series.end)
    assert found is not None
    assert (found.values_gco2_per_kwh, found.estimated) == (values, estimated)
    assert history.record(series, fetched_at=LATER) == RecordResult(unchanged=12_001)


def test_zones_tell_what_is_kept(history: History, make_series: MakeSeries) -> None:
    measured = make_series(1, 2, 3, estimated=(False, True, True))
    history.record(measured, fetched_at=LATER)
    history.record(make_series(4, zone="FR"), fetched_at=LATER)
    history.record_forecast(make_series(issued_at=START), fetched_at=START)
    history.record_forecast(make_series(issued_at=START + HOUR), fetched_at=LATER)
    history.record_forecast(make_series(issued_at=START, source="own"), fetched_at=START)
    assert history.zones() == [
        ZoneHistory(
            zone="DE",
            source="energy-charts",
            labels=measured.labels,
            first_slot=START,
            last_slot=START + 2 * HOUR,
            slots=3,
            estimated_slots=2,
            last_fetched_at=LATER,
            forecasts=2,
            last_issued_at=START + HOUR,
        ),
        ZoneHistory("DE", "own", measured.labels, forecasts=1, last_issued_at=START),
        ZoneHistory("FR", "energy-charts", measured.labels, START, START, 1, 0, LATER),
    ]


def test_what_is_older_is_forgotten(history: History, make_series: MakeSeries) -> None:
    for zone in ("DE", "FR"):
        history.record(make_series(1, 2, 3, zone=zone), fetched_at=LATER)
        history.record(make_series(10, 2, 30, zone=zone), fetched_at=LATER)
        for hour in (0, 1, 2):
            issued = make_series(zone=zone, issued_at=START + hour * HOUR)
            history.record_forecast(issued, fetched_at=LATER)
    before = START + 1.5 * HOUR
    assert history.forget(before, zone="DE") == Forgotten(slots=1, revisions=1, forecasts=2)
    assert history.forget(before, zone="DE") == Forgotten()
    assert read(history).values_gco2_per_kwh == (2, 30)
    assert history.forget(LATER) == Forgotten(slots=5, revisions=3, forecasts=4)
    assert history.zones() == []
    assert history.record(make_series(1), fetched_at=LATER) == RecordResult(added=1)


WRITER = """
import sys
from datetime import timedelta
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.store import History

url, template, name = sys.argv[1:]
series = IntensitySeries.model_validate_json(template)
offset = float(name)
sys.stdin.read()  # Until all writers are up.
added = updated = new = 0
with History(url) as history:
    for turn in range(10):
        shared = series.model_copy(
            update={"values_gco2_per_kwh": tuple(100 * turn + offset for _ in series.values_gco2_per_kwh)}
        )
        own = series.model_copy(update={"zone": f"own-{name}-{turn}"})
        fetched_at = series.end + timedelta(minutes=turn)
        for result in (history.record(shared, fetched_at=fetched_at), history.record(own, fetched_at=fetched_at)):
            added, updated = added + result.added, updated + result.updated
        issue = shared.model_copy(update={"issued_at": series.start + timedelta(hours=turn)})
        new += history.record_forecast(issue, fetched_at=fetched_at)
        history.note("DE", "turn", {"turn": turn})
print(added, updated, new)
"""


def test_several_processes_write_at_once(url: str, make_series: MakeSeries) -> None:
    """Every slot is added by exactly one of them, and every value that stood for a while is a revision."""
    template = make_series(*range(50)).model_dump_json()
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, url, template, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("1", "2", "3")
    ]
    with ThreadPoolExecutor() as pool:
        outputs = list(pool.map(lambda writer: writer.communicate(timeout=120), writers))
    assert [error for _, error in outputs] == ["", "", ""]
    added, updated, new = (
        sum(column) for column in zip(*(map(int, out.split()) for out, _ in outputs), strict=True)
    )
    assert added == 50 + 3 * 10 * 50
    assert new == 10
    with History(url) as history:
        revisions = history.revisions("DE", START, START + 50 * HOUR)
        assert len(revisions) == updated
        assert sum(line.slots for line in history.zones()) == added
        # What was fetched last stands, whoever wrote first.
        assert all(900 < value < 904 for value in read(history, hours=50).values_gco2_per_kwh)
        assert history.noted("DE", "turn") == {"turn": 9}
