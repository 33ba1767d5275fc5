"""From the ledger's runs to what the next one takes."""

from __future__ import annotations

import importlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from carbon_policy.domain.estimate import Estimate, EstimateBasis
from carbon_policy.domain.job import JobSpec
from carbon_policy.domain.ledger import LedgerEntry
from carbon_policy.domain.site import Site, Tier
from carbon_policy.orchestration.asked_ledger import AskedLedger
from carbon_policy.orchestration.learnt import estimates_for
from carbon_policy.store.ledger import Ledger
from tests.support.entries import entry

START = datetime(2026, 11, 22, 6, tzinfo=UTC)
FAST = Site(name="fast", work_pool="fast", tier=Tier.FAST, zone="DE", power_w=300)


def ran(number: int, seconds: float, epochs: int) -> LedgerEntry:
    """A run that was at work for less time than it took."""
    started_at, energy_kwh = START + timedelta(hours=number), seconds / 36_000
    return entry(
        f"run-{number}",
        started_at,
        deployment="nightly",
        ended_at=started_at + timedelta(days=2),
        energy_kwh=energy_kwh,
        measured_kwh=energy_kwh,
        parameters={"epochs": epochs},
        running_s=seconds,
    )


@pytest.fixture
def url(tmp_path: Path) -> str:
    # On a busy machine its import alone may take as long as a decision waits to learn.
    importlib.import_module("sklearn.ensemble")
    address = f"sqlite:///{tmp_path / 'ledger.db'}"
    with Ledger(address) as ledger:
        ledger.record(ran(number, 100.0 * (1 + number % 3), 1 + number % 3) for number in range(30))
    return address


def asked(url: str, deployment: str = "nightly") -> dict[str, Estimate]:
    return estimates_for(
        url,
        AskedLedger(),
        flow="train",
        deployment=deployment,
        sites=[FAST],
        parameters={"epochs": 3, "api_key": "hunter2", "config": {"depth": 3}},
        spec=JobSpec(expected_duration="1h"),
    )


def test_the_ledgers_runs_say_what_the_next_one_takes(url: str) -> None:
    found = asked(url)
    assert found["fast"].basis is EstimateBasis.LEARNT
    assert found["fast"].duration == timedelta(seconds=300)
    assert found["fast"].energy_kwh == pytest.approx(300 / 36_000)
    assert "scaled by epochs" in found["fast"].sentence


def test_another_deployments_runs_say_nothing(url: str) -> None:
    found = asked(url, deployment="weekly")
    assert found["fast"].basis is EstimateBasis.GIVEN
    assert found["fast"].duration == timedelta(hours=1)
    assert "only 0 past runs" in found["fast"].sentence
