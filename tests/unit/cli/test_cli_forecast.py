from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from carbon_policy.store.history import History
from tests.unit.cli.conftest import RunCli, StandInGrid, floor, wave


def fill(history: History, days: float = 30) -> None:
    """So long a history of DE, and nothing else."""
    from datetime import UTC

    end = floor(datetime.now(UTC)) - timedelta(hours=1)
    series = wave(end - timedelta(days=days), int(days * 48))
    history.record(series, fetched_at=datetime.now(UTC))


def test_without_a_server_the_zones_own_source_is_asked_and_that_is_said(run_cli: RunCli) -> None:
    result = run_cli("forecast", "DE", "--hours", "12")
    assert result.exit_code == 0
    assert "the zone's own source is asked" in result.stderr
    assert "Carbon intensity of DE" in result.stdout
    assert "DE: stand-in, average signal" in result.stdout
    assert "found at step keyless" in result.stdout
    assert "Greenest 4h from" in result.stdout


def test_each_hour_in_a_table(run_cli: RunCli) -> None:
    result = run_cli("forecast", "DE", "--hours", "12", "--table", "--top", "0")
    assert "Greenest" not in result.stdout
    rows = [line for line in result.stdout.splitlines() if line.rstrip().endswith("█") and "│" not in line]
    assert 12 <= len(rows) <= 13


def test_as_data(run_cli: RunCli) -> None:
    document = json.loads(run_cli("forecast", "aws:eu-central-1", "--json", "--hours", "30").stdout)
    assert document["schema"] == "carbon-policy-forecast/2"
    assert (document["asked"], document["zone"]) == ("aws:eu-central-1", "DE")
    assert 60 <= len(document["values_gco2_per_kwh"]) <= 61
    assert document["step"] == "30m"
    assert document["chain_step"] == "keyless"
    assert document["parts"][0]["source"] == "stand-in"
    assert document["quantiles_gco2_per_kwh"] == {}
    assert document["provenance"] == []
    best = document["windows"][0]
    assert datetime.fromisoformat(best["end"]) - datetime.fromisoformat(best["start"]) == timedelta(hours=4)
    # One a dip: a day and a quarter has one or two of them.
    assert len(document["windows"]) in (1, 2)
    assert best["gco2_per_kwh"] == min(window["gco2_per_kwh"] for window in document["windows"])
    assert best["gco2_per_kwh"] < 215


def test_with_history_there_is_a_band_and_a_second_part(run_cli: RunCli, history: History) -> None:
    fill(history)
    assert run_cli("refresh", "DE").exit_code == 0
    document = json.loads(run_cli("forecast", "DE", "--json", "--hours", "60").stdout)
    bands = document["quantiles_gco2_per_kwh"]
    assert set(bands) >= {"0.1", "0.5", "0.9"}
    assert all(len(values) == len(document["values_gco2_per_kwh"]) for values in bands.values())
    assert [part["source"] for part in document["parts"]][1] == "own forecast"
    shown = run_cli("forecast", "DE").stdout
    assert "band of 80% around what is expected" in shown
    assert "80% band" in shown
    assert ": own forecast" in shown


@pytest.mark.parametrize("width", [80, 110])
def test_it_fits_the_terminal(
    run_cli: RunCli, history: History, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(history)
    monkeypatch.setenv("COLUMNS", str(width))
    lines = run_cli("forecast", "DE").stdout.splitlines()
    assert max(map(len, lines)) <= width
    assert not any("…" in line for line in lines)


def test_a_region_is_said_to_be_its_zone(run_cli: RunCli) -> None:
    result = run_cli("forecast", "AWS:eu-central-1", "--hours", "12")
    assert "AWS:eu-central-1 is fed by DE." in result.stderr
    assert "Carbon intensity of DE (AWS:eu-central-1)" in result.stdout


def test_where_no_hour_is_known_none_is_greener(run_cli: RunCli) -> None:
    result = run_cli("forecast", "BR")
    assert result.exit_code == 0
    assert "none is greener than now" in result.stderr
    assert "found at step yearly-mean" in result.stdout
    assert "Greenest" not in result.stdout


def test_what_is_out_of_order_is_a_finding(run_cli: RunCli, live_grid: StandInGrid) -> None:
    live_grid.answers = False
    result = run_cli("forecast", "DE", "--hours", "24")
    assert "failed, refused: stand-in: it is out of order." in result.stdout
    assert result.stdout.count("it is out of order") == 1


def test_a_window_that_does_not_fit_and_hours_that_nobody_knows(run_cli: RunCli) -> None:
    result = run_cli("forecast", "DE", "--window", "2d")
    assert result.exit_code == 0
    assert "ahead only" in result.stderr
    assert "ask for a shorter --window" in result.stderr
    assert run_cli("forecast", "DE", "--window", "long").exit_code == 1


@pytest.mark.parametrize("name", ["new/day.png", "new/day.html"])
def test_as_a_plot(run_cli: RunCli, history: History, tmp_path: Path, name: str) -> None:
    fill(history)
    result = run_cli("forecast", "DE", "--plot", str(tmp_path / name))
    assert result.exit_code == 0
    assert (tmp_path / name).stat().st_size > 1000
