"""What is used of budgets, from the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from carbon_policy.domain.budget import Budget, BudgetUse
from carbon_policy.domain.times import parse_moment
from carbon_policy.grid.deadline import within
from carbon_policy.store.ledger import Ledger
from carbon_policy.store.spending import Spent

PATIENCE_S = 5.0
"""For how long a decision waits for the ledger."""


def budget_uses(url: str, budgets: Sequence[Budget], now: datetime) -> tuple[BudgetUse, ...]:
    """The budgets, and what was used of each in this calendar month (UTC).

    A run counts once it is in the ledger, in the month in which it started.

    Args:
        url: The ledger's.
        budgets: Those that count the run.
        now: Aware.

    Raises:
        SetupError: The ledger cannot be read.
        SourceUnavailableError: It took too long.
    """
    since = parse_moment(now).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    until = (since + timedelta(days=32)).replace(day=1)

    def ask() -> dict[str, Spent]:
        with Ledger(url, PATIENCE_S) as ledger:
            return ledger.spent({budget.tag for budget in budgets}, since, until)

    found = within(PATIENCE_S, ask, "the ledger")
    return tuple(
        BudgetUse(budget=one, used_gco2=found[one.tag].gco2, used_cost=found[one.tag].cost) for one in budgets
    )
