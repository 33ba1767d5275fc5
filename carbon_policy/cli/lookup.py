"""Finding what a user named, or saying what there is instead."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterName,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound

from carbon_policy.domain.errors import InvalidInputError
from carbon_policy.orchestration.directory import starts_gate
from carbon_policy.orchestration.names import DECLARED, TAG_TWIN, WAITING

_PAGE = 200
_MOST_CANDIDATES = 8


def find_deployment(client: SyncPrefectClient, name: str) -> DeploymentResponse:
    """The deployment `flow/name`.

    Raises:
        InvalidInputError: There is none; the message names the nearest.
    """
    if name.count("/") == 1:
        try:
            return client.read_deployment_by_name(name)
        except ObjectNotFound:
            pass
    known = sorted(_deployment_names(client))
    if not known:
        raise InvalidInputError(f"There is no deployment {name!r}: the server has none at all.")
    raise InvalidInputError(f"There is no deployment {name!r}. {_nearest(name, known)}")


def find_waiting(client: SyncPrefectClient, name: str) -> FlowRun:
    """The run of that id, or the only waiting one of that name.

    Raises:
        InvalidInputError: There is none, or more than one; the message lists the candidates.
    """
    run_id = _as_id(name)
    if run_id is not None:
        try:
            return client.read_flow_run(run_id)
        except ObjectNotFound:
            pass
    else:
        named = _waiting(client, name)
        if len(named) == 1:
            return named[0]
        if named:
            raise InvalidInputError(
                f"{len(named)} waiting runs are called {name!r}; give the id of one of them: {_candidates(named)}."
            )
    deferred = [run for run in _waiting(client) if run.state_name in WAITING]
    listed = f"Deferred are: {_candidates(deferred)}." if deferred else "No run is deferred at present."
    raise InvalidInputError(f"No waiting run is called {name!r}. {listed}")


def _deployment_names(client: SyncPrefectClient) -> Iterable[str]:
    flows = {flow.id: flow.name for flow in client.read_flows(limit=_PAGE)}
    for deployment in client.read_deployments(limit=_PAGE):
        if deployment.flow_id in flows and TAG_TWIN not in deployment.tags:
            yield f"{flows[deployment.flow_id]}/{deployment.name}"


def _nearest(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, n=3, cutoff=0.4)
    if near:
        return f"Did you mean {' or '.join(near)}?"
    more = f" and {len(known) - _MOST_CANDIDATES} more" if len(known) > _MOST_CANDIDATES else ""
    return f"There are: {', '.join(known[:_MOST_CANDIDATES])}{more}."


def _as_id(name: str) -> UUID | None:
    try:
        return UUID(name)
    except ValueError:
        return None


def _waiting(client: SyncPrefectClient, name: str | None = None) -> list[FlowRun]:
    return client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            name=FlowRunFilterName(any_=[name]) if name else None,
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
        ),
        sort=FlowRunSort.NEXT_SCHEDULED_START_TIME_ASC,
        limit=_PAGE,
    )


def _candidates(runs: Sequence[FlowRun]) -> str:
    listed = [
        f"{run.name} ({run.id}, due {run.next_scheduled_start_time:%Y-%m-%d %H:%M} UTC)"
        if run.next_scheduled_start_time
        else f"{run.name} ({run.id})"
        for run in runs[:_MOST_CANDIDATES]
    ]
    more = f" and {len(runs) - _MOST_CANDIDATES} more" if len(runs) > _MOST_CANDIDATES else ""
    return ", ".join(listed) + more


def placed_by(client: SyncPrefectClient, deployment: DeploymentResponse) -> str | None:
    """What asks for a decision about a deployment's runs: its pool's worker, its decorator, or (`None`) nothing."""
    if deployment.work_pool_name and starts_gate(client.read_work_pool(deployment.work_pool_name)):
        return f"the worker of work pool {deployment.work_pool_name}"
    return "the decorator on its flow" if DECLARED in (deployment.job_variables or {}) else None
