"""What the ledger says that bears on a decision: what a job takes and uses on each site, and what is left of budgets.

It is asked only where there is a ledger: a gate that has none does not even import the database's library.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from carbon_policy.domain.budget import Budget, BudgetUse
from carbon_policy.domain.estimate import Estimate
from carbon_policy.domain.job import JobSpec
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
    *,
    flow: str,
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
        flow: Its name, as the ledger has it.
        deployment: The name of the user's deployment.
        parameters: Of the run.
        tags: Of the run.
        now: UTC.
    """
    budgets = directory.policy.budgets
    address = _address(settings)
    if address is None:
        # Nothing was recorded here yet, so nothing is learnt and nothing is used.
        return Experience(budgets=tuple(BudgetUse(budget=one) for one in budgets if _counts(one, tags)))

    def estimates() -> tuple[Mapping[str, Estimate], Collection[str]]:
        from carbon_policy.orchestration.learnt import estimates_for

        return estimates_for(
            address,
            flow=flow,
            deployment=deployment,
            sites=directory.sites,
            parameters=parameters,
            spec=spec,
        )

    def uses() -> tuple[Collection[BudgetUse], Collection[str]]:
        from carbon_policy.orchestration.spending import budget_uses

        return budget_uses(address, budgets, tags, now)

    nothing: Mapping[str, Estimate] = {}
    unknown: Collection[BudgetUse] = ()
    known, notes = _asked(estimates, nothing, "Nothing could be learnt from past runs")
    used, failed = unknown, notes
    if budgets:
        used, failed = _asked(
            uses, unknown, "Budgets could not be looked up, so none is held against the job"
        )
        failed = (*notes, *failed)
    return Experience(known, tuple(used), tuple(failed))


def _counts(budget: Budget, tags: Collection[str]) -> bool:
    return not budget.tag or budget.tag in tags


def _address(settings: CarbonSettings) -> str | None:
    """The ledger's URL; `None` where nobody named one and the file is not there."""
    address = settings.ledger_address()
    if settings.ledger_url is None and not Path(address.removeprefix("sqlite:///")).exists():
        return None
    return address


def _asked(
    ask: Callable[[], tuple[T, Collection[str]]], otherwise: T, what_failed: str
) -> tuple[T, Collection[str]]:
    """An answer, which does not keep a decision waiting for long, or what to go on with."""
    try:
        return ask()
    except Exception as error:  # The ledger is a help and never a need.
        return otherwise, [f"{what_failed}: {str(error) or type(error).__name__}"]
