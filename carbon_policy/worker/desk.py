"""What becomes of due runs: decided as one batch, put to wait with one change of state each, or placed by a gate."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas import OrchestrationResult
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.responses import SetStateStatus, StateWaitDetails
from prefect.states import Running

from carbon_policy.domain.decision import Action, Decision
from carbon_policy.domain.decision_id import decision_id
from carbon_policy.orchestration.deferral import deferrals_of
from carbon_policy.orchestration.records import Outlooks, plan_of
from carbon_policy.orchestration.waits import Wait, put_to_wait
from carbon_policy.orchestration.world import World
from carbon_policy.worker.batch import MOST, Decided, decide_batch, due_runs
from carbon_policy.worker.clock import ServerClock
from carbon_policy.worker.gates import Gates, take
from carbon_policy.worker.journal import Journal, LoggedRun
from carbon_policy.worker.metrics import Metrics
from carbon_policy.worker.moment import Moments

OTHERS_AFTER = timedelta(seconds=5)
"""So long after a run was due the workers that do not plan take it too: the one that does is busy, or gone."""

_TRIES, _LONGEST_S = 3, 5
_WRITERS = 4
"""A server with SQLite answers 503 where many write at once; one with PostgreSQL is as fast with four."""


@dataclass(frozen=True)
class Looked:
    """What a look at the due runs came to.

    Attributes:
        next_due: When the next run is due, UTC; `None` where none is due within the look ahead.
        more: The server had more to hand out than it may at once.
    """

    next_due: datetime | None = None
    more: bool = False


class Desk:
    """Decides a pool's due runs.

    Args:
        client: A client of the server.
        pool: Name of the work pool.
        queues: Names of its queues to serve; all, if empty.
        clock: Tells the server's time.
        moments: Gives what is decided by.
        gates: Place what is to go.
        metrics: Count.
        journal: Logs.

    Attributes:
        policies: The names of the policy blocks by which was decided.
        plans_jointly: Whether a run was met that is planned together with all others.
    """

    def __init__(
        self,
        client: SyncPrefectClient,
        pool: str,
        queues: Collection[str],
        clock: ServerClock,
        moments: Moments,
        gates: Gates,
        metrics: Metrics,
        journal: Journal,
    ) -> None:
        self._client, self._pool, self._queues = client, pool, queues
        self._clock, self._moments, self._gates = clock, moments, gates
        self._metrics, self._journal = metrics, journal
        self._context = contextvars.copy_context()
        self._writers = ThreadPoolExecutor(_WRITERS, thread_name_prefix="carbon-wait")
        self._outlooks = Outlooks(client)
        self.policies: set[str] = set()
        self.plans_jointly = False
        self._one_at_a_time = threading.Lock()

    def look(self, ahead: timedelta, *, plans: bool, at_most: int | None = None) -> Looked:
        """Decide all runs that are due now.

        Args:
            ahead: How far to look ahead for the next one.
            plans: Whether this worker is the one that plans: then it need not take a run to put it to wait.
            at_most: So many gates may be under way; no limit, if not said.
        """
        with self._one_at_a_time, self._metrics.timed("place"):
            now = self._clock.now()
            offered = due_runs(self._client, self._pool, self._queues, now + ahead, self._clock)
            now = self._clock.now()
            self._metrics.polled(now)
            due = [run for run in offered if _due_at(run, now) <= now]
            later = [_due_at(run, now) for run in offered if _due_at(run, now) > now]
            mine = [run for run in due if not self._gates.has(run.id)]
            if not plans:
                later += [_due_at(run, now) + OTHERS_AFTER for run in mine]
                mine = [run for run in mine if now - _due_at(run, now) >= OTHERS_AFTER]
            handled = self._handle(mine, plans=plans, at_most=at_most) if mine else 0
            return Looked(
                min((moment for moment in later if moment > now), default=None),
                more=len(offered) >= MOST and handled > 0,
            )

    def take_over(self, runs: Sequence[FlowRun], *, at_most: int | None = None) -> int:
        """Decide due runs that the server hands to nobody; returns of how many something became.

        Args:
            runs: As the server has them.
            at_most: So many gates may be under way; no limit, if not said.
        """
        with self._one_at_a_time, self._metrics.timed("place"):
            mine = [run for run in runs if not self._gates.has(run.id)]
            return self._handle(mine, plans=True, at_most=at_most) if mine else 0

    def _handle(self, runs: Sequence[FlowRun], *, plans: bool, at_most: int | None) -> int:
        """Decide runs and see to each; returns of how many something became."""
        world = self._moments.now()
        waits = []
        handled = 0
        with self._metrics.deciding():
            for one in decide_batch(self._client, world, runs):
                if plans and one.decision is not None and one.decision.action is Action.DEFER:
                    self._tell(one, world)
                    # While the server writes one, the next is decided.
                    waits.append(self._writers.submit(self._context.copy().run, self._put_to_wait, one))
                elif (at_most is None or self._gates.count < at_most) and self._gates.start(
                    one.run, one.decision, world
                ):
                    handled += 1
                    self._tell(one, world)
                    if one.decision is not None and one.decision.action is Action.RUN and one.decision.site:
                        world.take(one.decision.site)
        self.policies |= world.policies
        self.plans_jointly |= world.plans_jointly
        return handled + sum(bool(wait.result()) for wait in waits)

    def _tell(self, one: Decided, world: World) -> None:
        if one.decision is None:
            return
        self._journal.decided(_logged(one), one.decision)
        self._metrics.decided(one.decision)
        for series in self._outlooks.leave(one.decision):
            self._metrics.outlook_seen(series.zone, series.issued_at, world.now)

    def _put_to_wait(self, one: Decided) -> bool:
        try:
            decision = one.decision
            assert decision is not None  # noqa: S101  The caller has looked.
            waits = put_off(self._client, one.run, decision)
        except Exception as error:  # The others are not held up; it is due still, and decided again.
            self._metrics.api_failed(error)
            self._journal.api_failed("put a run to wait", error, _logged(one))
            return False
        if waits and decision.ask_again_at is not None:
            self._journal.deferred(_logged(one), decision.ask_again_at, deferrals_of(one.run) + 1)
        return waits

    def close(self) -> None:
        """Finish what is being written."""
        self._writers.shutdown(wait=True, cancel_futures=True)


def put_off(client: SyncPrefectClient, run: FlowRun, decision: Decision) -> bool:
    """Put a due run to wait as was decided; returns whether it waits, and was not changed by somebody else.

    A run that a schedule has made, and that never ran, would be deleted with the next change of its deployment, and
    not made anew, as its time has passed. So it is taken first, and begun: that counts as having run.
    """
    until = decision.ask_again_at
    assert until is not None  # noqa: S101  A deferral has its time.
    if run.auto_scheduled and not run.run_count:
        begun = _begin(client, run)
        if begun is None:
            return False
        run = begun
    due_at = decision.evidence.submitted_at
    wait = Wait(
        until=until,
        due_at=due_at,
        # An early start that was found is no deferral.
        deferrals=deferrals_of(run) + (until >= due_at),
        plan=plan_of(decision),
        decision=decision_id(decision),
    )
    return put_to_wait(client, run, until, f"{decision.reason}: {decision.sentence}", wait, decision)


def _begin(client: SyncPrefectClient, run: FlowRun) -> FlowRun | None:
    if not take(client, run):
        return None
    state: State[Any] = Running(name="Deciding")
    for _ in range(_TRIES):
        answer: OrchestrationResult[Any] = client.set_flow_run_state(run.id, state)
        if answer.status is SetStateStatus.ACCEPT:
            return run.model_copy(update={"state": state, "state_type": StateType.RUNNING})
        if not isinstance(answer.details, StateWaitDetails):
            break
        # By the server's clock it is not due yet, for a second or two.
        time.sleep(min(answer.details.delay_seconds, _LONGEST_S))
    return None


def _due_at(run: FlowRun, now: datetime) -> datetime:
    due: datetime | None = run.next_scheduled_start_time
    return due if due is not None else now


def _logged(one: Decided) -> LoggedRun:
    return LoggedRun(one.run.id, one.run.name, one.deployment or None)
