"""What the ledger says that bears on a decision: what a job takes and uses on each site, and what is used of budgets.

It is asked only where there is a ledger: a gate that has none does not even import the database's library.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from carbon_policy.domain.budget import BudgetUse
from carbon_policy.domain.estimate import Estimate
from carbon_policy.domain.job import JobSpec
from carbon_policy.orchestration.asked_ledger import AskedLedger
from carbon_policy.orchestration.directory import Directory
from carbon_policy.orchestration.settings import CarbonSettings

T = TypeVar("T")


@dataclass(frozen=True)
class Experience:
    """What the ledger says.

    Attributes:
        estimates: Site to the job's duration and energy there.
        budgets: Those that count the run, and what is used of them.
        notes: What could not be told, and why.
    """

    estimates: Mapping[str, Estimate] = field(default_factory=dict)
    budgets: tuple[BudgetUse, ...] = ()
    notes: tuple[str, ...] = ()


def experience_of(
    directory: Directory,
    spec: JobSpec,
    settings: CarbonSettings,
    asked: AskedLedger,
    *,
    flow: Callable[[], str],
    deployment: str,
    parameters: Mapping[str, Any],
    tags: Collection[str],
    now: datetime,
) -> Experience:
    """Ask the ledger about a run. Whatever goes wrong is a note, and the job goes on.

    Args:
        directory: The team's choices.
        spec: What is said of the job.
        settings: Where the ledger is.
        asked: What it has answered.
        flow: Gives its name, as the ledger has it; not asked where there is no ledger.
        deployment: The name of the user's deployment.
        parameters: Of the run.
        tags: Of the run.
        now: UTC.
    """
    counting = [budget for budget in directory.policy.budgets if not budget.tag or budget.tag in tags]
    address = _address(settings)
    if address is None:
        # Nothing was recorded here yet, so nothing is learnt and nothing is used.
        return Experience(budgets=tuple(BudgetUse(budget=one) for one in counting))

    def estimates() -> Mapping[str, Estimate]:
        from carbon_policy.orchestration.learnt import estimates_for

        return estimates_for(
            address,
            asked,
            flow=flow(),
            deployment=deployment,
            sites=directory.sites,
            parameters=parameters,
            spec=spec,
        )

    def uses() -> tuple[BudgetUse, ...]:
        from carbon_policy.orchestration.spending import budget_uses

        return budget_uses(address, asked, counting, now)

    notes: list[str] = []
    learnt = _asked(estimates, "Nothing was learnt from past runs", notes)
    used = _asked(uses, "Budgets were not looked at", notes) if counting else ()
    return Experience(learnt or {}, used or (), tuple(notes))


def _address(settings: CarbonSettings) -> str | None:
    """The ledger's URL; `None` where nobody named one and the file is not there."""
    address = settings.ledger_address()
    if settings.ledger_url is None and not Path(address.removeprefix("sqlite:///")).exists():
        return None
    return address


def _asked(ask: Callable[[], T], what_failed: str, notes: list[str]) -> T | None:
    """An answer; where there is none, a note says why."""
    try:
        return ask()
    except Exception as error:  # The ledger is a help and never a need.
        notes.append(f"{what_failed}: {str(error) or type(error).__name__}")
        return None
