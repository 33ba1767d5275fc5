"""Budgets are held against what the ledger has of this month; without an answer of it, against nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from carbon_policy.domain.budget import Budget, BudgetUse
from carbon_policy.domain.ledger import LedgerEntry
from carbon_policy.orchestration import spending
from carbon_policy.orchestration.spending import budget_uses
from carbon_policy.store.ledger import Ledger

NOW = datetime(2026, 12, 31, 23, 30, tzinfo=UTC)
ALL, RESEARCH, SALES = (
    Budget(gco2=1000),
    Budget(tag="research", gco2=500, cost=20),
    Budget(tag="sales", cost=1),
)


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Two runs of this month and one of the last."""
    address = f"sqlite:///{tmp_path / 'ledger.db'}"
    with Ledger(address) as ledger:
        ledger.record(
            LedgerEntry(
                job_run_id=str(days),
                flow="train",
                site="fast",
                tier="fast",
                zone="DE",
                reason="greenest-now",
                state="COMPLETED",
                submitted_at=NOW - timedelta(days=days),
                started_at=NOW - timedelta(days=days),
                ended_at=NOW,
                energy_kwh=0.1,
                measured_kwh=0.1,
                estimated_kwh=0,
                energy_methods="rapl",
                gco2=10.0 + days,
                cost=0.5,
                tags=("research",) if days else (),
            )
            for days in (0, 2, 31)
        )
    return address


def test_only_budgets_that_count_the_run_are_asked_for(url: str) -> None:
    uses, notes = budget_uses(url, [ALL, RESEARCH, SALES], ["research", "gpu"], NOW)
    assert notes == ()
    assert uses == (
        BudgetUse(budget=ALL, used_gco2=22, used_cost=1),
        BudgetUse(budget=RESEARCH, used_gco2=12, used_cost=0.5),
    )


def test_a_month_is_utcs(url: str) -> None:
    uses, _ = budget_uses(url, [ALL], [], NOW + timedelta(hours=1))
    assert uses == (BudgetUse(budget=ALL),)
    in_berlin = (NOW - timedelta(hours=1)).astimezone(timezone(timedelta(hours=1)))
    assert budget_uses(url, [ALL], [], in_berlin)[0][0].used_gco2 == 22


def test_without_budgets_the_ledger_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spending, "Ledger", pytest.fail)
    assert budget_uses("sqlite://", [], ["research"], NOW) == ((), ())
    assert budget_uses("sqlite://", [SALES], ["research"], NOW) == ((), ())


def test_a_ledger_that_cannot_be_read_blocks_no_job(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_text("no database at all, and long enough to be none" * 40)
    uses, notes = budget_uses(f"sqlite:///{tmp_path / 'ledger.db'}", [ALL], [], NOW)
    assert uses == ()
    assert len(notes) == 1
    assert notes[0].startswith("Budgets were not looked at: The store at ")


def test_a_ledger_that_hangs_blocks_no_job(monkeypatch: pytest.MonkeyPatch) -> None:
    def hangs(seconds: float, _call: Any, what: str) -> None:
        raise TimeoutError(f"{what} gave no answer within {seconds:g} s")

    monkeypatch.setattr(spending, "within", hangs)
    assert budget_uses("sqlite://", [ALL], [], NOW) == (
        (),
        ("Budgets were not looked at: the ledger gave no answer within 5 s",),
    )
