from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from carbon_policy.store.history import History
from tests.unit.cli.conftest import RunCli, StandInGrid


def test_a_zone_is_filled_and_then_nothing_is_asked_again(
    run_cli: RunCli, live_grid: StandInGrid, history: History
) -> None:
    first = run_cli("backfill", "DE", "--days", "30", "--json")
    assert first.exit_code == 0
    done = json.loads(first.stdout)
    assert 1430 <= done["added"] <= 1440
    asked = len(live_grid.asked)
    # The newest day, to see who answers, and three pieces.
    assert asked == 4
    again = run_cli("backfill", "DE", "--days", "30")
    assert again.exit_code == 0
    # Only the newest day, and of it the last hour, which was not measured then and is not now.
    assert all(start > datetime.now(UTC) - timedelta(hours=25) for start, _ in live_grid.asked[asked:])
    assert len(live_grid.asked) <= asked + 2


def test_what_no_source_knows_is_named_once(run_cli: RunCli, live_grid: StandInGrid) -> None:
    live_grid.begins = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=5)
    result = run_cli("backfill", "aws:eu-central-1", "--days", "60")
    assert result.exit_code == 0
    assert "is fed by DE" in result.stderr
    assert "slots added." in result.stdout
    assert result.stdout.count("No source knew anything of") == 1
    assert "→ carbon-policy refresh DE" in result.stdout


def test_a_zone_without_a_source_fails_and_says_what_it_takes(run_cli: RunCli) -> None:
    result = run_cli("backfill", "BR", "--days", "30")
    assert result.exit_code == 1
    assert "BR: 0 slots added." in result.stdout
    assert "No live source serves BR without an account" in result.stdout


def test_a_store_that_cannot_be_opened_is_an_error_where_it_is_needed(
    run_cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_INTEGRATIONS_CARBON_HISTORY_URL", f"sqlite:///{tmp_path}")
    for arguments in (("backfill", "DE"), ("refresh", "DE")):
        result = run_cli(*arguments)
        assert result.exit_code == 1
        assert "cannot be used" in result.stderr


def test_refresh_says_what_it_did(run_cli: RunCli, history: History) -> None:
    result = run_cli("refresh", "DE", "aws:eu-central-1")
    assert result.exit_code == 0
    rows = [line for line in result.stdout.splitlines() if line.strip().startswith("DE ")]
    assert len(rows) == 1, "one zone, named twice"
    assert "made" in rows[0]
    assert "stand-in + own forecast (keyless)" in rows[0]
    assert {entry.source for entry in history.zones()} == {"stand-in", "own forecast"}
    (again,) = json.loads(run_cli("refresh", "DE", "--json").stdout)["zones"]
    assert again["added"] <= 1, "half an hour may have passed"
    assert (again["own_forecast"], again["chain_step"]) == (True, "keyless")
    assert again["change"] is None


def test_a_source_that_fails_is_named_and_what_is_known_stands(
    run_cli: RunCli, live_grid: StandInGrid
) -> None:
    live_grid.answers = False
    result = run_cli("refresh", "DE", "BR")
    assert result.exit_code == 1
    assert "DE: Nothing was measured" in result.stdout
    assert "failed, refused: stand-in: it is out of order." in result.stdout
    assert "yearly-mean" in result.stdout
