from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from carbon_policy.cli.main import _Commands
from carbon_policy.cli.simulate import simulate

START = datetime(2026, 1, 1, tzinfo=UTC)

app = typer.Typer(cls=_Commands, pretty_exceptions_enable=False, rich_markup_mode="rich")
app.command()(simulate)


@app.callback()
def _several() -> None:
    """One command among others, as in the program."""


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["simulate", *map(str, arguments)])


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eleven weeks of DE, greenest at noon, and of FR."""
    path = tmp_path_factory.mktemp("grid") / "grid.csv"
    rows = ["time,zone,gco2_per_kwh"]
    for zone, base in (("DE", 300), ("FR", 60)):
        for hour in range(77 * 24):
            value = base * (1 + 0.4 * math.cos(hour / 24 * 2 * math.pi) + 0.1 * math.cos(hour / 61))
            rows.append(f"{(START + timedelta(hours=hour)).isoformat()},{zone},{value:.2f}")
    path.write_text("\n".join(rows))
    return path


@pytest.fixture
def jobs(tmp_path: Path) -> Path:
    path = tmp_path / "jobs.csv"
    path.write_text("arrival_time,length,cpus\n0,3600,1\n7200,1800,4\n90000,14400,2\n")
    return path


def test_policies_stand_side_by_side(grid: Path, jobs: Path) -> None:
    result = run("--jobs", jobs, "--trace", grid, "--zone", "DE", "--interruptible")
    assert result.exit_code == 0, result.stderr
    assert "3 jobs on trace grid.csv, DE, from 2026-03-05 00:00 UTC on" in result.stdout
    for name in (
        "run now",
        "ours, re-planned hourly",
        "ours, interrupting",
        "threshold",
        "lowest slot (JobRunr)",
        "GAIA Carbon-Time",
        "Let's Wait Awhile, interrupting",
        "oracle, interrupting",
    ):
        assert name in result.stdout


def test_as_data_they_add_up(grid: Path, jobs: Path) -> None:
    result = run(
        "--jobs", jobs, "--trace", grid, "--zone", "DE", "--forecast", "perfect", "--from", "2026-01-05",
        "--policy", "ours", "--policy", "gaia-carbon-time", "--json", "--watts-per-cpu", "1000", "--max-wait", "1d",
    )  # fmt: skip
    document = json.loads(result.stdout)
    assert document["schema"] == "carbon-policy-simulate/1"
    assert (document["zone"], document["jobs"], document["outlook"]) == ("DE", 3, "perfect knowledge")
    at_once, ours, _, oracle = document["policies"]
    first = START + timedelta(days=4)
    values = {
        line.split(",")[0]: float(line.split(",")[2])
        for line in grid.read_text().splitlines()[1:]
        if ",DE," in line
    }

    def at(hour: int) -> float:
        return values[(first + timedelta(hours=hour)).isoformat()]

    assert at_once["gco2"] == pytest.approx(
        at(0) + 4 * 0.5 * at(2) + 2 * sum(at(25 + h) for h in range(4)), rel=1e-4
    )
    assert ours["gco2"] == oracle["gco2"] < at_once["gco2"]
    assert ours["oracle_share"] == 1
    assert [row["missed_deadlines"] for row in document["policies"]] == [0] * 4


def test_moments_durations_power_and_deadlines_of_a_file(grid: Path, tmp_path: Path) -> None:
    path = tmp_path / "jobs.csv"
    path.write_text(
        "submitted_at,duration,power_w,max_wait,finish_by\n"
        "2026-03-10T20:00:00Z,1h,500,0s,\n"
        "2026-03-10T20:00:00+00:00,2h,500,,2026-03-11T13:00:00Z\n"
    )
    result = run(
        "--jobs", path, "--trace", grid, "--zone", "DE", "--policy", "ours", "--json", "--slot", "30m"
    )
    ours = json.loads(result.stdout)["policies"][1]
    # The first may not wait; the second waits for noon, and is done at its deadline at the latest.
    assert ours["missed_deadlines"] == 0
    assert 13 / 2 < ours["mean_wait_h"] <= 15 / 2


def test_pages_and_plots_are_written(grid: Path, jobs: Path, tmp_path: Path) -> None:
    png, html = tmp_path / "out" / "s.png", tmp_path / "out" / "s.html"
    result = run(
        "--jobs", jobs, "--trace", grid, "--zone", "FR", "--forecast", "yesterday", "--policy", "ours",
        "--png", png, "--html", html,
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert png.read_bytes().startswith(b"\x89PNG")
    assert "ours, re-planned hourly" in html.read_text()


def test_a_made_up_grid_is_called_so(grid: Path, jobs: Path, tmp_path: Path) -> None:
    made_up = tmp_path / "made-up.csv"
    made_up.write_text(grid.read_text().replace("gco2_per_kwh", "gco2_per_kwh_simulated", 1))
    html = tmp_path / "s.html"
    said = [
        run(
            "--jobs", jobs, "--trace", trace, "--zone", "DE", "--forecast", "perfect", "--policy", "ours",
            "--html", html,
        ).stdout
        for trace in (grid, made_up)
    ]  # fmt: skip
    assert ["SIMULATED" in text for text in said] == [False, True]
    assert "Simulated grid" in html.read_text()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "start,length\n0,60\n",
            "no column that says when jobs arrive; name one arrival_time or submitted_at",
        ),
        ("arrival_time,hours\n0,60\n", "no column that says how long jobs run; name one length or duration"),
        ("arrival_time,length\n", "holds no jobs"),
        ("arrival_time,length\n0,60\n5,soon\n", "jobs.csv, line 3: length is 'soon'"),
        ("arrival_time,length\n0,0\n", "line 2: give the job a time of arrival and a length above zero"),
        ("arrival_time,length,cpus\n0,60,-1\n", "line 2: cpus is '-1'"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused(grid: Path, tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "jobs.csv"
    path.write_text(text)
    result = run("--jobs", path, "--trace", grid, "--zone", "DE")
    assert result.exit_code == 1
    assert message in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--zone", "DE", "--from", "2027-01-01"], "let --from lie in it"),
        (["--zone", "DE", "--from", "2026-01-01"], "or later, or say --forecast perfect"),
        (["--zone", "DE", "--from", "2026-03-18"], "The trace ends after"),
        (["--zone", "DE", "--slot", "7m"], "take --slot 5m"),
        (["--zone", "PL"], "has no zone 'PL'"),
        ([], "holds 2 zones"),
        (["--zone", "DE", "--png", "saved.svg"], "saved.svg must end in .png"),
    ],
)
def test_what_cannot_be_simulated_is_said(grid: Path, jobs: Path, arguments: list[str], message: str) -> None:
    result = run("--jobs", jobs, "--trace", grid, *arguments)
    assert result.exit_code == 1
    assert message in " ".join(result.stderr.split())


def test_a_missing_file_of_jobs_is_named(grid: Path, tmp_path: Path) -> None:
    result = run("--jobs", tmp_path / "none.csv", "--trace", grid, "--zone", "DE")
    assert result.exit_code == 1
    assert "There is no file of jobs at" in result.stderr
