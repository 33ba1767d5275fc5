"""What a carbon worker does all the time: look at due runs, mirror jobs' ends, plan again, and clear up.

Every loop outlives whatever goes wrong in one of its passes. The work itself is plain code with a plain client, in
threads.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection
from contextlib import ExitStack
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

import anyio
from anyio import to_thread
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateName,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_WORKER_PREFETCH_SECONDS

from carbon_policy.domain.decision import Decision
from carbon_policy.orchestration.names import WAITING
from carbon_policy.orchestration.replan import replan
from carbon_policy.orchestration.settings import CarbonSettings
from carbon_policy.worker.ahead import advance, early_starts
from carbon_policy.worker.api_errors import sentence_of
from carbon_policy.worker.batch import MOST
from carbon_policy.worker.clock import ServerClock
from carbon_policy.worker.desk import Desk
from carbon_policy.worker.gates import Gates
from carbon_policy.worker.health import Health, HealthServer
from carbon_policy.worker.journal import Journal, LoggedRun
from carbon_policy.worker.lease import BEAT_S, Lease
from carbon_policy.worker.metrics import Metrics
from carbon_policy.worker.mirror import Mirror, Seen
from carbon_policy.worker.moment import Moments
from carbon_policy.worker.recovery import LATE_WAIT, put_back_late, recover
from carbon_policy.worker.signals import Signals, listen
from carbon_policy.worker.stranded import Stranded
from carbon_policy.worker.watch import Watch

LOOK_EVERY_S = 30.0
"""How often all that is under way is looked at, for what no event told of."""

RECOVER_EVERY_S = 30.0
PLAN_EVERY_S = 60.0
"""How often the world is compared with how it was, and runs that are not due yet are looked at."""

_THREADS = 8

T = TypeVar("T")
Loop = Callable[[], Awaitable[None]]


class Service:
    """One worker's loops.

    Args:
        pool: Name of the work pool.
        queues: Names of its queues to serve; all, if empty.
        worker: Name of the worker.
        logger: The worker's.
        pool_id: Gives the pool's id; `None` while it is not known.
        at_most: So many gates may be under way; no limit but the threads, if not said.
    """

    def __init__(
        self,
        *,
        pool: str,
        queues: Collection[str],
        worker: str,
        logger: logging.Logger | logging.LoggerAdapter[Any],
        pool_id: Callable[[], UUID | None],
        at_most: int | None = None,
    ) -> None:
        self._pool, self._logger, self._pool_id, self._at_most = pool, logger, pool_id, at_most
        self._open = ExitStack()
        self._client = self._open.enter_context(get_client(sync_client=True))
        settings = CarbonSettings()
        self.metrics, self._journal, self._clock = Metrics(), Journal(logger), ServerClock()
        self._recover_after = timedelta(seconds=settings.worker_recover_after_s)
        self._ahead = timedelta(seconds=PREFECT_WORKER_PREFETCH_SECONDS.value())
        self._moments = Moments(self._client, self._clock)
        self._gates = Gates(self._client, settings.worker_threads, partial(self._gate_failed, "place a run"))
        self._desk = Desk(
            self._client, pool, queues, self._clock, self._moments, self._gates, self.metrics, self._journal
        )
        self._stranded = Stranded(self._client, pool, queues)
        self._mirror = Mirror(self._client, pool, self._gates.has, self._stranded)
        self._lease = Lease(self._client, pool, worker)
        self._watch = Watch()
        self._signals = Signals()
        self._limiter = anyio.CapacityLimiter(_THREADS)
        self._waiting = self._placed = 0
        self._looked_at = -LOOK_EVERY_S
        self._error: Exception | None = None
        self._polled: float | None = None
        self.polled_at: datetime = self._clock.now()
        self._scope = anyio.CancelScope()
        self._ready, self._stopped = asyncio.Event(), asyncio.Event()
        self._began = self._closing = self._new_planner = False
        if settings.worker_port is not None:
            server = HealthServer(
                settings.worker_host, settings.worker_port, self.metrics.registry, self._health, logger
            )
            self._open.enter_context(server)

    async def run(self) -> None:
        """Serve until closed."""
        self._began = True
        try:
            with self._scope:
                await self._take_part()
                self._ready.set()
                async with anyio.create_task_group() as loops:
                    loops.start_soon(listen, self._pool_id, self._signals)
                    loops.start_soon(self._again_and_again, BEAT_S, self._take_part)
                    loops.start_soon(self._again_and_again, 0.0, self._look_when_due)
                    loops.start_soon(self._again_and_again, 0.0, self._bring_ends)
                    loops.start_soon(self._again_and_again, RECOVER_EVERY_S, self._clear_up)
                    loops.start_soon(self._again_and_again, PLAN_EVERY_S, self._plan)
        finally:
            self._stopped.set()

    async def ready(self) -> None:
        """Wait until it is known who plans."""
        await self._ready.wait()

    async def drained(self) -> None:
        """Wait until no gate is under way."""
        while self._gates.count:
            await asyncio.sleep(0.1)

    async def close(self) -> None:
        """Finish what is half done, and leave the rest to others."""
        self._closing = True
        self._scope.cancel()
        self._ready.set()
        if self._began:
            await self._stopped.wait()
        await to_thread.run_sync(self._gates.close)
        await to_thread.run_sync(self._desk.close)
        await self._safely("leave the planning to another", self._lease.give_up)
        self._open.close()

    async def poll(self) -> bool:
        """See to the due runs; returns whether the server answered."""
        more = True
        while more:
            looked = await self._safely(
                "ask for due runs",
                partial(self._desk.look, self._ahead, plans=self._lease.held, at_most=self._at_most),
            )
            if looked is None:
                return False
            self._error, self._polled, self.polled_at = None, time.monotonic(), self._clock.now()
            if looked.next_due is not None:
                after_s = (looked.next_due - self._clock.now()).total_seconds()
                asyncio.get_running_loop().call_later(max(0.0, after_s) + 0.05, self._signals.due.set)
            more = looked.more
        return True

    def failed(self, doing: str, error: Exception, run: LoggedRun | None = None) -> None:
        """Something went wrong; it is told, and tried again. One run's trouble is no sickness of the worker."""
        if run is None:
            self._error = error
        self.metrics.api_failed(error)
        self._journal.api_failed(doing, error, run)

    # --- loops

    async def _look_when_due(self) -> None:
        await self._signals.due.wait()
        self._signals.due.clear()
        if not await self.poll():
            await asyncio.sleep(1)

    async def _take_part(self) -> None:
        held = self._lease.held
        plans = bool(await self._safely("see who plans", self._lease.beat))
        self.metrics.plans(plans)
        if plans and not held:
            self._logger.info("This worker plans for the pool %s.", self._pool)
            # Whoever did before may have left anything half done, and what has changed since is not known.
            self._new_planner = True
            self._signals.due.set()
            self._signals.news.set()

    async def _bring_ends(self) -> None:
        await _set_within(self._signals.news, LOOK_EVERY_S)
        self._signals.news.clear()
        ended, cancelled = self._signals.take_ended(), self._signals.take_cancelled()
        if not self._lease.held:
            return
        with self.metrics.timed("mirror"):
            if cancelled:
                await self._safely("pass on a cancellation", partial(self._mirror.runs_cancelled, cancelled))
            if ended:
                self._tell(await self._safely("bring jobs' ends", partial(self._mirror.jobs_ended, ended)))
            if time.monotonic() - self._looked_at >= LOOK_EVERY_S:
                self._looked_at = time.monotonic()
                seen = await self._safely(
                    "look at what is under way", partial(self._mirror.look, self._clock.now())
                )
                self._tell(seen)
                if seen is not None:
                    self._placed = seen.under_way
                    self.metrics.placed(seen.under_way)

    async def _clear_up(self) -> None:
        if not self._lease.held:
            return
        await self._safely("look for runs whose pool is gone", self._take_stranded)
        with self.metrics.timed("recover"):
            found = await self._safely(
                "look for stuck runs",
                lambda: recover(
                    self._client,
                    self._pool,
                    self._clock.now(),
                    self._gates.has,
                    partial(self._gate_failed, "get a stuck run going"),
                    self._recover_after,
                    self._stranded.live,
                ),
            )
            late = await self._safely(
                "put late runs back to wait",
                lambda: put_back_late(self._client, self._pool, self._clock.now()),
            )
        for run in late or []:
            self.metrics.recovered(LATE_WAIT)
            self._journal.recovered(LoggedRun(run.id, run.name), LATE_WAIT)
        for run, kind in found or []:
            self.metrics.recovered(kind.value)
            self._journal.recovered(LoggedRun(run.id, run.name), kind.value)
        if found:
            self._signals.due.set()

    async def _plan(self) -> None:
        if not self._lease.held:
            return
        waiting = await self._safely("count the waiting runs", self._count_waiting)
        if waiting is not None:
            self._waiting = waiting
            self.metrics.waiting(waiting)
        with self.metrics.timed("replan"):
            await self._safely("plan the waiting runs", self._replan_if_changed)
            await self._safely("look at runs that are not due yet", self._advance)

    # --- the work of a pass, in a thread

    def _count_waiting(self) -> int:
        state = FlowRunFilterState(name=FlowRunFilterStateName(any_=list(WAITING)))
        count: int = self._client.count_flow_runs(
            flow_run_filter=FlowRunFilter(state=state),
            work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[self._pool])),
        )
        return count

    def _replan_if_changed(self) -> None:
        world = self._moments.now()
        self._watch.note(self._desk.policies)
        why = self._watch.why(world, self._waiting, jointly=self._desk.plans_jointly)
        if self._new_planner:
            self._new_planner = False
            why.append("Another worker may have planned them.")
        if not why or not self._waiting:
            return
        self._logger.info("The waiting runs are decided again: %s", " ".join(why))
        report = replan(
            self._client,
            self._clock.now(),
            pool=self._pool,
            still=lambda: self._lease.held and not self._closing,
            tell=self._tell_move,
        )
        self._watch.note(report.policies)
        self._desk.plans_jointly |= report.jointly
        self._logger.info(report.sentence)

    def _tell_move(self, run: FlowRun, was: datetime, decision: Decision) -> None:
        self.metrics.decided(decision)
        self._journal.replanned(LoggedRun(run.id, run.name), was, decision)

    def _advance(self) -> None:
        world = self._moments.now()
        for run, decision in advance(self._client, world, early_starts(self._client, self._pool, world)):
            self.metrics.decided(decision)
            self._journal.decided(LoggedRun(run.id, run.name), decision)

    def _take_stranded(self) -> None:
        due = self._stranded.look(self._clock.now())
        # Those that the server hands out are not to wait until thousands of others are decided.
        for begin in range(0, len(due), MOST):
            if self._closing or not self._lease.held:
                return
            self._desk.take_over(due[begin : begin + MOST], at_most=self._at_most)

    # --- telling

    def _tell(self, seen: Seen | None) -> None:
        for run, job, state in seen.ended if seen is not None else []:
            self._journal.mirrored(LoggedRun(run.id, run.name), job, state)

    def _gate_failed(self, doing: str, run: FlowRun, error: Exception) -> None:
        self.failed(doing, error, LoggedRun(run.id, run.name))

    def _health(self) -> Health:
        ago = time.monotonic() - self._polled if self._polled is not None else None
        error = sentence_of(self._error) if self._error is not None else None
        return Health(ago, self._lease.held, self._waiting, self._placed, error)

    async def _safely(self, doing: str, work: Callable[[], T]) -> T | None:
        """Do something in a thread; `None` where it went wrong, which is told."""
        try:
            return await to_thread.run_sync(work, limiter=self._limiter)
        except Exception as error:
            self.failed(doing, error)
            return None

    async def _again_and_again(self, every_s: float, work: Loop) -> None:
        while True:
            await asyncio.sleep(every_s)
            try:
                await work()
            except Exception as error:  # A loop that has ended would be missed by nobody.
                self.failed("go on", error)
                await asyncio.sleep(1)


async def _set_within(event: asyncio.Event, timeout_s: float) -> None:
    """Wait for an event, and no longer than so."""
    with anyio.move_on_after(timeout_s):
        await event.wait()
