"""Deferring a flow run in place. All that is undocumented in Prefect about it lives here.

A run that is RUNNING is proposed `Scheduled(name="Deferred", scheduled_time=...)` and its process then ends by
raising `Pause`, so that nothing is held while it waits. Four more things are needed for the run to come back,
each found out on a real server and each held by tests/contract/test_deferral.py:

- `empirical_policy.retry_type` must not be `in_process`, which a retry leaves behind and which workers skip.
- `empirical_policy.retries` must grow by one a hop, since the server counts each hop as an attempt.
- `infrastructure_pid` must be cleared, or Cancel waits for a process that is gone.
- The server may refuse (the run is being cancelled); then the run must not be left half way.

None of it is atomic, so every step may be repeated: counts are kept in labels and set, never added to.
"""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from typing import NoReturn
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import Abort, Pause
from prefect.states import Cancelled, Scheduled
from prefect.utilities.engine import propose_state_sync

from carbon_policy.orchestration.names import (
    DEFERRED,
    LABEL,
    LABEL_DEFERRALS,
    LABEL_DEFERRED_UNTIL,
    LABEL_SUBMITTED,
)
from carbon_policy.orchestration.waits import wait_in, wait_of

_LABEL_RETRIES = LABEL + "retries"


def deferrals_of(run: FlowRun) -> int:
    """How often a run was deferred."""
    wait = wait_of(run)
    return wait.deferrals if wait is not None else 0


def submitted_at_of(run: FlowRun, now: datetime) -> datetime:
    """When a run was first due, UTC; a deferral does not change it.

    Args:
        run: The run as the server has it.
        now: Taken where the server does not know.
    """
    wait = wait_of(run)
    if wait is not None and wait.due_at is not None:
        return wait.due_at
    return run.expected_start_time or run.created or now


def defer_in_place(
    client: SyncPrefectClient, run: FlowRun, until: datetime, message: str, submitted_at: datetime
) -> NoReturn:
    """Put a running flow run back to wait, and leave its process.

    Args:
        client: A client of the run's server.
        run: The run that this process is running.
        until: When it is to be started again, UTC.
        message: Shown as the state's message.
        submitted_at: When the run was first due, UTC; kept in a label.

    Raises:
        Pause: The run was deferred; Prefect's engine then ends the process quietly.
        Abort: The server refused, because the run is being cancelled; it is then cancelled.
    """
    current = client.read_flow_run(run.id)
    hops, deferrals = _counted(client, run.id)
    client.update_flow_run_labels(
        run.id,
        {
            LABEL_DEFERRALS: deferrals + 1,
            LABEL_SUBMITTED: submitted_at.isoformat(),
            LABEL_DEFERRED_UNTIL: until.isoformat(),
            _LABEL_RETRIES: _own_retries(current),
        },
    )
    patch_for_return(client, current, hops + 1)
    try:
        state = propose_state_sync(client, deferred_state(until, message), flow_run_id=run.id)
    except Abort:
        _finish_cancelling(client, run.id)
        raise
    if state.type is not StateType.SCHEDULED or state.name != DEFERRED:
        _finish_cancelling(client, run.id)
        raise Abort(f"The server did not accept the deferral; the run is {state.name}.")
    raise Pause(state=state)


def _counted(client: SyncPrefectClient, run_id: UUID) -> tuple[int, int]:
    """How often a run has begun and was put back, and how often it was deferred at all, from its history.

    A pass that died half way has left its count in the label. A carbon worker defers without a beginning, and says the
    count in the state's data.
    """
    hops = deferrals = 0
    for before, after in pairwise(
        sorted(client.read_flow_run_states(run_id), key=lambda state: state.timestamp)
    ):
        wait = wait_in(after.data)
        put_back = before.type is StateType.RUNNING and after.name == DEFERRED
        hops += put_back
        deferrals = wait.deferrals if wait is not None else deferrals + put_back
    return hops, deferrals


def deferred_state(until: datetime, message: str) -> State[None]:
    """The state of a run that waits until a moment (UTC)."""
    return Scheduled(name=DEFERRED, scheduled_time=until, message=message)


def _own_retries(run: FlowRun) -> int:
    """The retries that the flow's author asked for, before any hop was added."""
    label = run.labels.get(_LABEL_RETRIES)
    return int(label) if label is not None else int(run.empirical_policy.retries or 0)


def patch_for_return(client: SyncPrefectClient, run: FlowRun, hops: int) -> None:
    """Make a run startable again after it is put back to wait."""
    policy = run.empirical_policy.model_copy(update={"retry_type": "reschedule"})
    own_retries = _own_retries(run)
    if own_retries:
        policy = policy.model_copy(update={"retries": own_retries + hops})
    # The client's own update cannot send a null, and a null is the point.
    client.request(
        "PATCH",
        "/flow_runs/{id}",
        path_params={"id": run.id},
        json={"empirical_policy": policy.model_dump(mode="json"), "infrastructure_pid": None},
    )


def _finish_cancelling(client: SyncPrefectClient, run_id: UUID) -> None:
    """A run in Cancelling whose infrastructure we just disowned would hang there; see it through."""
    run = client.read_flow_run(run_id)
    if run.state is not None and run.state.type is StateType.CANCELLING:
        client.set_flow_run_state(
            run_id, Cancelled(message="Cancelled while it was being deferred."), force=True
        )
