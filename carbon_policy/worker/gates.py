"""Gates in the worker's own process: the policy task and the placed job of a run, in a thread of a pool.

A gate is the same flow as that of a process (`orchestration/gate.py`) but for its end: it leaves the run Running, named
after the tier on which its job is. The end is the job's, and the mirror (`worker/mirror.py`) brings it.
"""

from __future__ import annotations

import contextvars
import heapq
import math
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from functools import partial
from itertools import count
from typing import Any, NoReturn
from uuid import UUID, uuid4

import httpx
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import Abort, ObjectNotFound, Pause
from prefect.flow_engine import run_flow_sync
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from prefect.states import AwaitingRetry

from carbon_policy.domain.decision import Decision
from carbon_policy.domain.errors import SetupError
from carbon_policy.domain.job import Urgency
from carbon_policy.orchestration.gate import refused_or, run_in_context
from carbon_policy.orchestration.names import LABEL_CHILD
from carbon_policy.orchestration.placement import Placed, RunHere, cancel_run, find_child, settle
from carbon_policy.orchestration.policy_task import AT_HAND
from carbon_policy.orchestration.records import logger, quietly
from carbon_policy.orchestration.waits import as_said, keep_in_labels, set_state_if
from carbon_policy.orchestration.world import World
from carbon_policy.worker.batch import read_runs

_STALE_S = 60.0

_TAKEN = "carbon_policy_taken"
"""Key in the data of a Pending state: which taking it came of."""

_RETRIED = AwaitingRetry().name

_WORLD: ContextVar[World | None] = ContextVar("carbon-policy-world", default=None)


@flow(name="carbon-gate", retries=0, persist_result=False, validate_parameters=False)
def gate() -> State[Any]:
    """Place the run that this flow runs under, and leave it Running while its job is under way."""
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(run_in_context())
        try:
            outcome = refused_or(lambda: settle(client, run, world=_WORLD.get()))
            if isinstance(outcome, Placed):
                leave_running(client, run, outcome)
        except httpx.HTTPError as error:
            # The client has tried several times. Whether there is a job is not known: if so the mirror brings its end,
            # if not the gate is begun again (`worker/recovery.py`).
            logger.warning(
                "carbon-policy leaves the run as it is, as the server gave no good answer: %r", error
            )
            raise Pause(state=run.state) from None
        if isinstance(outcome, RunHere):
            raise SetupError("A gate has no code to run; this is a defect of carbon-policy.")
        return outcome


def leave_running(client: SyncPrefectClient, run: FlowRun, placed: Placed) -> NoReturn:
    """Say of a run where its job is, and leave it.

    Raises:
        Pause: Always; Prefect's engine then leaves the run's state alone.
    """
    state: State[Any] = State(type=StateType.RUNNING, name=placed.state_name, message=placed.message)
    # Not if it is cancelling by now, or has ended as its job, which may be the faster one.
    if not set_state_if(
        client, run, {"type": "RUNNING", "name": placed.state_name, "message": placed.message}
    ):
        current = client.read_flow_run(run.id)
        if current.state_type in (StateType.CANCELLING, StateType.CANCELLED):
            # The job did not exist yet when that was passed down.
            quietly("cancel the job with its run", lambda: cancel_run(client, placed.child.id))
    raise Pause(state=state)


def take(client: SyncPrefectClient, run: FlowRun) -> bool:
    """Take a run as a worker does, if it is as it was read; of all workers only one can. Returns whether it was taken.

    One that was put to wait since is not taken: Prefect's engine would sleep here until it is due.
    """
    try:
        keep_in_labels(client, run)
    except ObjectNotFound:
        return False
    mark = {_TAKEN: uuid4().hex}
    if set_state_if(client, run, {"type": "PENDING", "name": "Pending", "data": mark}):
        return True
    # The reply to a first request may have been lost: then it is this worker that has taken it.
    current = next(iter(read_runs(client, [run.id])), None)
    return current is not None and current.state is not None and current.state.data == mark


def was_taken(client: SyncPrefectClient, run: FlowRun) -> bool:
    """Whether a run was taken by a carbon worker's gate, of whichever pool."""
    return any(
        isinstance(state.data, Mapping) and _TAKEN in state.data
        for state in client.read_flow_run_states(run.id)
    )


def retry_job(client: SyncPrefectClient, run: FlowRun) -> None:
    """Pass a retry that somebody asked for down to the job, where it ended badly before that.

    The job's run is started again as it would be by a retry of its own; there is no second one. It is changed only if
    it is as it was read: asked for twice, as where a reply is lost, it would begin beside itself.
    """
    job = find_child(client, run)
    if job is None or job.state is None or job.state_type not in _ENDED_BADLY:
        return
    asked = [state.timestamp for state in client.read_flow_run_states(run.id) if state.name == _RETRIED]
    if asked and job.state.timestamp < max(asked):
        set_state_if(client, job, as_said(AwaitingRetry(message="Its run was retried.")))


_ENDED_BADLY = (StateType.FAILED, StateType.CRASHED, StateType.CANCELLED)


def latest_start_s(decision: Decision | None) -> float:
    """By when a run is to start, Unix time: those with the least time left go first, and urgent ones before all."""
    if decision is None or decision.evidence.spec.urgency is Urgency.CRITICAL:
        return -math.inf
    evidence = decision.evidence
    latest = evidence.spec.window(evidence.submitted_at).latest_start_for(evidence.spec.duration)
    return latest.timestamp() if latest is not None else evidence.submitted_at.timestamp()


class Gates:
    """The gates that one worker has under way.

    Args:
        client: A client of the server.
        threads: How many run at once.
        failed: Told of what went wrong beyond a gate's own answers.
        stopwatch: Monotonic seconds.
    """

    def __init__(
        self,
        client: SyncPrefectClient,
        threads: int,
        failed: Callable[[FlowRun, Exception], None],
        stopwatch: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._failed = failed
        self._stopwatch = stopwatch
        # Prefect keeps its settings in the context, and a thread begins with an empty one.
        self._context = contextvars.copy_context()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="carbon-gate")
        self._lock = threading.Lock()
        self._under_way: set[UUID] = set()
        self._line: list[tuple[float, int, Any]] = []
        self._number = count()

    def has(self, run_id: UUID) -> bool:
        """Whether a run's gate is under way here, or about to be."""
        with self._lock:
            return run_id in self._under_way

    @property
    def count(self) -> int:
        """How many are."""
        with self._lock:
            return len(self._under_way)

    def start(self, run: FlowRun, decision: Decision | None, world: World | None) -> bool:
        """Take a run and place it, as soon as a thread is free; returns whether it is begun here now.

        Args:
            run: As it was read.
            decision: What was decided of it, together with others; `None` to decide in the gate.
            world: What is known of this moment.
        """
        with self._lock:
            if run.id in self._under_way:
                return False
            self._under_way.add(run.id)
            gate = partial(self._go, run, decision, world, self._stopwatch())
            heapq.heappush(self._line, (latest_start_s(decision), next(self._number), gate))
        self._pool.submit(self._next)
        return True

    def _next(self) -> None:
        """Go on with whichever run in line has the least time left."""
        with self._lock:
            *_, gate = heapq.heappop(self._line)
        gate()

    def close(self) -> None:
        """Finish what has been begun, and begin no more: a gate takes seconds, and half of one is of use to nobody."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _go(self, run: FlowRun, decision: Decision | None, world: World | None, decided_at: float) -> None:
        if self._stopwatch() - decided_at > _STALE_S:
            # It stood in line for long, and is decided anew.
            decision = world = None
        try:
            if take(self._client, run):
                self._context.copy().run(self._run, run, decision, world)
        except Exception as error:
            self._failed(run, error)
        finally:
            with self._lock:
                self._under_way.discard(run.id)

    def _run(self, run: FlowRun, decision: Decision | None, world: World | None) -> None:
        if run.state_name == _RETRIED or LABEL_CHILD in run.labels:
            # One that was placed and is begun again may have been retried, and whoever took it then has died.
            retry_job(self._client, run)
        AT_HAND.set(decision)
        _WORLD.set(world)
        current = self._client.read_flow_run(run.id)
        if current.state_type is not StateType.PENDING:
            # Put to wait, or cancelled, in that very moment: the engine would sleep until it is due.
            return
        # Of a run with a deployment Prefect's engine listens for a suspension, by a connection and a thread of its own:
        # as much as all else that a gate costs, and a gate takes less than a second.
        current = current.model_copy(update={"deployment_id": None})
        try:
            # A run that gives heartbeats and then none is taken for dead, and this one stays Running without a process.
            with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
                run_flow_sync(gate, flow_run=current, parameters={}, return_type="state")
        except (Pause, Abort):
            # Left Running with its job on its site, or put to wait; or the server had other plans for it.
            return
