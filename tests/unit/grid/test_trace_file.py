from __future__ import annotations

import gzip
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbon_policy.domain.errors import (
    AbsurdSignalError,
    CarbonPolicyError,
    GapInSignalError,
    InvalidInputError,
    SourceUnavailableError,
    UnknownZoneError,
)
from carbon_policy.domain.signal import FactorKind, IntensitySeries, SignalKind
from carbon_policy.grid.trace import TraceLayout, load_trace, write_trace

START = datetime(2026, 11, 22, tzinfo=UTC)
HOUR = timedelta(hours=1)
SHARED = Path(__file__).resolve().parents[4] / "shared" / "data" / "grid_hourly_2021_2023.csv.gz"

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes lines into a file, with a plain header unless another is given."""

    def write(*lines: str, header: str = "time,gco2_per_kwh", name: str = "day.csv") -> Path:
        path = tmp_path / name
        path.write_text("\n".join((header, *lines)) + "\n", encoding="utf-8")
        return path

    return write


GOOD = ("2026-11-22T00:00:00Z,300", "2026-11-22T01:00:00Z,310.5", "2026-11-22T02:00:00Z,290")


def test_two_columns_are_enough(write: Write) -> None:
    series = load_trace(write(*GOOD), "DE")
    assert (series.zone, series.start, series.step) == ("DE", START, HOUR)
    assert series.values_gco2_per_kwh == (300, 310.5, 290)
    assert series.source == "trace day.csv"
    assert (series.signal, series.factors) == (SignalKind.AVERAGE, FactorKind.LIFE_CYCLE)
    assert not series.simulated
    assert series.issued_at is None
    assert series.provenance == (
        "Read from day.csv, column gco2_per_kwh.",
        "The file names no zone; it was taken as DE's.",
    )


def test_offsets_are_turned_into_utc(write: Write) -> None:
    path = write("2026-11-22T01:00:00+01:00,300", "2026-11-22T02:00:00+01:00,310")
    assert load_trace(path, "DE").start == START


@pytest.mark.parametrize(
    ("values", "step"),
    [((300.25, 1e-3), HOUR), ((1, 2, 3), timedelta(minutes=5)), ((7, 8), timedelta(days=1))],
)
@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_what_was_written_is_read_back(
    tmp_path: Path, values: tuple[float, ...], step: timedelta, name: str
) -> None:
    series = IntensitySeries(zone="DE", start=START, step=step, values_gco2_per_kwh=values, source="test")
    write_trace(series, tmp_path / name)
    back = load_trace(tmp_path / name, "DE")
    assert (back.start, back.step, back.values_gco2_per_kwh) == (START, step, values)


@given(
    values=st.lists(st.floats(0.001, 3000), min_size=2, max_size=20),
    start=st.datetimes(datetime(2000, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    step=st.timedeltas(timedelta(microseconds=1), timedelta(days=1)),
)
@settings(max_examples=30)
def test_whatever_was_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, values: list[float], start: datetime, step: timedelta
) -> None:
    path = tmp_path_factory.mktemp("trace") / "a.csv"
    series = IntensitySeries(
        zone="DE", start=start, step=step, values_gco2_per_kwh=tuple(values), source="test"
    )
    write_trace(series, path)
    back = load_trace(path, "DE")
    assert (back.start, back.step, back.values_gco2_per_kwh) == (start, step, tuple(values))


@pytest.mark.parametrize("signal", list(SignalKind))
@pytest.mark.parametrize("factors", list(FactorKind))
@pytest.mark.parametrize("simulated", [True, False])
def test_labels_are_read_back(
    tmp_path: Path, signal: SignalKind, factors: FactorKind, simulated: bool
) -> None:
    series = IntensitySeries(
        zone="DE",
        start=START,
        step=HOUR,
        values_gco2_per_kwh=(1, 2),
        source="test",
        signal=signal,
        factors=factors,
        simulated=simulated,
    )
    write_trace(series, tmp_path / "a.csv")
    back = load_trace(tmp_path / "a.csv", "DE")
    assert (back.signal, back.factors, back.simulated) == (signal, factors, simulated)
    assert ("simulated" in " ".join(back.provenance)) == simulated


ZONES = (
    "2026-11-22T00:00:00Z,DE,300,250",
    "2026-11-22T00:00:00Z,FR,50,20",
    "2026-11-22T01:00:00Z,DE,310,260",
    "2026-11-22T01:00:00Z,FR,51,21",
)
ZONES_HEADER = "timestamp,zone,gco2_per_kwh,gco2_per_kwh_direct"


def test_one_zone_of_several_is_taken(write: Write) -> None:
    assert load_trace(write(*ZONES, header=ZONES_HEADER), "FR").values_gco2_per_kwh == (50, 51)


def test_the_zone_may_be_left_out_where_there_is_one(write: Write) -> None:
    assert load_trace(write(*ZONES[::2], header=ZONES_HEADER)).zone == "DE"


def test_factors_choose_the_column(write: Write) -> None:
    path = write(*ZONES, header=ZONES_HEADER)
    direct = load_trace(path, "DE", TraceLayout(factors=FactorKind.DIRECT))
    assert (direct.values_gco2_per_kwh, direct.factors) == ((250, 260), FactorKind.DIRECT)
    life_cycle = load_trace(path, "DE", TraceLayout(factors=FactorKind.LIFE_CYCLE))
    assert life_cycle.values_gco2_per_kwh == load_trace(path, "DE").values_gco2_per_kwh == (300, 310)


def test_the_only_column_s_name_labels_it(write: Write) -> None:
    path = write(*GOOD, header="time,gco2_per_kwh_direct")
    assert load_trace(path, "DE").factors is FactorKind.DIRECT
    with pytest.raises(InvalidInputError, match="No column looks like the intensity"):
        load_trace(path, "DE", TraceLayout(factors=FactorKind.LIFE_CYCLE))


def test_electricity_maps_export_is_understood(write: Write) -> None:
    header = (
        "Datetime (UTC),Country,Zone name,Zone id,Carbon intensity gCO₂eq/kWh (direct),"
        "Carbon intensity gCO₂eq/kWh (Life cycle),Carbon-free energy percentage (CFE%)"
    )
    rows = [f"2026-11-22 0{hour}:00:00,Germany,Germany,DE,{250 + hour},{300 + hour},50" for hour in range(3)]
    series = load_trace(write(*rows, header=header), "DE")
    assert series.values_gco2_per_kwh == (300, 301, 302)
    assert series.start == START


def test_columns_can_be_named(write: Write) -> None:
    path = write("x,2026-11-22T00:00:00Z,DE,1", "x,2026-11-22T01:00:00Z,DE,2", header="note,at,where,carbon")
    layout = TraceLayout(time_column="at", zone_column="where", value_column="carbon")
    assert load_trace(path, "DE", layout).values_gco2_per_kwh == (1, 2)


def test_a_spreadsheet_s_mark_and_empty_lines_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "day.csv"
    path.write_bytes(b"\xef\xbb\xbftime,gco2_per_kwh\r\n" + "\r\n\r\n".join(GOOD).encode())
    assert len(load_trace(path, "DE").values_gco2_per_kwh) == 3


def test_naive_times_need_a_word_that_they_are_utc(write: Write) -> None:
    rows = ("2026-11-22 00:00,300", "2026-11-22 01:00,310")
    with pytest.raises(InvalidInputError, match=r"line 2: .* has no time zone; .*assume_utc"):
        load_trace(write(*rows), "DE")
    assert load_trace(write(*rows), "DE", TraceLayout(assume_utc=True)).start == START
    assert load_trace(write(*rows, header="time_utc,gco2_per_kwh"), "DE").start == START


def test_zeros_need_a_word_that_they_are_meant(write: Write) -> None:
    path = write(GOOD[0], "2026-11-22T01:00:00Z,0", GOOD[2])
    with pytest.raises(AbsurdSignalError, match=r"line 3: 0 g/kWh .*allow_zero"):
        load_trace(path, "DE")
    assert load_trace(path, "DE", TraceLayout(allow_zero=True)).values_gco2_per_kwh == (300, 0, 290)


@pytest.mark.parametrize(
    ("rows", "refused", "says"),
    [
        ((GOOD[0], "2026-11-22T01:00:00Z,-1", GOOD[2]), AbsurdSignalError, "line 3: -1 g/kWh"),
        ((GOOD[0], "2026-11-22T01:00:00Z,nan", GOOD[2]), AbsurdSignalError, "line 3: nan g/kWh"),
        ((GOOD[0], "2026-11-22T01:00:00Z,1e9", GOOD[2]), AbsurdSignalError, "line 3: 1e.09 g/kWh"),
        ((GOOD[0], "2026-11-22T01:00:00Z,", GOOD[2]), AbsurdSignalError, "line 3: '' is not an intensity"),
        ((GOOD[0], "2026-11-22T01:00:00Z,n/a", GOOD[2]), AbsurdSignalError, "line 3: 'n/a' is not"),
        ((GOOD[0], "yesterday,1", GOOD[2]), InvalidInputError, "line 3: 'yesterday' is not a time"),
        ((GOOD[0], ",1", GOOD[2]), InvalidInputError, "line 3: '' is not a time"),
        ((GOOD[0], "2026-11-22T01:00:00Z", GOOD[2]), InvalidInputError, "line 3: 1 cells under 2 columns"),
        ((GOOD[0], GOOD[0], GOOD[1]), InvalidInputError, "line 3: .* comes twice"),
        ((GOOD[1], GOOD[0], GOOD[2]), InvalidInputError, "line 3: .* comes after .*sort the rows"),
        (
            (*GOOD, "2026-11-22T05:00:00Z,1"),
            GapInSignalError,
            "line 5: 2 slots missing from 2026-11-22T03:00:00.* to 2026-11-22T05:00:00",
        ),
        ((*GOOD, "2026-11-22T02:30:00Z,1"), InvalidInputError, "line 5: a step of 30m among steps of 1h"),
        ((), InvalidInputError, "0 slots to read"),
        (GOOD[:1], InvalidInputError, "1 slots to read"),
    ],
)
def test_what_cannot_be_trusted_is_refused_by_line(
    write: Write, rows: tuple[str, ...], refused: type[CarbonPolicyError], says: str
) -> None:
    with pytest.raises(refused, match=says):
        load_trace(write(*rows), "DE")


@pytest.mark.parametrize(
    ("header", "layout", "says"),
    [
        (
            "when,gco2_per_kwh",
            TraceLayout(),
            "No column looks like the time; the file has when, gco2_per_kwh",
        ),
        ("time,load_mw", TraceLayout(), "No column looks like the intensity in g/kWh"),
        ("time,co2_lb_per_mwh", TraceLayout(), "No column looks like the intensity in g/kWh"),
        ("time,timestamp", TraceLayout(), "Each of time, timestamp looks like the time.*time_column"),
        ("time,gco2_per_kwh", TraceLayout(value_column="co2"), "no column 'co2'.*Set `value_column`"),
        ("time,gco2_per_kwh", TraceLayout(time_column="at"), "no column 'at'.*Set `time_column`"),
        ("time,gco2_per_kwh", TraceLayout(zone_column="ba"), "no column 'ba'.*Set `zone_column`"),
        ("time,gco2_marginal", TraceLayout(signal=SignalKind.AVERAGE), "No column looks like the intensity"),
        (
            "time,gco2_direct",
            TraceLayout(value_column="gco2_direct", factors=FactorKind.LIFE_CYCLE),
            "not what `signal` and `factors` say",
        ),
    ],
)
def test_columns_that_cannot_be_made_sense_of_are_refused(
    write: Write, header: str, layout: TraceLayout, says: str
) -> None:
    with pytest.raises(InvalidInputError, match=says):
        load_trace(write(*GOOD, header=header), "DE", layout)


def test_two_columns_that_will_do_are_refused(write: Write) -> None:
    path = write("2026-11-22T00:00:00Z,1,2", header="time,gco2_per_kwh,carbon_intensity")
    with pytest.raises(InvalidInputError, match=r"Each of gco2_per_kwh, carbon_intensity.*value_column"):
        load_trace(path, "DE")


def test_a_zone_that_is_not_there_is_refused_with_the_nearest(write: Write) -> None:
    path = write(*ZONES, header=ZONES_HEADER)
    with pytest.raises(UnknownZoneError, match=r"no zone 'de'; did you mean DE\?"):
        load_trace(path, "de")
    with pytest.raises(InvalidInputError, match=r"holds 2 zones \(DE, FR\); say which"):
        load_trace(path)


def test_a_file_without_zones_must_be_told_its_own(write: Write) -> None:
    with pytest.raises(InvalidInputError, match="names no zone; say which"):
        load_trace(write(*GOOD))


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "day.csv").touch()
    with pytest.raises(InvalidInputError, match="is empty"):
        load_trace(tmp_path / "day.csv", "DE")


def test_a_missing_file_is_named_with_its_whole_path(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailableError, match=str(tmp_path / "day.csv")):
        load_trace(tmp_path / "day.csv", "DE")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("day.csv.gz", b"time,gco2_per_kwh\n"),
        ("day.csv.gz", gzip.compress(b"time,gco2_per_kwh\n" + b"x" * 9999)[:-9]),
        ("day.csv", b"time,gco2_per_kwh\n\xff\xfe"),
        ("day.parquet", b"no parquet"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceUnavailableError, match="write it anew"):
        load_trace(tmp_path / name, "DE")


def test_a_file_is_read_once_until_it_changes(write: Write) -> None:
    path = write(*GOOD)
    first = load_trace(path, "DE")
    assert load_trace(path, "DE") is first
    write(*GOOD[:2])
    os.utime(path, ns=(1, 1))
    assert len(load_trace(path, "DE").values_gco2_per_kwh) == 2


def test_parquet_reads_like_csv(tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame(
        {
            "time": pd.date_range(START, periods=3, freq="h"),
            "zone": "DE",
            "gco2_per_kwh": [300.0, 310.1, 290.0],
        }
    )
    frame.to_parquet(tmp_path / "a.parquet")
    frame.set_index("time").to_parquet(tmp_path / "indexed.parquet")
    for name in ("a.parquet", "indexed.parquet"):
        series = load_trace(tmp_path / name, "DE")
        assert (series.start, series.step) == (START, HOUR)
        assert series.values_gco2_per_kwh == (300, 310.1, 290)
    frame.loc[1, "gco2_per_kwh"] = None
    frame.to_parquet(tmp_path / "hole.parquet")
    with pytest.raises(AbsurdSignalError, match=r"hole\.parquet, row 2: nan"):
        load_trace(tmp_path / "hole.parquet", "DE")


def test_parquet_without_its_extra_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    (tmp_path / "a.parquet").touch()
    with pytest.raises(InvalidInputError, match=r"prefect-carbon-policy\[parquet\]"):
        load_trace(tmp_path / "a.parquet", "DE")


@pytest.mark.skipif(not SHARED.exists(), reason=f"{SHARED.name} is not on this machine")
def test_three_years_of_sixteen_zones_are_read_in_a_moment() -> None:
    began = time.process_time()
    series = load_trace(SHARED, "US-CAL-CISO")
    assert time.process_time() - began < 1.5
    assert len(series.values_gco2_per_kwh) == 3 * 365 * 24
    assert (series.start, series.step) == (datetime(2021, 1, 1, tzinfo=UTC), HOUR)
    assert series.factors is FactorKind.LIFE_CYCLE
