"""Checks of runs: those that nobody got going, those that lost their pool, and those that came to nothing lately."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterEndTime,
    FlowRunFilterState,
    FlowRunFilterStateName,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import DeploymentStatus, FlowRun, StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound

from carbon_policy.cli.checks.finding import Finding, Level
from carbon_policy.cli.words import counted
from carbon_policy.domain.times import format_duration
from carbon_policy.orchestration.names import JOB_DELETED, PLACED_NAMES, POOL_GONE, TAG_PLACED, WAITING
from carbon_policy.orchestration.overdue import find_overdue
from carbon_policy.orchestration.runs import all_deployments, count_without_pool

LATELY = timedelta(hours=24)
_MOST_SHOWN = 5

_WITH_AN_OWNER = FlowRunFilterState(
    name=FlowRunFilterStateName(any_=[*WAITING, *PLACED_NAMES]),
    # A process gate's run has ended when its job is placed.
    type=FlowRunFilterStateType(any_=[StateType.SCHEDULED, StateType.RUNNING]),
)
"""The runs that somebody is to see to: they wait, or are to end as their job."""

_NOT_BEGUN = FlowRunFilter(
    tags=FlowRunFilterTags(all_=[TAG_PLACED]),
    state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
)

_NEW_RUN = "start a new run, if the job is still wanted"
_MENDS = {
    "Refused": "change what it says, and retry the run in the UI",
    JOB_DELETED: _NEW_RUN,
    POOL_GONE: _NEW_RUN,
}
"""State names of runs that came to nothing and say why, and what is to be done."""


def check_overdue(client: SyncPrefectClient) -> Iterator[Finding]:
    """Whether somebody waits in vain."""
    found = find_overdue(client, datetime.now(UTC))
    if found:
        yield Finding(Level.WARN, "runs", f"{len(found)} overdue", "carbon-policy overdue --fix")
    else:
        yield Finding(Level.OK, "runs", "none is overdue")


def check_stranded(client: SyncPrefectClient) -> Iterator[Finding]:
    """Whether runs wait, or have their job under way, whose work pool was deleted, or renamed, which is the same."""
    for deployment in _without_owner(client):
        wanted = FlowRunFilter(
            deployment_id=FlowRunFilterDeploymentId(any_=[deployment.id]),
            state=_WITH_AN_OWNER,
        )
        count = client.count_flow_runs(flow_run_filter=wanted)
        if count:
            flow = client.read_flow(deployment.flow_id)
            yield Finding(
                Level.FAIL,
                f"deployment {flow.name}/{deployment.name}",
                f"{counted(count, 'run')} of it under way or waiting, and nobody sees to them: it is on no work pool,"
                " as that was deleted or renamed, and no process serves it",
                "deploy it to a work pool again: the carbon worker there takes them over; or serve it",
            )
    jobs = count_without_pool(client, _NOT_BEGUN)
    if jobs:
        yield Finding(
            Level.FAIL,
            "placed jobs",
            f"{counted(jobs, 'job')} cannot start: the work pool of the site was deleted, or renamed",
            "cancel them in the UI, by the tag " + TAG_PLACED + ", and start new runs",
        )


def _without_owner(client: SyncPrefectClient) -> Iterator[DeploymentResponse]:
    """Deployments without a work pool that no process has served lately."""
    for deployment in all_deployments(client):
        if deployment.work_pool_name is None and deployment.status is not DeploymentStatus.READY:
            yield deployment


def check_ends(client: SyncPrefectClient, now: datetime | None = None) -> Iterator[Finding]:
    """Whether runs were refused lately, or lost their job to somebody who deleted it; the newest with what they say.

    Args:
        client: A client of the server.
        now: UTC; the present, if not said.
    """
    now = now or datetime.now(UTC)
    wanted = FlowRunFilter(
        state=FlowRunFilterState(name=FlowRunFilterStateName(any_=list(_MENDS))),
        end_time=FlowRunFilterEndTime(after_=now - LATELY),
    )
    newest = client.read_flow_runs(flow_run_filter=wanted, sort=FlowRunSort.END_TIME_DESC, limit=_MOST_SHOWN)
    for run in newest:
        assert run.state is not None  # noqa: S101  By its name it was found.
        name, when = str(run.state.name), _when(run.state.timestamp, now)
        yield Finding(
            Level.WARN,
            f"run {run.name}",
            f"{name}, {when}: {run.state.message or 'no more was said'}",
            _MENDS[name],
        )
    if len(newest) == _MOST_SHOWN:
        in_all = client.count_flow_runs(flow_run_filter=wanted)
        if in_all > _MOST_SHOWN:
            says = f"{counted(in_all, 'run')} of the last 24 h came to nothing; the newest {_MOST_SHOWN} are above"
            yield Finding(Level.WARN, "runs", says)


def check_crashes(client: SyncPrefectClient, now: datetime | None = None) -> Iterator[Finding]:
    """Whether jobs that were placed have crashed lately; what the newest says.

    Args:
        client: A client of the server.
        now: UTC; the present, if not said.
    """
    now = now or datetime.now(UTC)
    wanted = FlowRunFilter(
        tags=FlowRunFilterTags(all_=[TAG_PLACED]),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.CRASHED])),
        end_time=FlowRunFilterEndTime(after_=now - LATELY),
    )
    newest = client.read_flow_runs(flow_run_filter=wanted, sort=FlowRunSort.END_TIME_DESC, limit=1)
    for run in newest:
        assert run.state is not None  # noqa: S101  By its type it was found.
        crashed = counted(client.count_flow_runs(flow_run_filter=wanted), "job")
        yield Finding(
            Level.WARN,
            "placed jobs",
            f"{crashed} crashed in the last 24 h; the newest {_when(run.state.timestamp, now)}, {run.name} of"
            f" {_deployment_of(client, run)}: {run.state.message or 'no more was said'}",
            "look at its log in the UI; if that says that a folder or a module is missing, the job's code is not in"
            " the image of its work pool",
        )


def _deployment_of(client: SyncPrefectClient, run: FlowRun) -> str:
    try:
        deployment = client.read_deployment(run.deployment_id) if run.deployment_id else None
    except ObjectNotFound:
        deployment = None
    flow = client.read_flow(run.flow_id).name
    return (
        f"deployment {flow}/{deployment.name}" if deployment else f"flow {flow}, whose deployment was deleted"
    )


def _when(moment: datetime, now: datetime) -> str:
    ago = max(now - moment, timedelta(0))
    return f"{format_duration(ago)} ago" if ago >= timedelta(minutes=1) else "just now"
