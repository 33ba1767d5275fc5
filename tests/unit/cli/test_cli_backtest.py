from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from carbon_policy.store.history import History
from tests.unit.cli.conftest import RunCli, floor, wave

START = datetime(2026, 1, 1, tzinfo=UTC)


def row(hour: int, zone: str, base: float) -> str:
    moment = START + timedelta(hours=hour)
    value = base + 90 * math.cos(hour / 24 * 2 * math.pi) + 30 * math.cos(hour / 61 * 2 * math.pi)
    return f"{moment.isoformat()},{zone},{value:.2f}"


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten weeks of two zones, and of a third with a hole."""
    path = tmp_path_factory.mktemp("trace") / "zones.csv"
    rows = [row(hour, zone, base) for zone, base in (("DE", 300), ("FR", 200)) for hour in range(70 * 24)]
    holed = [row(hour, "XX", 400) for hour in range(70 * 24) if hour != 100]
    path.write_text("\n".join(["time,zone,gco2_per_kwh", *rows, *holed]))
    return path


def test_each_zone_has_a_row_and_all_have_a_median(run_cli: RunCli, trace: Path) -> None:
    result = run_cli("backtest", str(trace), "--test-from", "2026-02-15")
    assert result.exit_code == 0
    assert "warning: XX was left out: zones.csv, line" in result.stderr
    assert "1 slot missing" in result.stderr
    lines = result.stdout.splitlines()
    assert sum(line.strip().startswith(("DE ", "FR ")) for line in lines) == 2
    for words in (
        "2 zones of zones.csv: fitted to 1,080 h, tested from 2026-02-15 00:00 UTC on",
        "Median of the zones:",
        "seasonal naive 24 h",
        "8 h in 96 h",
        "perfect foresight saves",
        "band held",
        "pinball loss",
    ):
        assert words in result.stdout


def test_one_zone_as_data(run_cli: RunCli, trace: Path) -> None:
    result = run_cli("backtest", str(trace), "--zone", "FR", "--json")
    document = json.loads(result.stdout)
    assert document["schema"] == "carbon-policy-backtest/1"
    (zone,) = document["zones"]
    assert (zone["zone"], zone["trained_h"], zone["tested_h"]) == ("FR", 42 * 24, 28 * 24)
    own = zone["methods"]["own"]
    assert len(own["mape_by_day"]) == 7
    assert [(kept["job_h"], kept["window_h"]) for kept in own["kept"]] == [(4, 24), (4, 48), (8, 96)]
    assert all(0.5 < kept["once"] <= 1 for kept in own["kept"])
    assert document["median"]["own"]["mape_by_day"] == own["mape_by_day"]
    assert zone["bands"]["promised"] == pytest.approx(0.8)


@pytest.mark.parametrize("name", ["skill.png", "skill.html"])
def test_as_a_plot(run_cli: RunCli, trace: Path, tmp_path: Path, name: str) -> None:
    arguments = ("--zone", "DE", "--zone", "FR", "--plot", str(tmp_path / name), "--refit", "2w")
    result = run_cli("backtest", str(trace), *arguments)
    assert result.exit_code == 0
    assert "fitted anew every 336 h" in result.stdout
    assert (tmp_path / name).stat().st_size > 1000


def test_a_file_that_names_no_zone_is_called_by_its_own_name(run_cli: RunCli, tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    rows = [row(hour, "", 300).replace(",,", ",") for hour in range(60 * 24)]
    path.write_text("\n".join(["when,grams", *rows]))
    refused = run_cli("backtest", str(path))
    assert refused.exit_code == 1
    assert "time_column" in refused.stderr
    result = run_cli("backtest", str(path), "--time-column", "when", "--value-column", "grams")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("mine of mine.csv: ")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--zone", "XX"), "1 slot missing"),
        (("--zone", "DK"), "has no zone 'DK'"),
        (("--zone", "DE", "--test-from", "2027-01-01"), "let --test-from lie between"),
        (("--zone", "DE", "--test-from", "2026-03-10"), "leaves too little"),
        (("--zone", "DE", "--test-from", "someday"), "someday"),
    ],
)
def test_what_cannot_be_scored_is_explained(
    run_cli: RunCli, trace: Path, arguments: tuple[str, ...], says: str
) -> None:
    result = run_cli("backtest", str(trace), *arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert says in result.stderr


def test_on_what_is_stored(run_cli: RunCli, history: History) -> None:
    now = datetime.now(UTC)
    end = floor(now).replace(minute=0)
    history.record(wave(end - timedelta(days=60), 60 * 48), fetched_at=now)
    result = run_cli("backtest", "--store", "aws:eu-central-1")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("DE of stored history: fitted to 768 h")


def test_parquet_is_read_too(run_cli: RunCli, trace: Path, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    file = tmp_path / "zones.parquet"
    frame = pandas.read_csv(trace)
    frame[frame["zone"] != "XX"].to_parquet(file)
    document = json.loads(run_cli("backtest", str(file), "--json").stdout)
    assert [zone["zone"] for zone in document["zones"]] == ["DE", "FR"]
