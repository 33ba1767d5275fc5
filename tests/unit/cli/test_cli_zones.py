from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from carbon_policy.store.history import History
from tests.unit.cli.conftest import RunCli, wave

DAY = datetime(2026, 11, 20, tzinfo=UTC)


def keys(output: str) -> list[str]:
    return [zone["zone"] for zone in json.loads(output)["zones"]]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [("germany", ["DE"]), ("DK-DK", ["DK-DK1", "DK-DK2"]), ("aws:eu-west-1", ["IE"]), ("nowhere at all", [])],
)
def test_zones_are_found_by_key_name_or_region(run_cli: RunCli, wanted: str, found: list[str]) -> None:
    assert keys(run_cli("zones", wanted, "--json").stdout) == found


def test_a_zone_says_all_that_is_known_of_it(run_cli: RunCli, history: History) -> None:
    history.record(wave(DAY, 96), fetched_at=DAY + timedelta(days=2))
    history.record_forecast(wave(DAY, 96, issued_at=DAY), fetched_at=DAY)
    (zone,) = json.loads(run_cli("zones", "germany", "--json").stdout)["zones"]
    assert zone["name"] == "Germany"
    assert zone["keyless"] == ["energy-charts"]
    assert "aws:eu-central-1" in zone["cloud_regions"]
    (stored,) = zone["stored"]
    assert (stored["source"], stored["slots"], stored["forecasts"]) == ("stand-in", 96, 1)
    assert (stored["first_slot"], stored["last_slot"]) == ("2026-11-20T00:00:00Z", "2026-11-21T23:30:00Z")
    table = run_cli("zones", "germany").stdout
    assert "stand-in: 96 slots, 2026-11-20 to 2026-11-21 23:30; 1 forecast" in table.replace("\n", " ")
    assert "1 zone." in table


def test_only_what_is_stored(run_cli: RunCli, history: History) -> None:
    assert run_cli("zones", "--stored").stdout == "No zone is stored yet.\n"
    history.record(wave(DAY, 4), fetched_at=DAY + timedelta(days=1))
    assert keys(run_cli("zones", "--stored", "--json").stdout) == ["DE"]


def test_a_zone_that_nobody_knows_gets_the_nearest(run_cli: RunCli) -> None:
    assert "Did you mean" in run_cli("zones", "DEE").stdout


def test_a_store_that_cannot_be_opened_hides_no_zone(
    run_cli: RunCli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREFECT_INTEGRATIONS_CARBON_HISTORY_URL", f"sqlite:///{tmp_path}")
    result = run_cli("zones", "germany", "--json")
    assert keys(result.stdout) == ["DE"]
    assert result.stderr.startswith("warning: ")
