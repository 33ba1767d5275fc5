"""`carbon_policy.checkpoint` and `carbon_policy.restore`: what a flow says so that it can be interrupted."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.context import FlowRunContext, TaskRunContext
from prefect.exceptions import Pause
from prefect.filesystems import LocalFileSystem

from carbon_policy.domain.decision import Action, Decision
from carbon_policy.domain.errors import InvalidInputError
from carbon_policy.domain.times import parse_moment
from carbon_policy.orchestration.deferral import defer_in_place
from carbon_policy.orchestration.names import LABEL_CHECKPOINT, LABEL_PROGRESS
from carbon_policy.orchestration.recording import DECLARED_ATTRIBUTE
from carbon_policy.orchestration.records import add_labels, logger, quietly
from carbon_policy.orchestration.saved_state import SavedStates
from carbon_policy.orchestration.slicing import (
    ASKED_AT_MOST_EVERY,
    Standing,
    after_answer,
    ask,
    next_question,
    note_answer,
    standing_of,
)

T = TypeVar("T")

# Labels say how far a run is; a job that saves every second need not say so every second.
_LABELS_EVERY = timedelta(seconds=15)

# How long a job waits to hear what became of its stop, and how often it asks.
_PATIENCE_S = 600.0
_ASKED_EVERY_S = 10.0


@dataclass
class _Stretch:
    """What this process does of one run.

    Attributes:
        run: As it was when the process began.
        flow: Its flow.
        began_at: When the process began with it, UTC.
        states: What it has saved.
        standing: What is planned of it; `None` where it may not be stopped.
        ask_at: When the policy is to be asked, UTC; `None` for never.
        looked: Whether the plan was looked up.
        labelled_at: When its labels were last set, UTC.
        process: What the server knew its process by; a stop clears it there.
    """

    run: FlowRun
    flow: Flow[..., Any]
    began_at: datetime
    states: SavedStates
    standing: Standing | None = None
    ask_at: datetime | None = None
    looked: bool = False
    labelled_at: datetime | None = None
    process: str | None = None


_stretches: dict[UUID, _Stretch] = {}
_lock = threading.RLock()


def checkpoint(state: Any, *, done: float | None = None) -> None:
    """Save the state of a job at a safe point; here it may be stopped, and go on in a greener window.

    The state goes to Prefect's result storage, by the serializer of the flow's results (a pickle, if nothing else was
    said). `restore` gives it back when the run is started again: after it was stopped here, or crashed, or was killed
    at any moment. It is kept until the run is completed.

    A run of a deployment that is `interruptible` is stopped here when its plan says so: its process ends, its
    infrastructure is free, and a worker starts it again for its next slice. `Pause` is raised for that, which is no
    `Exception`; `finally` blocks run. So call it in the flow itself, not in a task, and where no task is running. In a
    task, in a subflow and in a flow that was called directly it saves, and never stops. Outside of a flow run, as in a
    test that calls `flow.fn`, it does nothing.

    Args:
        state: What `restore` is to give back: all that the rest of the work needs.
        done: The share of the work that is done, 0 to 1; without it, it is judged by the running time, against the time
            that the job takes at most nine times in ten, so rather too low.

    Raises:
        InvalidInputError: `done` is no share, or the state cannot be serialized.
        Pause: The run was put to wait; not to be caught.

    Example:
        ```python
        import carbon_policy
        from prefect import flow

        @carbon_policy.carbon_aware(urgency="flexible", finish_within="24h", interruptible=True)
        @flow
        def train(epochs: int = 100) -> None:
            state = carbon_policy.restore({"epoch": 0, "weights": None})
            for epoch in range(state["epoch"], epochs):
                state = {"epoch": epoch + 1, "weights": one_epoch(state["weights"])}
                carbon_policy.checkpoint(state, done=(epoch + 1) / epochs)
        ```
    """
    if done is not None and not 0 <= done <= 1:
        raise InvalidInputError(f"done is {done:g}; give the share of the work that is done, 0 to 1.")
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        logger.debug("There is no flow run, so carbon_policy.checkpoint saves nothing.")
        return
    with _lock:
        stretch = _stretch(context)
        if not _save(stretch, state, done):
            return
        # A stop would leave the task, or the flow that called this one, running for ever.
        if (
            TaskRunContext.get() is None
            and stretch.run.deployment_id is not None
            and stretch.run.parent_task_run_id is None
        ):
            _stop_where_planned(stretch, done, datetime.now(UTC))


def restore(default: T) -> T:
    """The state that this run saved last with `checkpoint`, or `default` where it saved none.

    Args:
        default: What a run begins with.

    Returns:
        The last state that was saved as a whole, read anew at each call.
    """
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        logger.debug("There is no flow run, so carbon_policy.restore gives the default.")
        return default
    with _lock:
        stretch = _stretch(context)
        found = stretch.states.load()
    if found is not None:
        logger.info("Run %s goes on from its checkpoint %d.", stretch.run.name, stretch.states.saved)
        state: T = found[0]
        return state
    if stretch.run.labels.get(LABEL_CHECKPOINT):
        logger.warning(
            "Run %s saved its state before, and nothing is found in %s now, so it begins afresh. The result storage"
            " must be one that every machine and container of its work pool shares.",
            stretch.run.name,
            _name_of(context),
        )
    return default


def _stretch(context: FlowRunContext) -> _Stretch:
    assert context.flow_run is not None  # noqa: S101  The callers checked.
    found = _stretches.get(context.flow_run.id)
    if found is not None:
        return found
    flow: Any = context.flow
    store = context.result_store
    storage: Any = store.result_storage
    _warn_of_lone_disk(storage)
    # The engine's copy was read before the run began, and labels may have changed since; but a state is saved with it,
    # too, where the server does not answer.
    run = quietly("read the run", partial(_read_anew, context.flow_run.id)) or context.flow_run
    stretch = _Stretch(
        run=run,
        flow=flow,
        began_at=parse_moment(context.start_time),
        states=SavedStates(storage, store.serializer, run.id),
    )
    if forget_checkpoints not in flow.on_completion_hooks:
        flow.on_completion_hooks.append(forget_checkpoints)
    _stretches[run.id] = stretch
    return stretch


def _read_anew(run_id: UUID) -> FlowRun:
    with get_client(sync_client=True) as client:
        return client.read_flow_run(run_id)


def forget_checkpoints(flow: Flow[..., Any], run: FlowRun, state: State[Any]) -> None:  # noqa: ARG001
    """A hook of Prefect's: the run is completed, and needs its states no more."""
    stretch = _stretches.pop(run.id, None)
    if stretch is not None:
        stretch.states.forget()


def _save(stretch: _Stretch, state: Any, done: float | None) -> bool:
    """Save a state and say so; whether it was saved."""
    now = datetime.now(UTC)
    if LABEL_CHECKPOINT not in stretch.run.labels and stretch.states.saved == 0:
        # Before the first one: a run that has a state is not sent to another site, where its state is not.
        _label(stretch, {LABEL_CHECKPOINT: 0})
    try:
        stretch.states.save(state)
    except InvalidInputError:
        raise
    except Exception as error:
        logger.warning(
            "The state of run %s could not be saved, so it goes on without: %s: %s",
            stretch.run.name,
            type(error).__name__,
            error,
        )
        return False
    if stretch.labelled_at is None or now - stretch.labelled_at >= _LABELS_EVERY:
        stretch.labelled_at = now
        _label(stretch, _progress(stretch, done))
    return True


def _progress(stretch: _Stretch, done: float | None) -> dict[str, Any]:
    return {LABEL_CHECKPOINT: stretch.states.saved} | ({} if done is None else {LABEL_PROGRESS: done})


def _label(stretch: _Stretch, labels: dict[str, Any]) -> None:
    def patch() -> None:
        with get_client(sync_client=True) as client:
            add_labels(client, stretch.run.id, labels)

    quietly("say how far the run is", patch)


def _stop_where_planned(stretch: _Stretch, done: float | None, now: datetime) -> None:
    """Ask the policy where it is time to, and stop if it says so."""
    if not stretch.looked:
        stretch.looked = True
        quietly("look up the run's plan", lambda: _look_up(stretch))
    standing = stretch.standing
    if standing is None or stretch.ask_at is None or now < stretch.ask_at:
        return
    # Whatever goes wrong on the way to an answer, the job goes on, and asks again later.
    stretch.ask_at = now + max(standing.spec.shortest_slice, ASKED_AT_MOST_EVERY)
    with get_client(sync_client=True) as client:
        decision = quietly(
            "ask whether the run goes on", lambda: _answer(client, stretch, standing, done, now)
        )
        if decision is None:
            return
        if decision.action is not Action.DEFER:
            stretch.ask_at = after_answer(decision, stretch.began_at)
            logger.info("Run %s goes on: %s", stretch.run.name, decision.sentence)
            return
        _stop(client, stretch, decision)


def _look_up(stretch: _Stretch) -> None:
    with get_client(sync_client=True) as client:
        standing = standing_of(client, stretch.run)
    if standing is not None and standing.may_stop:
        stretch.standing = standing
        stretch.ask_at = next_question(standing.slices, standing.spec, stretch.began_at, stretch.began_at)


def _answer(
    client: SyncPrefectClient, stretch: _Stretch, standing: Standing, done: float | None, now: datetime
) -> Decision:
    run = client.read_flow_run(stretch.run.id)
    if run.state is not None and run.state.type is StateType.SCHEDULED:
        # An earlier stop was heard after all: a worker will start the run, and there must not be two.
        raise Pause(state=run.state)
    stretch.process = run.infrastructure_pid or stretch.process
    declared = getattr(stretch.flow, DECLARED_ATTRIBUTE, None)
    decision = ask(client, run, standing, done, declared, now)
    add_labels(client, run.id, _progress(stretch, decision.evidence.progress))
    note_answer(client, run, stretch.flow.name, decision)
    return decision


def _stop(
    client: SyncPrefectClient,
    stretch: _Stretch,
    decision: Decision,
    pause: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Put the run to wait, and leave its process; return only where the job is to go on.

    Args:
        client: A client of the server.
        stretch: The run, its state saved.
        decision: To defer it.
        pause: Waits, seconds.
        clock: Seconds since any moment.

    Raises:
        Pause: The run waits, or ended otherwise.
        Abort: The server refused, because the run is being cancelled.
    """
    message = f"{decision.reason}: {decision.sentence} {decision.evidence.progress:.0%} is done and saved."
    try:
        defer_in_place(client, stretch.run, decision.start, message, decision.evidence.submitted_at)
    except Exception as error:
        # The server may have heard of it and its answer got lost: then a worker will start the run, and two
        # processes of one run must not be. So it has to say; only if it never does, the job is not held up for it.
        state = _state_of(client, stretch.run.id, pause, clock)
        if state is not None and state.type is not StateType.RUNNING:
            raise Pause(state=state) from error
        logger.warning("Run %s could not be put to wait, and goes on: %r", stretch.run.name, error)
    if stretch.process is not None:
        # Cleared on the way to the stop; without it Cancel would not find the process that goes on.
        process = stretch.process
        quietly(
            "put the run's process id back",
            lambda: client.update_flow_run(stretch.run.id, infrastructure_pid=process),
        )


def _state_of(
    client: SyncPrefectClient, run_id: UUID, pause: Callable[[float], object], clock: Callable[[], float]
) -> State[Any] | None:
    """The state of a run, asked for until the server says it; `None` where it does not for a long time."""
    until = clock() + _PATIENCE_S
    while True:
        run = quietly("read whether the run was put to wait", lambda: client.read_flow_run(run_id))
        if run is not None:
            state: State[Any] | None = run.state
            return state
        if clock() >= until:
            return None
        pause(_ASKED_EVERY_S)


def _name_of(context: FlowRunContext) -> str:
    storage: Any = context.result_store.result_storage
    where = getattr(storage, "basepath", None)
    return f"{type(storage).__name__} {where}" if where else type(storage).__name__


def _warn_of_lone_disk(storage: Any) -> None:
    """Say it where states go to a disk that ends with its container."""
    if isinstance(storage, LocalFileSystem) and _in_container() and _on_root_disk(storage):
        logger.warning(
            "Checkpoints of this run go to %s on the container's own disk, and are lost with it. Mount a volume"
            " there, or set a result storage that is shared (PREFECT_RESULTS_DEFAULT_STORAGE_BLOCK).",
            storage.basepath,
        )


def _in_container() -> bool:
    marks = ("/.dockerenv", "/run/.containerenv")
    return "KUBERNETES_SERVICE_HOST" in os.environ or any(Path(mark).exists() for mark in marks)


def _on_root_disk(storage: LocalFileSystem) -> bool:
    path = Path(storage.basepath or ".").expanduser().absolute()
    there = next(folder for folder in (path, *path.parents) if folder.exists())
    return there.stat().st_dev == Path("/").stat().st_dev
