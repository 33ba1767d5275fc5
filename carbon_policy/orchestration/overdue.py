"""Runs that nobody woke: found, reported and placed.

Prefect's own lateness check looks only at runs named `Scheduled`, so a `Deferred` run that no worker picks up
would wait for ever. The same goes for a run whose worker died between Pending and its start, for a gate that
was killed before it placed its job, and for a wait that a worker took for a crash: a process that ends badly after
it deferred its run is reported as crashed, and Prefect lets that overwrite the wait.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas import OrchestrationResult
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterEndTime,
    FlowRunFilterId,
    FlowRunFilterNextScheduledStartTime,
    FlowRunFilterState,
    FlowRunFilterStateName,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.responses import SetStateStatus
from prefect.states import Completed, Failed, Pending, Scheduled

from carbon_policy.domain.decision import Action, Decision
from carbon_policy.domain.errors import InvalidInputError, SetupError
from carbon_policy.domain.times import format_duration
from carbon_policy.orchestration.deferral import deferrals_of, deferred_state, patch_for_return
from carbon_policy.orchestration.names import (
    CARBON_POOL,
    DEFERRED,
    LABEL_CHECKPOINT,
    LABEL_CHILD,
    LABEL_DEFERRALS,
    LABEL_DEFERRED_UNTIL,
    LABEL_RELEASE_NOTE,
    LABEL_RELEASED,
    LABEL_SITE,
    LABEL_TIER,
    PLACED,
    WAITING,
    placed_name,
)
from carbon_policy.orchestration.placement import create_child, find_child
from carbon_policy.orchestration.policy_task import decide_for
from carbon_policy.orchestration.records import add_labels, link_to, record_decision
from carbon_policy.orchestration.runs import all_runs
from carbon_policy.orchestration.waits import as_said, keep_in_labels, set_state_if, wait_of

DEFAULT_GRACE = timedelta(minutes=5)
# Prefect looks for late runs and marks them a moment later; a run that was deferred in between is renamed.
LATE = "Late"
_PAGE = 200
_RELEASE_TRIES = 5
# A crash that is older was seen by somebody.
_CRASHES_SINCE = timedelta(days=7)


class OverdueKind(StrEnum):
    """How a run got stuck."""

    NOT_WOKEN = "not-woken"
    STUCK_PENDING = "stuck-pending"
    GATE_CRASHED = "gate-crashed"
    GATE_VANISHED = "gate-vanished"
    WAIT_LOST = "wait-lost"


@dataclass(frozen=True)
class Overdue:
    """A run that nobody woke.

    Attributes:
        run: The run as the server has it.
        kind: How it got stuck.
        late_by: For how long.
    """

    run: FlowRun
    kind: OverdueKind
    late_by: timedelta

    @property
    def sentence(self) -> str:
        """For people."""
        what = {
            OverdueKind.NOT_WOKEN: "was to be started again and nobody did; is a worker on its pool?",
            OverdueKind.STUCK_PENDING: "is pending and does not start; its worker may have died",
            OverdueKind.GATE_CRASHED: "crashed before its job was placed",
            OverdueKind.GATE_VANISHED: "says that it is running, and its process seems to be gone",
            OverdueKind.WAIT_LOST: "was waiting when its process was reported as crashed",
        }[self.kind]
        return f"Run {self.run.name} ({self.run.id}) {what}; {format_duration(self.late_by)} overdue."


def find_overdue(
    client: SyncPrefectClient, now: datetime, grace: timedelta = DEFAULT_GRACE, pool: str | None = None
) -> list[Overdue]:
    """The runs that should have been started, or placed, `grace` ago.

    A wait that was lost is found at once: nobody else can be about to put it right.

    Args:
        client: A client of the server.
        now: UTC.
        grace: How late is late.
        pool: Only runs of this work pool; else of all, those of a gate on the pool `carbon`.
    """
    found = []
    gates = pool or CARBON_POOL
    for run in _runs(client, names=(*WAITING, LATE), pool=pool, due_before=now - grace):
        due = run.next_scheduled_start_time
        if wait_of(run) is not None and due is not None and now - due > grace:
            found.append(Overdue(run, OverdueKind.NOT_WOKEN, now - due))
    gated = {run.id for run in _runs(client, kind=StateType.PENDING, pool=gates)}
    for run in _runs(client, kind=StateType.PENDING, pool=pool):
        # A decorated run that waited is ours as well, whatever pool it is on.
        if (run.id in gated or LABEL_DEFERRALS in run.labels) and _since(run, now) > grace:
            found.append(Overdue(run, OverdueKind.STUCK_PENDING, _since(run, now)))
    found += _vanished(client, _runs(client, kind=StateType.RUNNING, pool=gates), now, grace)
    lost = set()
    for run in _runs(client, kind=StateType.CRASHED, pool=pool, ended_after=now - _CRASHES_SINCE):
        # One that has a job neither waited nor was about to be placed.
        if LABEL_CHILD in run.labels or LABEL_DEFERRED_UNTIL not in run.labels:
            continue
        if _was_waiting(client, run):
            lost.add(run.id)
            found.append(Overdue(run, OverdueKind.WAIT_LOST, _since(run, now)))
    for run in _runs(client, kind=StateType.CRASHED, pool=gates, ended_after=now - _CRASHES_SINCE):
        if run.id in lost or LABEL_CHILD in run.labels or _since(run, now) <= grace:
            continue
        if find_child(client, run) is None:
            found.append(Overdue(run, OverdueKind.GATE_CRASHED, _since(run, now)))
    return found


def stuck_gates(
    client: SyncPrefectClient, runs: Sequence[FlowRun], now: datetime, grace: timedelta
) -> list[Overdue]:
    """Of runs that gates may have, those that are Pending or Running with nobody behind them.

    Args:
        client: A client of the server.
        runs: As they were read.
        now: UTC.
        grace: After how long a run is taken to be stuck.
    """
    pending = [run for run in runs if run.state_type is StateType.PENDING and _since(run, now) > grace]
    running = [run for run in runs if run.state_type is StateType.RUNNING]
    return [
        *(Overdue(run, OverdueKind.STUCK_PENDING, _since(run, now)) for run in pending),
        *_vanished(client, running, now, grace),
    ]


def _vanished(
    client: SyncPrefectClient, running: Iterable[FlowRun], now: datetime, grace: timedelta
) -> Iterator[Overdue]:
    """Gates that are gone: a gate takes seconds, except where it waits for its job."""
    long = [run for run in running if _since(run, now) > grace]
    jobs = _jobs_of(client, long)
    for run in long:
        if _has_nothing_to_wait_for(client, run, jobs.get(str(run.labels.get(LABEL_CHILD))), now, grace):
            yield Overdue(run, OverdueKind.GATE_VANISHED, _since(run, now))


def _since(run: FlowRun, now: datetime) -> timedelta:
    """For how long a run has been in its state."""
    return max(now - run.state.timestamp, timedelta(0)) if run.state else timedelta(0)


def _jobs_of(client: SyncPrefectClient, runs: list[FlowRun]) -> dict[str, FlowRun]:
    """The jobs that runs say they have placed, by id; a question for every two hundred of them."""
    ids = [UUID(str(run.labels[LABEL_CHILD])) for run in runs if LABEL_CHILD in run.labels]
    found: dict[str, FlowRun] = {}
    for begin in range(0, len(ids), _PAGE):
        some = FlowRunFilter(id=FlowRunFilterId(any_=ids[begin : begin + _PAGE]))
        found |= {str(job.id): job for job in client.read_flow_runs(flow_run_filter=some, limit=_PAGE)}
    return found


def _has_nothing_to_wait_for(
    client: SyncPrefectClient, run: FlowRun, job: FlowRun | None, now: datetime, grace: timedelta
) -> bool:
    """Whether a gate's run that is Running has no job, or one that ended a while ago."""
    child = job or find_child(client, run)
    if child is None:
        return True
    return child.state is not None and child.state.is_final() and _since(child, now) > grace


def _was_waiting(client: SyncPrefectClient, run: FlowRun) -> bool:
    """Whether a crashed run was deferred, and had not begun again: its job's code did not run since."""
    waiting = False
    for state in sorted(client.read_flow_run_states(run.id), key=lambda state: state.timestamp):
        if state.name == DEFERRED:
            waiting = True
        elif state.type is StateType.RUNNING:
            waiting = False
    return waiting


def _runs(
    client: SyncPrefectClient,
    *,
    names: tuple[str, ...] = (),
    kind: StateType | None = None,
    pool: str | None = None,
    ended_after: datetime | None = None,
    due_before: datetime | None = None,
) -> Iterator[FlowRun]:
    state = FlowRunFilterState(
        name=FlowRunFilterStateName(any_=list(names)) if names else None,
        type=FlowRunFilterStateType(any_=[kind]) if kind else None,
    )
    ended = FlowRunFilterEndTime(after_=ended_after) if ended_after else None
    due = FlowRunFilterNextScheduledStartTime(before_=due_before) if due_before else None
    return all_runs(
        client,
        flow_run_filter=FlowRunFilter(state=state, end_time=ended, next_scheduled_start_time=due),
        work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool])) if pool else None,
    )


def re_place(client: SyncPrefectClient, overdue: Overdue, now: datetime) -> str:
    """Get a stuck run going, without waiting for whoever left it; returns what was done, for people.

    A run that was not woken is placed from here, as no worker seems to be there to do it. It is taken first, as a
    worker takes a run, so that no worker that wakes up after all can start it as well.

    Raises:
        SetupError: The run cannot be started from here.
    """
    run = client.read_flow_run(overdue.run.id)
    if overdue.run.state is None or run.state is None or run.state.id != overdue.run.state.id:
        return f"left alone: it is {run.state_name} by now"
    half_way = PLACED in (run.job_variables or {}) or LABEL_CHECKPOINT in run.labels
    if half_way and overdue.kind in (OverdueKind.NOT_WOKEN, OverdueKind.STUCK_PENDING):
        # A second job would begin anew, or beside one whose container takes long to come.
        raise SetupError(
            f"Run {run.name} ({run.id}) was placed already, and goes on where it stands:"
            " look at the worker of its work pool, or start one."
        )
    if overdue.kind is OverdueKind.NOT_WOKEN:
        return _place_from_here(client, run, now)
    patch_for_return(client, run, hops=deferrals_of(run))
    if overdue.kind is OverdueKind.WAIT_LOST:
        until = max(now, datetime.fromisoformat(str(run.labels[LABEL_DEFERRED_UNTIL])))
        state = deferred_state(until, "Waits on: its process was reported as crashed.")
        done = f"put back to wait until {until:%Y-%m-%d %H:%M:%S} UTC"
    else:
        state = Scheduled(scheduled_time=now, message=f"Started again: {overdue.sentence}")
        done = "scheduled again, for now"
    # Somebody may have cancelled it in this very moment.
    return (
        done if set_state_if(client, run, as_said(state)) else "left alone: it was changed by somebody else"
    )


def _place_from_here(client: SyncPrefectClient, run: FlowRun, now: datetime) -> str:
    deployment = client.read_deployment(run.deployment_id) if run.deployment_id else None
    if deployment is None or deployment.work_pool_name is None:
        raise SetupError(
            f"Run {run.name} ({run.id}) is of a deployment without a work pool: start the process that serves it, or,"
            " where its pool was deleted, deploy it to another."
        )
    # Decided as a run that may not be deferred again: it has waited long enough.
    insistent = run.model_copy(update={"job_variables": {**(run.job_variables or {}), "max_deferrals": 0}})
    decision = decide_for(client, insistent, deployment, None, now)
    taken: OrchestrationResult[Any] = client.set_flow_run_state(
        run.id, Pending(message="Overdue, and placed from outside.")
    )
    if taken.status is not SetStateStatus.ACCEPT:
        return "left alone: a worker has taken it by now, or its deployment's limit is reached"
    flow_name = client.read_flow(run.flow_id).name
    record_decision(client, run, decision, flow_name, deployment.name)
    if decision.action is not Action.RUN:
        return _end_without_job(client, run, decision)
    site = next(site for site in decision.evidence.sites if site.name == decision.site)
    child = create_child(client, run, deployment, flow_name, decision, site)
    # An earlier pass may have placed it, and elsewhere.
    placed_on = str(child.labels.get(LABEL_SITE, site.name))
    tier = str(child.labels.get(LABEL_TIER, site.tier.value))
    add_labels(client, run.id, {LABEL_CHILD: str(child.id), LABEL_SITE: placed_on})
    what = f"placed on {placed_on} as {link_to(child)}"
    client.set_flow_run_state(
        run.id,
        Completed(name=placed_name(tier), message=f"Overdue, so it was {what}"),
        force=True,
    )
    return what


def _end_without_job(client: SyncPrefectClient, run: FlowRun, decision: Decision) -> str:
    message = f"{decision.reason}: {decision.sentence}"
    if decision.action is Action.DEFER and decision.ask_again_at is not None:
        state, what = deferred_state(decision.ask_again_at, message), "put back to wait"
    elif decision.action is Action.SKIP:
        state, what = Completed(name="Skipped", message=message), "skipped"
    else:
        state, what = Failed(message=message), "failed"
    client.set_flow_run_state(run.id, state, force=True)
    return f"{what}. {decision.sentence}"


def release(client: SyncPrefectClient, run_id: Any, note: str, now: datetime) -> FlowRun:
    """Let a waiting run go now, whatever the grid says.

    Args:
        client: A client of the server.
        run_id: The run.
        note: Why; kept with the run.
        now: UTC.

    Raises:
        InvalidInputError: The run is not waiting.
    """
    run = client.read_flow_run(run_id)
    if run.state is None or run.state.type is not StateType.SCHEDULED:
        raise InvalidInputError(
            f"Run {run.name} is {run.state_name}, and only a run that waits can be released; nothing was changed."
        )
    keep_in_labels(client, run)
    add_labels(client, run.id, {LABEL_RELEASED: True, LABEL_RELEASE_NOTE: note})
    go = as_said(Scheduled(scheduled_time=now, message=f"Released: {note}"))
    for _ in range(_RELEASE_TRIES):
        if set_state_if(client, run, go):
            return client.read_flow_run(run.id)
        run = client.read_flow_run(run.id)
        if run.state is None or run.state.type is not StateType.SCHEDULED:
            # A worker that has it by now reads in its labels that it is to go.
            return run
        # It was planned again in that very moment, or the reply to the last request was lost.
    raise InvalidInputError(f"Run {run.name} is planned again and again, and was not released; try again.")
