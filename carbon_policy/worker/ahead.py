"""Runs that a schedule made ahead of time, given an earlier, greener start where their job has leave to start early."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterNextScheduledStartTime,
    FlowRunFilterState,
    FlowRunFilterStateName,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import DeploymentResponse

from carbon_policy.domain.decision import Action, Decision
from carbon_policy.domain.decision_id import decision_id
from carbon_policy.domain.errors import CarbonPolicyError
from carbon_policy.orchestration.deferral import submitted_at_of
from carbon_policy.orchestration.policy_task import decide_for
from carbon_policy.orchestration.records import plan_of, quietly
from carbon_policy.orchestration.runs import all_deployments, all_runs
from carbon_policy.orchestration.variables import policy_block_name, resolve_spec
from carbon_policy.orchestration.waits import Wait, put_to_wait
from carbon_policy.orchestration.world import World

_WORTH_A_MOVE = timedelta(seconds=30)


def early_starts(client: SyncPrefectClient, pool: str, world: World) -> dict[UUID, timedelta]:
    """The deployments on a pool whose jobs may start before they are due, and how much.

    Args:
        client: A client of the server.
        pool: Name of the work pool.
        world: What is known of this moment.
    """
    found = {}
    for deployment in _deployments(client, pool):
        try:
            policy = world.directory(policy_block_name(None, deployment, world.settings)).policy
            spec = resolve_spec(None, deployment.job_variables, None, policy, world.settings).spec
        except CarbonPolicyError:
            # Its runs say so when they are due.
            continue
        if spec.start_early:
            found[deployment.id] = spec.start_early
    return found


def advance(
    client: SyncPrefectClient, world: World, early: dict[UUID, timedelta]
) -> Iterator[tuple[FlowRun, Decision]]:
    """Give runs that are not due yet an earlier start where that is greener; gives those that were moved.

    Args:
        client: A client of the server.
        world: What is known of this moment.
        early: Deployments and how much earlier than due their jobs may start.
    """
    if not early:
        return
    for run in _not_yet_due(client, world.now, early):
        assert run.deployment_id is not None  # noqa: S101  Such runs were asked for.
        due_at = submitted_at_of(run, world.now)
        if due_at - world.now > early[run.deployment_id]:
            continue
        # One run that cannot be decided is no reason to leave the others; its gate says so as well.
        decision = quietly("decide a run that is not due yet", partial(_decided, client, world, run))
        start = _start_of(decision, world.now) if decision is not None else None
        if start is None or due_at - start < _WORTH_A_MOVE:
            continue
        wait = Wait(until=start, due_at=due_at, plan=plan_of(decision), decision=decision_id(decision))
        if put_to_wait(client, run, start, f"{decision.reason}: {decision.sentence}", wait, decision):
            yield run, decision


def _decided(client: SyncPrefectClient, world: World, run: FlowRun) -> Decision:
    assert run.deployment_id is not None  # noqa: S101  Such runs were asked for.
    return decide_for(client, run, world.deployment(run.deployment_id), None, world.now, world=world)


def _start_of(decision: Decision, now: datetime) -> datetime | None:
    """When the run is to be looked at next; whoever takes it before the time on its state is made to wait for that."""
    if decision.action is Action.RUN:
        return now
    return decision.ask_again_at if decision.action is Action.DEFER else None


def _deployments(client: SyncPrefectClient, pool: str) -> Iterator[DeploymentResponse]:
    return all_deployments(client, work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool])))


def _not_yet_due(client: SyncPrefectClient, now: datetime, early: dict[UUID, timedelta]) -> list[FlowRun]:
    """Held at once: a run that is moved must not be met again on a later page."""
    soon = FlowRunFilterNextScheduledStartTime(after_=now, before_=now + max(early.values()))
    wanted = FlowRunFilter(
        deployment_id=FlowRunFilterDeploymentId(any_=list(early)),
        state=FlowRunFilterState(name=FlowRunFilterStateName(any_=["Scheduled"])),
        next_scheduled_start_time=soon,
    )
    return [run for run in all_runs(client, flow_run_filter=wanted) if run.auto_scheduled]
