"""What is used of the budgets that count a run, from the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from carbon_policy.domain.budget import Budget, BudgetUse
from carbon_policy.domain.times import parse_moment
from carbon_policy.grid.deadline import within
from carbon_policy.store.ledger import Ledger
from carbon_policy.store.spending import Spent

PATIENCE_S = 5.0
"""For how long a decision waits for the ledger."""


def budget_uses(
    url: str, budgets: Sequence[Budget], tags: Iterable[str], now: datetime
) -> tuple[tuple[BudgetUse, ...], tuple[str, ...]]:
    """The budgets that count a run with these tags, and what was used of each in this calendar month (UTC).

    A run counts once it is in the ledger, in the month in which it started. No failure blocks a job: where the
    ledger gives no answer there are no uses, and a note says why.

    Args:
        url: The ledger's.
        budgets: The team's.
        tags: The run's.
        now: Aware.

    Returns:
        The uses, and notes for people.
    """
    mine = {"", *tags}
    counting = [budget for budget in budgets if budget.tag in mine]
    if not counting:
        return (), ()
    since = parse_moment(now).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    until = (since + timedelta(days=32)).replace(day=1)

    def ask() -> dict[str, Spent]:
        with Ledger(url, PATIENCE_S) as ledger:
            return ledger.spent({budget.tag for budget in counting}, since, until)

    try:
        found = within(PATIENCE_S, ask, "the ledger")
    except Exception as error:
        return (), (f"Budgets were not looked at: {str(error) or type(error).__name__}",)
    return (
        tuple(
            BudgetUse(budget=one, used_gco2=found[one.tag].gco2, used_cost=found[one.tag].cost)
            for one in counting
        ),
        (),
    )
