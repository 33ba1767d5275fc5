"""What a waiting run says of itself: until when it waits, by which plan, and since when.

A gate that defers its own run leaves this in labels (`orchestration/deferral.py`). The carbon worker and a re-plan,
which put thousands to wait, leave it in the data of the run's state, so that one change of state says it all. Whoever
reads a waiting run reads it here, and need not know which.

A wait is written only while the run is still as it was when it was looked at: the server's own filter compares kind,
name and time of the state in the request that changes it. So a run that a worker has taken since is left alone. The
server compares and writes in two steps, so a change in the same few milliseconds may still be written over; what that
can do is make a run wait whose job is being created, and it ends as that job when it wakes: of jobs there is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun, State, StateType
from pydantic import BaseModel, ConfigDict, ValidationError

from carbon_policy.domain.decision import Decision, Plan
from carbon_policy.domain.times import Moment
from carbon_policy.orchestration.names import (
    ADVANCED,
    DECISION_DATA,
    DEFERRED,
    LABEL_DEFERRALS,
    LABEL_DEFERRED_UNTIL,
    LABEL_PLAN,
    LABEL_SUBMITTED,
    WAIT_DATA,
)


class Wait(BaseModel):
    """Why and until when a run waits.

    Attributes:
        until: When it is to be started, UTC; `None` where only its state's time says so.
        due_at: When it was first due, UTC; `None` where only the server says so.
        deferrals: How often it was deferred.
        plan: What is planned for it; `None` where it waits for no place.
        decision: The id of the decision by which it waits; empty where that was recorded elsewhere.
    """

    # What a later release adds is no reason for this one to know nothing.
    model_config = ConfigDict(frozen=True, extra="ignore")

    until: Moment | None = None
    due_at: Moment | None = None
    deferrals: int = 0
    plan: Plan | None = None
    decision: str = ""


def wait_of(run: FlowRun) -> Wait | None:
    """What a run says of its wait, or of its last one where it has begun again; `None` for one that never waited."""
    return wait_in(run.state.data if run.state is not None else None) or _in_labels(run.labels)


def wait_in(data: Any) -> Wait | None:
    """The wait in a state's data; `None` where there is none that can be read."""
    if not isinstance(data, Mapping) or WAIT_DATA not in data:
        return None
    try:
        return Wait.model_validate(data[WAIT_DATA])
    except ValidationError:
        return None


def _in_labels(labels: Mapping[str, Any]) -> Wait | None:
    if not {LABEL_DEFERRALS, LABEL_PLAN} & labels.keys():
        return None
    try:
        return Wait.model_validate(
            {
                "until": labels.get(LABEL_DEFERRED_UNTIL),
                "due_at": labels.get(LABEL_SUBMITTED),
                "deferrals": labels.get(LABEL_DEFERRALS, 0),
                "plan": _plan_in(labels),
            }
        )
    except ValidationError:
        return None


def with_last_wait(client: SyncPrefectClient, run: FlowRun) -> FlowRun:
    """A run that has begun again, with what it said of its wait before, where its labels do not say it already.

    A carbon worker keeps it in labels when it takes a run. Another kind of worker does not, and its gate asks here.
    """
    if wait_of(run) is not None:
        return run
    for state in sorted(client.read_flow_run_states(run.id), key=lambda state: state.timestamp, reverse=True):
        wait = wait_in(state.data)
        if wait is not None:
            return run.model_copy(update={"labels": {**run.labels, **_as_labels(wait)}})
    return run


def keep_in_labels(client: SyncPrefectClient, run: FlowRun) -> None:
    """Keep what a run's state says of its wait, before another state takes its place."""
    wait = wait_in(run.state.data if run.state is not None else None)
    if wait is None:
        return
    client.update_flow_run_labels(run.id, _as_labels(wait))


def _as_labels(wait: Wait) -> dict[str, Any]:
    said = {
        LABEL_DEFERRALS: wait.deferrals,
        LABEL_DEFERRED_UNTIL: wait.until.isoformat() if wait.until else None,
        LABEL_SUBMITTED: wait.due_at.isoformat() if wait.due_at else None,
        LABEL_PLAN: wait.plan.model_dump_json() if wait.plan else None,
    }
    return {name: value for name, value in said.items() if value is not None}


def _plan_in(labels: Mapping[str, Any]) -> Plan | None:
    try:
        return Plan.model_validate_json(str(labels[LABEL_PLAN]))
    except (KeyError, ValidationError):
        return None


def put_to_wait(
    client: SyncPrefectClient, run: FlowRun, until: datetime, message: str, wait: Wait, decision: Decision
) -> bool:
    """Put a run to wait, or move its wait, if it is as it was when it was read.

    Args:
        client: A client of the server.
        run: As it was read.
        until: When it is to be started, UTC.
        message: Shown as the state's message.
        wait: What it says of itself.
        decision: By which it waits; kept with the state. The outlooks that it was made from are named in it by their
            fingerprints, and are on the server as artifacts.

    Returns:
        Whether it waits now; if not, somebody else has changed it since.
    """
    state = {
        "type": StateType.SCHEDULED.value,
        "name": DEFERRED if wait.due_at is None or until >= wait.due_at else ADVANCED,
        "message": message,
        "data": {WAIT_DATA: wait.model_dump(mode="json"), DECISION_DATA: _without_evidence(decision)},
        "state_details": {"scheduled_time": until.isoformat()},
    }
    return set_state_if(client, run, state)


def wait_again(client: SyncPrefectClient, run: FlowRun) -> bool:
    """Give a waiting run back the state of its wait, over which another was written; returns whether it waits by it."""
    due = run.next_scheduled_start_time
    for state in sorted(client.read_flow_run_states(run.id), key=lambda one: one.timestamp, reverse=True):
        if wait_in(state.data) is not None and due is not None:
            said = {"type": StateType.SCHEDULED.value, "name": state.name, "message": state.message}
            details = {"scheduled_time": due.isoformat()}
            return set_state_if(client, run, {**said, "data": state.data, "state_details": details})
    return False


def _without_evidence(decision: Decision) -> dict[str, Any]:
    """A decision without what it was made from, which thousands of runs have in common."""
    said = decision.model_dump(mode="json", exclude={"evidence", "would_have"}, exclude_defaults=True)
    outlook = decision.evidence.outlook
    return {**said, "outlooks": {zone: series.fingerprint for zone, series in outlook.items()}}


def as_said(state: State[Any]) -> dict[str, Any]:
    """A state as the API takes it."""
    at = state.state_details.scheduled_time
    said = {"type": state.type.value, "name": state.name, "message": state.message}
    return said | ({"state_details": {"scheduled_time": at.isoformat()}} if at is not None else {})


def set_state_if(client: SyncPrefectClient, run: FlowRun, state: Mapping[str, Any]) -> bool:
    """Change a run's state, if it is as it was when it was read; returns whether it was.

    Args:
        client: A client of the server.
        run: As it was read.
        state: As the API has it. The client's own call would drop its data.
    """
    assert run.state is not None  # noqa: S101  Whoever looks at a run has its state.
    as_it_was: dict[str, Any] = {
        "id": {"any_": [str(run.id)]},
        "state": {"type": {"any_": [run.state.type.value]}, "name": {"any_": [run.state.name]}},
    }
    due = run.next_scheduled_start_time
    if run.state.type is StateType.SCHEDULED and due is not None:
        as_it_was["next_scheduled_start_time"] = {"after_": due.isoformat(), "before_": due.isoformat()}
    if run.state.is_final() and run.end_time is not None:
        # One that has ended so again is not the one that was read.
        as_it_was["end_time"] = {"after_": run.end_time.isoformat(), "before_": run.end_time.isoformat()}
    answer = client.request(
        "POST",
        "/flow_runs/bulk_set_state",  # type: ignore[arg-type]  # The client's own list of routes lacks it.
        json={"flow_runs": as_it_was, "state": dict(state), "force": False, "limit": 1},
    )
    return any(result["status"] == "ACCEPT" for result in answer.json()["results"])
