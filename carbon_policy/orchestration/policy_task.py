"""The carbon-policy task: the one place where a run's fate is decided, for gate and decorator alike."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import DeploymentResponse

from carbon_policy.domain.decision import Decision, Evidence, Plan
from carbon_policy.domain.job import JobSpec, PolicyName
from carbon_policy.domain.precedence import DEPLOYMENT, RUN
from carbon_policy.domain.site import Site
from carbon_policy.orchestration.deferral import deferrals_of, submitted_at_of
from carbon_policy.orchestration.directory import Directory, pool_variables
from carbon_policy.orchestration.evidence import gather, weighs
from carbon_policy.orchestration.names import LABEL_PROGRESS, LABEL_RELEASED
from carbon_policy.orchestration.records import planned_of
from carbon_policy.orchestration.status import TAKES_A_SLOT
from carbon_policy.orchestration.variables import check_names, policy_block_name, resolve_spec
from carbon_policy.orchestration.waits import with_last_wait
from carbon_policy.orchestration.world import World
from carbon_policy.policies import decide

AT_HAND: ContextVar[Decision | None] = ContextVar("carbon-policy-decision", default=None)
"""A decision about a run that was made together with others', for the task that is then run for this one."""


@task(name="carbon-policy", persist_result=False, cache_policy=NO_CACHE, retries=0)
def consult(run_id: str, declared: Mapping[str, Any] | None = None) -> Decision:
    """Decide what becomes of a flow run, and change nothing.

    Args:
        run_id: The flow run.
        declared: The decorator's arguments, where the decorator asks; else those recorded with the deployment.

    Raises:
        InvalidInputError: What was said of the job is refused.
        SetupError: The policy block, or something that it names, is missing.
    """
    at_hand = AT_HAND.get()
    if at_hand is not None and at_hand.evidence.job == run_id:
        return at_hand
    with get_client(sync_client=True) as client:
        run = with_last_wait(client, client.read_flow_run(UUID(run_id)))
        deployment = client.read_deployment(run.deployment_id) if run.deployment_id else None
        return decide_for(client, run, deployment, declared, datetime.now(UTC))


def decide_for(
    client: SyncPrefectClient,
    run: FlowRun,
    deployment: DeploymentResponse | None,
    declared: Mapping[str, Any] | None,
    now: datetime,
    *,
    world: World | None = None,
    plan: Plan | None = None,
) -> Decision:
    """`consult` for a run that has been read, at a moment that is given (UTC).

    Args:
        client: A client of the server.
        run: The run as the server has it.
        deployment: Its deployment.
        declared: The decorator's arguments, where the decorator asks; else those recorded with the deployment.
        now: UTC.
        world: What is known of this moment already, where many runs are decided at once.
        plan: For a run that waits and is decided again before its time: what was planned for it. Without it a run
            finds the place that the fleet planned for it, if one did.
    """
    return decide(evidence_for(run, deployment, declared, world or World(client, now), plan))


def evidence_for(
    run: FlowRun,
    deployment: DeploymentResponse | None,
    declared: Mapping[str, Any] | None,
    world: World,
    plan: Plan | None = None,
) -> Evidence:
    """What `decide_for` decides by, at the world's moment."""
    directory = world.directory(policy_block_name(run, deployment, world.settings))
    deployment_variables = deployment.job_variables if deployment else None
    pool = directory.pools.get(deployment.work_pool_name or "") if deployment else None
    known = directory.infrastructure_variables | (pool_variables(pool).keys() if pool else set())
    check_names(deployment_variables, known, DEPLOYMENT.capitalize())
    check_names(run.job_variables, known, RUN.capitalize())
    if deployment is not None and not deployment.work_pool_name:
        # A deployment that is served has no pool: its code is where it is served, and nowhere else.
        directory = replace(directory, sites=directory.sites[:1])
    resolved = resolve_spec(
        run.job_variables, deployment_variables, declared, directory.policy, world.settings
    )
    released = bool(run.labels.get(LABEL_RELEASED))
    deferrals = deferrals_of(run)
    worth_it = weighs(resolved.spec, released)
    if worth_it:
        own_pool = deployment.work_pool_name if deployment and _takes_a_slot(run) else None
        sites = tuple(
            _with_room(site, directory, own_pool, world.taken(site.name)) for site in directory.sites
        )
        directory = replace(directory, sites=sites)
    return gather(
        directory,
        resolved,
        job=str(run.id),
        now=world.now,
        submitted_at=submitted_at_of(run, world.now),
        # The wait that is planned anew is the one that was counted.
        deferrals=max(0, deferrals - 1) if plan is not None else deferrals,
        released=released,
        plan=plan if plan is not None else _place_of(run, resolved.spec),
        progress=float(run.labels.get(LABEL_PROGRESS, 0.0)),
        experience=world.experience(directory, resolved.spec, run, deployment) if worth_it else None,
        asked=world.grid(directory, resolved.spec) if worth_it else None,
    )


def _takes_a_slot(run: FlowRun) -> bool:
    return run.state is not None and run.state.type in TAKES_A_SLOT


def _with_room(site: Site, directory: Directory, own_pool: str | None, taken: int) -> Site:
    """A site with what it can take now; the slot that the run itself holds, on `own_pool`, is free for it."""
    free = directory.free(site)
    if free is not None:
        free = max(0, free - taken) + (site.work_pool == own_pool)
    return site.model_copy(update={"free": free})


def _place_of(run: FlowRun, spec: JobSpec) -> Plan | None:
    """The place in the joint plan for which a run has waited; a job with slices has none."""
    plan = planned_of(run) if spec.policy is PolicyName.FLEET and not spec.interruptible else None
    return plan if plan is not None and plan.by is PolicyName.FLEET else None
