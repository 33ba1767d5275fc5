"""Budgets are held against what the ledger has of this month."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from carbon_policy.domain.budget import Budget, BudgetUse
from carbon_policy.orchestration.asked_ledger import AskedLedger
from carbon_policy.orchestration.spending import budget_uses
from carbon_policy.store.ledger import Ledger
from tests.support.entries import entry

NOW = datetime(2026, 12, 31, 23, 30, tzinfo=UTC)
ALL, RESEARCH = Budget(gco2=1000), Budget(tag="research", gco2=500, cost=20)


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Two runs of this month and one of the last."""
    address = f"sqlite:///{tmp_path / 'ledger.db'}"
    with Ledger(address) as ledger:
        ledger.record(
            entry(
                str(days),
                NOW - timedelta(days=days),
                gco2=10.0 + days,
                cost=0.5,
                tags=("research",) if days else (),
            )
            for days in (0, 2, 31)
        )
    return address


def test_a_budget_counts_the_runs_of_its_tag_in_this_month(url: str) -> None:
    assert budget_uses(url, AskedLedger(), [ALL, RESEARCH], NOW) == (
        BudgetUse(budget=ALL, used_gco2=22, used_cost=1),
        BudgetUse(budget=RESEARCH, used_gco2=12, used_cost=0.5),
    )


def test_a_month_is_utcs(url: str) -> None:
    assert budget_uses(url, AskedLedger(), [ALL], NOW + timedelta(hours=1)) == (BudgetUse(budget=ALL),)
    in_berlin = (NOW - timedelta(hours=1)).astimezone(timezone(timedelta(hours=1)))
    assert budget_uses(url, AskedLedger(), [ALL], in_berlin)[0].used_gco2 == 22
