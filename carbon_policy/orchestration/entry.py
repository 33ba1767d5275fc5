"""What a decorated flow does when it starts: place itself, run as placed, or run as called."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.context import FlowRunContext

from carbon_policy.domain.decision import Decision
from carbon_policy.domain.errors import SetupError
from carbon_policy.orchestration.direct import Advice
from carbon_policy.orchestration.names import LABEL_CHECKPOINT, LABEL_USER_DEPLOYMENT, PLACED
from carbon_policy.orchestration.placement import RunHere, place
from carbon_policy.orchestration.records import logger, read_decision
from carbon_policy.orchestration.tracking import tracked


@dataclass(frozen=True)
class Start:
    """Leave to run the user's code now.

    Attributes:
        tracking: To be entered around the user's code.
        advice: For a direct call, what waiting would save; known a little later.
    """

    tracking: AbstractContextManager[None]
    advice: Advice | None = None


def begin(declared: Mapping[str, Any]) -> Start | State[Any] | None:
    """Find out where this run stands, and act.

    Args:
        declared: What the decorator said.

    Returns:
        `Start` to run the user's code; a state in which the run is to end instead; or `None` outside of a run.

    Raises:
        Pause: The run was deferred in place.
        InvalidInputError: What was said of the job is refused.
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        # `flow.fn(...)`: somebody tests the function alone.
        return None
    run, flow_name = context.flow_run, context.flow.name if context.flow else "flow"
    if run.deployment_id is None:
        # A script's call or a subflow: deferring it would leave an orphan, or a parent that waits for ever.
        advice = Advice(run, declared)
        return Start(tracked(run, flow_name, None, advice.decision), advice)
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(run.id)
        deployment = client.read_deployment(run.deployment_id) if run.deployment_id else None
        variables = {
            **((deployment.job_variables if deployment else None) or {}),
            **(run.job_variables or {}),
        }
        name = str(run.labels.get(LABEL_USER_DEPLOYMENT) or (deployment.name if deployment else ""))
        if PLACED in variables:
            return Start(tracked(run, flow_name, name, _nothing))
        if LABEL_CHECKPOINT in run.labels:
            # It has begun, and its state is here: it goes on, and the next checkpoint asks whether it is to wait.
            return Start(tracked(run, flow_name, name, lambda: _first_decision(run)))
        try:
            outcome = place(client, run, declared=declared, may_run_here=True)
        except SetupError as error:
            # The user's code is here: our own set-up never keeps it from running.
            logger.warning("carbon-policy is not set up, so the job runs here and now: %s", error)
            return Start(tracked(run, flow_name, name, _nothing))
    if isinstance(outcome, RunHere):
        return Start(tracked(run, flow_name, name, lambda: outcome.decision))
    return outcome


def _first_decision(run: FlowRun) -> Decision | None:
    """The decision by which a run began; while it ran there were others, about its slices alone."""
    with get_client(sync_client=True) as client:
        return read_decision(client, run.id)


def _nothing() -> Decision | None:
    """The decision is with the run that placed this one."""
    return None
