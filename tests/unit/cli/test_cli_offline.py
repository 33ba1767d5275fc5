"""What works without a server."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from carbon_policy.demo.options import DemoOptions
from carbon_policy.domain.ledger import LedgerEntry
from carbon_policy.store.ledger import Ledger
from tests.unit.cli.conftest import RunCli

NOW = datetime.now(UTC)


def entry(run_id: str, age: timedelta, **fields: Any) -> LedgerEntry:
    known: dict[str, Any] = {
        "job_run_id": run_id,
        "flow": "train",
        "deployment": "nightly",
        "site": "eco",
        "tier": "eco",
        "zone": "DE",
        "reason": "greener-site",
        "state": "COMPLETED",
        "submitted_at": NOW - age,
        "started_at": NOW - age,
        "ended_at": NOW - age + timedelta(hours=1),
        "energy_kwh": 0.1,
        "measured_kwh": 0.0,
        "estimated_kwh": 0.1,
        "energy_methods": "site-power-estimate",
        "gco2": 30.0,
        "counterfactual_gco2": 42.0,
    }
    return LedgerEntry(**known | fields)


@pytest.fixture
def ledger(ledger_url: str) -> None:
    with Ledger(ledger_url) as opened:
        opened.record(
            [
                entry("old", timedelta(days=9)),
                entry("new", timedelta(hours=3)),
                entry("other", timedelta(hours=2), flow="score", deployment="hourly"),
            ]
        )


def ids(output: str) -> list[str]:
    return [item["job_run_id"] for item in json.loads(output)["entries"]]


def test_a_report_as_a_table(run_cli: RunCli, ledger: None) -> None:
    result = run_cli("report", "--no-collect")
    assert result.exit_code == 0
    assert "3 jobs emitted 90.0 g" in result.stdout
    assert result.stderr == ""
    assert "\x1b" not in result.stdout


@pytest.mark.parametrize("format", ["json", "csv"])
def test_data_on_stdout_is_pure_even_where_there_is_something_to_warn_of(
    run_cli: RunCli, ledger: None, format: str
) -> None:
    result = run_cli("report", "--format", format)
    assert result.exit_code == 0
    assert result.stderr.startswith("warning: No Prefect server is configured.")
    if format == "json":
        assert len(ids(result.stdout)) == 3
    else:
        rows = list(csv.DictReader(io.StringIO(result.stdout)))
        assert [row["job_run_id"] for row in rows] == ["old", "new", "other"]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (("--since", "7d"), ["new", "other"]),
        (("--since", "7d ago", "--deployment", "train/nightly"), ["new"]),
        (("--until", "1d"), ["old"]),
        (("--since", (NOW - timedelta(hours=2.5)).isoformat()), ["other"]),
        (("--flow", "score"), ["other"]),
        (("--deployment", "hourly"), ["other"]),
        (("--deployment", "daily"), []),
    ],
)
def test_filters(run_cli: RunCli, ledger: None, filters: tuple[str, ...], expected: list[str]) -> None:
    assert ids(run_cli("report", "--no-collect", "--format", "json", *filters).stdout) == expected


def test_a_report_in_a_file_leaves_stdout_alone(run_cli: RunCli, ledger: None, tmp_path: Path) -> None:
    page = tmp_path / "reports" / "report.html"
    result = run_cli("report", "--no-collect", "--format", "html", "--output", str(page))
    assert (result.exit_code, result.stdout) == (0, "")
    assert str(page) in result.stderr
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_an_empty_ledger_is_no_error(run_cli: RunCli) -> None:
    result = run_cli("report", "--no-collect")
    assert (result.exit_code, result.stdout) == (0, "No jobs are in the ledger for this report yet.\n")
    assert ids(run_cli("report", "--no-collect", "--format", "json").stdout) == []


def test_jobs_without_their_intensities_cannot_be_plotted(
    run_cli: RunCli, ledger: None, tmp_path: Path
) -> None:
    plot = tmp_path / "jobs.png"
    result = run_cli("report", "--no-collect", "--plot", str(plot))
    assert result.exit_code == 0
    assert "nothing to plot" in result.stderr
    assert not plot.exists()


def test_init_writes_the_starter_once(run_cli: RunCli, tmp_path: Path) -> None:
    project = tmp_path / "project"
    result = run_cli("init", str(project))
    assert result.exit_code == 0
    assert f"carbon-policy apply {project}" in result.stdout.replace("\n", "")
    sites = project / "blocks" / "sites.yaml"
    starter = sites.read_text()
    sites.write_text("# mine\n")
    again = run_cli("init", str(project))
    assert "0 files written" in again.stdout
    assert sites.read_text() == "# mine\n"
    forced = run_cli("init", str(project), "--force")
    assert "replaced" in forced.stdout
    assert sites.read_text() == starter


def test_the_demo_is_told_what_was_asked(run_cli: RunCli, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[DemoOptions] = []
    monkeypatch.setattr("carbon_policy.demo.run.run_demo", lambda options: asked.append(options) or 3)
    result = run_cli(
        "demo", "--zone", "FR", "--day", "2023-06-12", "--infrastructure", "process", "--seconds", "60"
    )
    assert result.exit_code == 3
    assert asked == [
        DemoOptions(
            zone="FR", day=datetime(2023, 6, 12, tzinfo=UTC).date(), infrastructure="process", day_seconds=60
        )
    ]
    assert run_cli("demo", "--jobs", "0").exit_code == 2
