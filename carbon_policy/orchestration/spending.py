"""What is used of budgets, from the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from carbon_policy.domain.budget import Budget, BudgetUse
from carbon_policy.domain.times import parse_moment
from carbon_policy.orchestration.asked_ledger import PATIENCE_S, AskedLedger
from carbon_policy.store.ledger import Ledger
from carbon_policy.store.spending import Spent


def budget_uses(
    url: str, asked: AskedLedger, budgets: Sequence[Budget], now: datetime
) -> tuple[BudgetUse, ...]:
    """The budgets, and what was used of each in this calendar month (UTC).

    A run counts once it is in the ledger, in the month in which it started.

    Args:
        url: The ledger's.
        asked: What it has answered.
        budgets: Those that count the run.
        now: Aware.

    Raises:
        SetupError: The ledger cannot be read.
        SourceUnavailableError: It took too long.
    """
    since = parse_moment(now).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    until = (since + timedelta(days=32)).replace(day=1)

    tags = frozenset(budget.tag for budget in budgets)

    def ask() -> dict[str, Spent]:
        with Ledger(url, PATIENCE_S) as ledger:
            return ledger.spent(set(tags), since, until)

    found = asked.ask(("spent", tags, since), ask)
    return tuple(
        BudgetUse(budget=one, used_gco2=found[one.tag].gco2, used_cost=found[one.tag].cost) for one in budgets
    )
