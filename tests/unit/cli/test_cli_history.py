from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from carbon_policy.domain.errors import GapInSignalError
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.grid.trace_file import load_trace
from carbon_policy.store.history import History
from tests.unit.cli.conftest import RunCli, StandInGrid, wave

DAY = datetime(2026, 11, 20, tzinfo=UTC)
RANGE = ("--from", "2026-11-20T00:00:00Z", "--to", "2026-11-23T00:00:00Z")


def changed(series: IntensitySeries, **fields: object) -> IntensitySeries:
    return IntensitySeries(**{name: getattr(series, name) for name in type(series).model_fields} | fields)


@pytest.fixture
def filled(history: History) -> History:
    """Three days of DE with twelve hours missing, two estimates and one revision."""
    first, last = wave(DAY, 48), wave(DAY + timedelta(hours=36), 72)
    history.record(changed(first, estimated=(True, True, *[False] * 46)), fetched_at=DAY + timedelta(days=3))
    history.record(last, fetched_at=DAY + timedelta(days=3))
    revised = changed(wave(DAY + timedelta(days=2), 1), values_gco2_per_kwh=(412.0,))
    history.record(revised, fetched_at=DAY + timedelta(days=4))
    return history


def test_days_gaps_estimates_and_revisions_are_shown(run_cli: RunCli, filled: History) -> None:
    result = run_cli("history", "DE", *RANGE)
    assert (result.exit_code, result.stderr) == (0, "")
    for words in (
        "2026-11-20    300   200 at 12:00       400    100%           2         0",
        "50%",
        "Nothing is known from 2026-11-21T00:00:00Z to 2026-11-21T12:00:00Z (12h).",
        "2 slots are estimates",
        "1 slot had another value before; the last is 2026-11-22T00:00:00Z, 400 g/kWh until 2026-11-24T00:00:00Z.",
        "stand-in, average, life-cycle",
    ):
        assert words in result.stdout


def test_as_data(run_cli: RunCli, filled: History) -> None:
    document = json.loads(run_cli("history", "aws:eu-central-1", *RANGE, "--json").stdout)
    assert (document["zone"], document["source"]) == ("DE", "stand-in")
    assert len(document["slots"]) == 120
    assert sum(slot["estimated"] for slot in document["slots"]) == 2
    assert document["gaps"] == [{"start": "2026-11-21T00:00:00Z", "end": "2026-11-21T12:00:00Z"}]
    assert [one["gco2_per_kwh"] for one in document["revisions"]] == [400.0]


@pytest.mark.parametrize("name", ["de.csv", "de.csv.gz"])
def test_what_is_written_is_read_back_as_a_trace(
    run_cli: RunCli, filled: History, tmp_path: Path, name: str
) -> None:
    file = tmp_path / "new" / name
    result = run_cli(
        "history", "DE", "--from", "2026-11-22T00:00:00Z", "--to", "2026-11-23T00:00:00Z", "--csv", str(file)
    )
    assert "48 slots are in" in result.stderr
    series = load_trace(file)
    assert (series.zone, series.start, len(series.values_gco2_per_kwh)) == ("DE", DAY + timedelta(days=2), 48)
    run_cli("history", "DE", *RANGE, "--csv", str(file))
    with pytest.raises(GapInSignalError, match="24 slots missing"):
        load_trace(file)


@pytest.mark.parametrize("name", ["de.png", "de.html"])
def test_as_a_plot(run_cli: RunCli, filled: History, tmp_path: Path, name: str) -> None:
    assert run_cli("history", "DE", *RANGE, "--plot", str(tmp_path / name)).exit_code == 0
    assert (tmp_path / name).stat().st_size > 1000


def test_of_two_sources_one_is_shown_and_the_other_named(run_cli: RunCli, filled: History) -> None:
    other = changed(wave(DAY, 10), source="other")
    filled.record(other, fetched_at=DAY + timedelta(days=1))
    result = run_cli("history", "DE", *RANGE)
    assert "stored as well: other" in result.stderr
    named = run_cli("history", "DE", *RANGE, "--source", "other", "--json")
    assert len(json.loads(named.stdout)["slots"]) == 10
    unknown = run_cli("history", "DE", *RANGE, "--source", "third")
    assert "there is other, stand-in." in unknown.stderr


def test_what_is_stored_at_other_times_is_said(run_cli: RunCli, filled: History) -> None:
    result = run_cli("history", "DE", "--from", "2025-01-01T00:00:00Z", "--to", "2025-01-02T00:00:00Z")
    assert result.exit_code == 1
    assert "There is: stand-in 2026-11-20 to 2026-11-22." in result.stderr


def test_the_sources_can_be_asked_instead(run_cli: RunCli, live_grid: StandInGrid) -> None:
    result = run_cli("history", "DE", "--ask", "--days", "2")
    assert result.exit_code == 0
    assert len(live_grid.asked) == 1
    assert "stand-in, average" in result.stdout
    live_grid.answers = False
    assert "Nothing was measured of DE then" in run_cli("history", "DE", "--ask").stderr


@pytest.mark.parametrize("width", [80, 110])
def test_it_fits_the_terminal(
    run_cli: RunCli, filled: History, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    lines = run_cli("history", "DE", *RANGE).stdout.splitlines()
    assert max(map(len, lines)) <= width
    assert not any("…" in line for line in lines)
