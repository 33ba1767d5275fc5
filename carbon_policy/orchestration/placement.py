"""Acting on a decision: run here, send the job to a site, put it back to wait, or end it.

The steps come in an order in which a crash after any of them loses nothing and starts nothing twice:
the job's run is created under an idempotency key made of the gate's run, so however often the gate is run
again, the server gives back the one run that there is.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterId,
    FlowRunFilter,
    FlowRunFilterIdempotencyKey,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelling, Completed, Failed

from carbon_policy.domain.decision import Action, Decision, ReasonCode
from carbon_policy.domain.errors import SetupError
from carbon_policy.domain.job import JobSpec
from carbon_policy.domain.site import Site, Tier
from carbon_policy.orchestration.deferral import defer_in_place
from carbon_policy.orchestration.names import (
    DECLARED,
    GATE_RUN,
    JOB_DELETED,
    LABEL_CHILD,
    LABEL_PARENT,
    LABEL_REASON,
    LABEL_SITE,
    LABEL_TIER,
    LABEL_USER_DEPLOYMENT,
    PLACED,
    TAG_PLACED,
    placed_name,
)
from carbon_policy.orchestration.policy_task import consult
from carbon_policy.orchestration.records import add_labels, link_to, quietly, record_decision
from carbon_policy.orchestration.refusals import refused_input
from carbon_policy.orchestration.twins import ensure_twin
from carbon_policy.orchestration.variables import infrastructure_part
from carbon_policy.orchestration.world import World
from carbon_policy.plugin import ENTRY_POINT, MEASURE

_FIRST_POLL_S, _LONGEST_POLL_S = 1.0, 10.0


@dataclass(frozen=True)
class RunHere:
    """The job is to run in this process, now.

    Attributes:
        decision: Why.
    """

    decision: Decision


@dataclass(frozen=True)
class Placed:
    """The job's run is on its site.

    Attributes:
        child: The job's run.
        message: Why, and where, for people.
        wait: The run that placed it is to stay until the job has ended.
    """

    child: FlowRun
    message: str
    wait: bool

    @property
    def state_name(self) -> str:
        """What the state of the run that placed it is called."""
        return placed_name(str(self.child.labels.get(LABEL_TIER, Tier.FAST.value)))


def idempotency_key(run: FlowRun) -> str:
    """The key under which the job of a gate's run is created, once."""
    return f"carbon-policy:{run.id}"


def place(
    client: SyncPrefectClient,
    run: FlowRun,
    *,
    declared: Mapping[str, Any] | None = None,
    may_run_here: bool = False,
) -> State[Any] | RunHere:
    """Decide about a run, and act on it.

    Args:
        client: A client of the run's server.
        run: The run that this process is running.
        declared: The decorator's arguments, where the decorator asks.
        may_run_here: This process has the user's code, and may run it where it stands.

    Returns:
        The state in which this run is to end, or `RunHere`.

    Raises:
        Pause: The run was deferred.
        InvalidInputError: What was said of the job is refused.
    """
    outcome = settle(client, run, declared=declared, may_run_here=may_run_here)
    return _ended(client, outcome) if isinstance(outcome, Placed) else outcome


def settle(
    client: SyncPrefectClient,
    run: FlowRun,
    *,
    declared: Mapping[str, Any] | None = None,
    may_run_here: bool = False,
    world: World | None = None,
) -> State[Any] | RunHere | Placed:
    """`place`, up to the moment at which the job's run is on its site; what then becomes of this run is left open.

    Args:
        client: A client of the run's server.
        run: The run that this process is running.
        declared: The decorator's arguments, where the decorator asks.
        may_run_here: This process has the user's code, and may run it where it stands.
        world: What is known of this moment already.

    Raises:
        Pause: The run was deferred.
        InvalidInputError: What was said of the job is refused.
    """
    if run.deployment_id is None:
        raise SetupError("Only a deployment's run can be placed: this run has none.")
    world = world or World(client, datetime.now(UTC))
    deployment = world.deployment(run.deployment_id)
    flow_name = world.flow_name(run.flow_id)
    child = find_child(client, run)
    if child is not None:
        # An earlier pass got this far and died; what it decided holds.
        return _placed(client, run, child, "Placed by an earlier pass.", _waits(run, deployment, declared))
    if LABEL_CHILD in run.labels:
        # The key under which it would be created again went with it.
        return Failed(
            name=JOB_DELETED,
            message=f"Its job's run {run.labels[LABEL_CHILD]} was deleted, and whether its process ended is not known,"
            " so it is not started a second time. To have the job done again, start a new run.",
        )

    decision = consult(str(run.id), declared=declared)
    record_decision(client, run, decision, flow_name, deployment.name)

    if decision.action is Action.DEFER:
        assert decision.ask_again_at is not None  # noqa: S101  A deferral has its time.
        defer_in_place(
            client,
            run,
            decision.ask_again_at,
            f"{decision.reason}: {decision.sentence}",
            decision.evidence.submitted_at,
        )
    if decision.action is Action.SKIP:
        return Completed(name="Skipped", message=f"{decision.reason}: {decision.sentence}")
    if decision.action is Action.FAIL:
        return Failed(message=f"{decision.reason}: {decision.sentence}")

    site = _site_of(decision)
    # To observe, or to be off, is to change nothing: where a run stands is where it would have run.
    unmoved = decision.reason in (ReasonCode.OBSERVED, ReasonCode.MODE_OFF)
    if may_run_here and (unmoved or deployment.work_pool_name in (None, site.work_pool)):
        return RunHere(decision)
    child = create_child(client, run, deployment, flow_name, decision, site)
    return _placed(client, run, child, decision.sentence, decision.evidence.spec.wait)


def _site_of(decision: Decision) -> Site:
    return next(site for site in decision.evidence.sites if site.name == decision.site)


def _waits(run: FlowRun, deployment: DeploymentResponse, declared: Mapping[str, Any] | None) -> bool:
    """Whether this run is to stay until its job has ended, by precedence, where no decision is at hand."""
    said = deployment.job_variables or {}
    for layer in (run.job_variables, said, declared, said.get(DECLARED)):
        if (layer or {}).get("wait") is not None:
            return JobSpec(wait=(layer or {})["wait"]).wait
    return False


def find_child(client: SyncPrefectClient, run: FlowRun) -> FlowRun | None:
    """The job's run that this run placed before, if it did."""
    if LABEL_CHILD in run.labels:
        with suppress(ObjectNotFound, ValueError):
            return client.read_flow_run(UUID(str(run.labels[LABEL_CHILD])))
    # With the flow PostgreSQL has an index for the key: 0.05 ms instead of 28 for one of 50,000 runs.
    found = client.read_flow_runs(
        flow_filter=FlowFilter(id=FlowFilterId(any_=[run.flow_id])),
        flow_run_filter=FlowRunFilter(
            idempotency_key=FlowRunFilterIdempotencyKey(any_=[idempotency_key(run)])
        ),
    )
    return next((child for child in found if child.flow_id == run.flow_id), None)


def create_child(
    client: SyncPrefectClient,
    run: FlowRun,
    deployment: DeploymentResponse,
    flow_name: str,
    decision: Decision,
    site: Site,
) -> FlowRun:
    """Create the job's run on a site, once; a second call gives back the first one's run.

    Raises:
        InvalidInputError: The site's pool refuses a job variable, or the flow a parameter.
        SetupError: The site's pool is not there.
    """
    try:
        pool = client.read_work_pool(site.work_pool)
    except ObjectNotFound as error:
        raise SetupError(
            f"Site {site.name} has no work pool {site.work_pool!r}; run carbon-policy apply."
        ) from error
    twin = ensure_twin(client, deployment, flow_name, site, pool)
    variables = infrastructure_part(run.job_variables)
    with refused_input(f"Work pool {pool.name} refuses the run {run.name}"):
        return client.create_flow_run_from_deployment(
            twin,
            parameters=run.parameters,
            name=run.name,
            tags=sorted({*run.tags, TAG_PLACED}),
            idempotency_key=idempotency_key(run),
            work_queue_name=None,
            job_variables={
                **variables,
                "env": {**_measuring(deployment, run), **variables.get("env", {})},
                PLACED: site.name,
                GATE_RUN: str(run.id),
            },
            labels={
                LABEL_PARENT: str(run.id),
                LABEL_SITE: site.name,
                LABEL_TIER: site.tier.value,
                LABEL_REASON: decision.reason.value,
                LABEL_USER_DEPLOYMENT: deployment.name,
            },
        )


def _measuring(deployment: DeploymentResponse, run: FlowRun) -> dict[str, str]:
    """The environment in which an undecorated flow is measured, where its image has carbon_policy in it.

    A team that has plugins of its own enabled has chosen them, and its choice stays.
    """
    chosen = {
        name
        for variables in (deployment.job_variables, run.job_variables)
        for name in (variables or {}).get("env", {})
    }
    plugins = {"PREFECT_PLUGINS_ENABLED": "true", "PREFECT_PLUGINS_ALLOW": ENTRY_POINT}
    return {MEASURE: "1"} | ({} if chosen & plugins.keys() else plugins)


def _placed(client: SyncPrefectClient, run: FlowRun, child: FlowRun, sentence: str, wait: bool) -> Placed:
    site = str(child.labels.get(LABEL_SITE, ""))
    quietly(
        "link the run to its job",
        lambda: add_labels(client, run.id, {LABEL_CHILD: str(child.id), LABEL_SITE: site}),
    )
    reason = child.labels.get(LABEL_REASON, "placed")
    message = f"{reason}: {sentence} On {site}: {link_to(child)}"
    # A run that another flow waits for would be taken for done before its job has begun.
    return Placed(child, message, wait or run.parent_task_run_id is not None)


def _ended(client: SyncPrefectClient, placed: Placed) -> State[Any]:
    """End the gate's run as placed; or stay, and end as the job ends."""
    if not placed.wait:
        return Completed(name=placed.state_name, message=placed.message)
    return _wait_for(client, placed.child, placed.message)


def state_like(job: State[Any], message: str) -> State[Any]:
    """The end of a run that ends as its job did, with why it was placed there."""
    return State(
        type=job.type, name=job.name, message=f"The job ended {job.name}: {job.message or ''} ({message})"
    )


def _wait_for(client: SyncPrefectClient, child: FlowRun, message: str) -> State[Any]:
    """Stay until the job's run has ended, and end alike; take it along when this run is cancelled."""
    pause_s = _FIRST_POLL_S
    try:
        while True:
            current = client.read_flow_run(child.id)
            if current.state is not None and current.state.is_final():
                return state_like(current.state, message)
            time.sleep(pause_s)
            pause_s = min(pause_s * 1.3, _LONGEST_POLL_S)
    except ObjectNotFound:
        return Failed(message=f"The job's run was deleted before it ended ({message}).")
    except BaseException:
        # Whatever ends this process - Cancel above all - the job is not left behind as an orphan.
        quietly("cancel the job with its gate", lambda: cancel_run(client, child.id))
        raise


def cancel_run(client: SyncPrefectClient, run_id: Any) -> None:
    """Ask for a run to be cancelled, as the UI does; one that has ended is left alone."""
    run = client.read_flow_run(run_id)
    if run.state is not None and not run.state.is_final() and run.state.type is not StateType.CANCELLING:
        client.set_flow_run_state(run_id, Cancelling(message="Its gate's run was cancelled."))
