"""What a deployment's past runs say of the next one: its duration and energy on each site."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from carbon_policy.domain.estimate import Estimate
from carbon_policy.domain.job import JobSpec
from carbon_policy.domain.site import Site
from carbon_policy.estimation import estimates
from carbon_policy.estimation.parameters import plain_parameters
from carbon_policy.estimation.past_run import PastRun
from carbon_policy.grid.deadline import within
from carbon_policy.orchestration.asked_ledger import PATIENCE_S, AskedLedger
from carbon_policy.store.ledger import Ledger

LEARNING_S = 20.0
"""For how long it waits to learn: seconds on an idle machine, most of them to import scikit-learn; several on a busy
one."""


def estimates_for(
    url: str,
    asked: AskedLedger,
    *,
    flow: str,
    deployment: str,
    sites: Sequence[Site],
    parameters: Mapping[str, Any],
    spec: JobSpec,
) -> dict[str, Estimate]:
    """Site to the job's duration and energy there, learnt or as given.

    Args:
        url: The ledger's.
        asked: What it has answered.
        flow: Name of the flow.
        deployment: The user's deployment, not the twin.
        sites: Where the job could run.
        parameters: What the run is called with.
        spec: What is said of the job.

    Raises:
        SetupError: The ledger cannot be read.
        SourceUnavailableError: It took too long.
    """

    def ask() -> list[PastRun]:
        with Ledger(url, PATIENCE_S) as ledger:
            return ledger.past_runs(flow, deployment)

    past = asked.ask(("past runs", flow, deployment), ask)
    return within(LEARNING_S, lambda: estimates(past, sites, plain_parameters(parameters), spec), "learning")
