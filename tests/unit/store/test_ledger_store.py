"""What is recorded is what is read back, once, however often and by however many it is written."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql

from carbon_policy.domain.errors import InvalidInputError
from carbon_policy.domain.ledger import LedgerEntry, SlotGrams
from carbon_policy.store import Ledger, RecordResult
from carbon_policy.store.ledger import _upsert_statement
from carbon_policy.store.models import LedgerRow

MakeEntry = Callable[..., LedgerEntry]
START = datetime(2026, 11, 22, 6, tzinfo=UTC)

texts = st.text(max_size=20)
numbers = st.floats(min_value=0, max_value=1e12)
maybe_numbers = st.none() | st.floats(-1e12, 1e12)
moments = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.timezones())  # noqa: DTZ001
slots = st.lists(
    st.builds(SlotGrams, start=moments, end=moments, energy_kwh=numbers, gco2_per_kwh=numbers), max_size=3
).map(tuple)
entries = st.builds(
    LedgerEntry,
    **{name: texts for name, field in LedgerEntry.model_fields.items() if field.annotation is str},
    **{name: st.none() | texts for name in ("gate_run_id", "deployment")},
    **dict.fromkeys(("submitted_at", "started_at", "ended_at"), moments),
    **dict.fromkeys(("energy_kwh", "measured_kwh", "estimated_kwh", "pue"), numbers),
    **{
        name: maybe_numbers
        for name, field in LedgerEntry.model_fields.items()
        if field.annotation == float | None
    },
    slots=slots,
    counterfactual_slots=slots,
    deferrals=st.integers(0, 1000),
    simulated=st.booleans(),
    notes=st.lists(texts, max_size=3).map(tuple),
    tags=st.lists(texts, max_size=3).map(tuple),
    parameters=st.dictionaries(texts, st.booleans() | st.integers(-(10**15), 10**15) | numbers | texts),
)


@settings(max_examples=15, deadline=None)
@given(entry=entries)
def test_every_field_comes_back_as_it_went_in(entry: LedgerEntry) -> None:
    with Ledger("sqlite://") as ledger:
        ledger.record([entry])
        assert ledger.entries() == [entry]


def test_every_field_has_a_column_of_its_name() -> None:
    columns = set(LedgerRow.__table__.columns.keys())
    assert columns - set(LedgerEntry.model_fields) == {"fingerprint", "revision", "settled"}
    assert set(LedgerEntry.model_fields) <= columns


def test_times_come_back_aware_and_in_utc(ledger: Ledger, make_entry: MakeEntry) -> None:
    berlin = timezone(timedelta(hours=1))
    ledger.record([make_entry(started_at=datetime(2026, 11, 22, 7, 0, 0, 123456, tzinfo=berlin))])
    started_at = ledger.entries()[0].started_at
    assert started_at == datetime(2026, 11, 22, 6, 0, 0, 123456, tzinfo=UTC)
    assert started_at.utcoffset() == timedelta(0)


def test_recording_again_changes_nothing_and_says_so(ledger: Ledger, make_entry: MakeEntry) -> None:
    first, second = make_entry("a"), make_entry("b", hour=1)
    assert ledger.record([first, second]) == RecordResult(added=2)
    assert ledger.record([first, second]) == RecordResult(unchanged=2)
    corrected = make_entry("a", gco2=31.0)
    assert ledger.record([corrected, second]) == RecordResult(updated=1, unchanged=1)
    assert ledger.entries() == [corrected, second]


def test_one_run_twice_in_one_recording_is_one_row(ledger: Ledger, make_entry: MakeEntry) -> None:
    later = make_entry("a", state="FAILED")
    assert ledger.record([make_entry("a"), later]) == RecordResult(added=1, updated=1)
    assert ledger.entries() == [later]


def test_many_entries_are_recorded_in_batches(ledger: Ledger, make_entry: MakeEntry) -> None:
    many = [make_entry(f"run-{index:04}", hour=index) for index in range(450)]
    assert ledger.record(iter(many)) == RecordResult(added=450)
    assert ledger.entries() == many


def test_settled_grams_are_not_forgotten(ledger: Ledger, make_entry: MakeEntry) -> None:
    preliminary = make_entry(gco2=29.0, preliminary=True)
    settled = make_entry()
    unknown = make_entry(gco2=None)
    assert ledger.record([unknown]) == RecordResult(added=1)
    assert ledger.record([preliminary]) == RecordResult(updated=1)
    assert ledger.missing_actuals() == [preliminary]
    assert ledger.record([settled]) == RecordResult(updated=1)
    assert ledger.record([unknown]) == RecordResult(unchanged=1)
    assert ledger.record([preliminary]) == RecordResult(unchanged=1)
    assert ledger.entries() == [settled]
    assert ledger.missing_actuals() == []


def test_entries_are_filtered_and_ordered(ledger: Ledger, make_entry: MakeEntry) -> None:
    late = make_entry("a", hour=2, deployment="nightly")
    early = make_entry("c", hour=0, flow="report")
    middle = make_entry("b", hour=1, deployment="nightly")
    ledger.record([late, early, middle])
    assert ledger.entries() == [early, middle, late]
    assert ledger.entries(since=START + timedelta(hours=1)) == [middle, late]
    assert ledger.entries(until=START + timedelta(hours=1)) == [early]
    assert ledger.entries(deployment="nightly") == [middle, late]
    assert ledger.entries(flow="report") == [early]
    assert ledger.entries(limit=2) == [middle, late]
    assert ledger.entries(deployment="nightly", flow="report") == []


def test_a_filter_without_a_zone_is_refused(ledger: Ledger) -> None:
    with pytest.raises(InvalidInputError, match="has no time zone"):
        ledger.entries(since=datetime(2026, 11, 22))  # noqa: DTZ001


WRITER = """
import sys
from carbon_policy.domain.ledger import LedgerEntry
from carbon_policy.store import Ledger

url, template, name = sys.argv[1:]
entry = LedgerEntry.model_validate_json(template)
sys.stdin.read()  # Until all writers are up: they create the file together, too.
added = 0
with Ledger(url) as ledger:
    for index in range(25):
        own = entry.model_copy(update={"job_run_id": f"{name}-{index}"})
        shared = entry.model_copy(update={"job_run_id": f"shared-{index}"})
        added += ledger.record([own, shared]).added
print(added)
"""


def test_several_processes_write_at_once(url: str, make_entry: MakeEntry) -> None:
    """Every row is added by exactly one of them."""
    template = make_entry().model_dump_json()
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, url, template, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "two", "three")
    ]
    with ThreadPoolExecutor() as pool:
        outputs = list(pool.map(lambda writer: writer.communicate(timeout=60), writers))
    assert [error for _, error in outputs] == ["", "", ""]
    assert sum(int(output) for output, _ in outputs) == 4 * 25
    with Ledger(url) as ledger:
        assert len(ledger.entries()) == 4 * 25


def test_the_same_statement_is_postgresql() -> None:
    statement = str(_upsert_statement("postgresql").compile(dialect=postgresql.dialect()))
    assert "ON CONFLICT (job_run_id) DO UPDATE SET" in statement
    assert "RETURNING ledger.revision" in statement
