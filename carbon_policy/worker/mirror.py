"""Jobs' ends brought to the runs that placed them, and cancellations to the jobs.

A run stays Running while its job is under way, and nothing of this process stands behind it: what is to become of it is
on the server alone, so that any worker can bring its end. Events say at once which job has ended; a look at all that is
under way, a few requests for hundreds of them, finds what no event told of.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import TERMINAL_STATES, FlowRun, State, StateType
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled, Failed

from carbon_policy.orchestration.names import (
    JOB_DELETED,
    LABEL_CHILD,
    LABEL_PARENT,
    LABEL_SITE,
    POOL_GONE,
    TAG_PLACED,
)
from carbon_policy.orchestration.placement import cancel_run, find_child, state_like
from carbon_policy.orchestration.records import add_labels, quietly
from carbon_policy.orchestration.runs import all_runs
from carbon_policy.orchestration.waits import as_said, set_state_if
from carbon_policy.worker.batch import read_runs
from carbon_policy.worker.stranded import LEFT_RUNNING, Stranded, awaits_a_worker

_UNDER_WAY = [
    StateType.SCHEDULED,
    StateType.PENDING,
    StateType.RUNNING,
    StateType.PAUSED,
    StateType.CANCELLING,
]

_RENEW_EVERY_S = 90.0
_LEASE_S = 300.0
"""As long as Prefect's own engine asks for."""

_STARTS_WITHIN = timedelta(seconds=30)
"""A gate that is cancelled may have its job still to create; after this it has, or never will."""


@dataclass
class Seen:
    """What a look at the jobs came to.

    Attributes:
        under_way: Runs whose job is under way.
        ended: Runs that were ended as their job, with the job's id and the name of the state.
    """

    under_way: int = 0
    ended: list[tuple[FlowRun, UUID, str]] = field(default_factory=list)


class Mirror:
    """Brings the ends of a pool's placed jobs.

    Args:
        client: A client of the server.
        pool: Name of the work pool.
        is_mine: Whether a run's gate is under way in this worker.
        stranded: The runs that have lost their pool, and are this one's to see to.
    """

    def __init__(
        self,
        client: SyncPrefectClient,
        pool: str,
        is_mine: Callable[[UUID], bool],
        stranded: Stranded,
    ) -> None:
        self._client = client
        self._pool = pool
        self._is_mine = is_mine
        self._stranded = stranded
        self._renewed: dict[UUID, float] = {}
        # An event and a look at all would else end one run twice.
        self._lock = threading.Lock()

    def jobs_ended(self, jobs: Collection[UUID]) -> Seen:
        """End the runs whose jobs are said to have ended."""
        with self._lock:
            ended = [job for job in read_runs(self._client, list(jobs)) if _is_final(job)]
            parents = self._by_id(_parent_id(job) for job in ended)
            seen = Seen()
            for job in ended:
                parent = parents.get(_parent_id(job))
                # One that is Scheduled or Pending is being retried, and the event is of the end before.
                if parent is not None and self._is_ours(parent) and parent.state_type in LEFT_RUNNING:
                    self._end(parent, job, seen)
            return seen

    def runs_cancelled(self, runs: Collection[UUID]) -> None:
        """Pass cancellations down to the jobs of runs; an end that comes of it is brought as any other."""
        for run in read_runs(self._client, list(runs)):
            if self._is_ours(run) and run.state is not None and run.state.type in _CANCELLED:
                self._cancel_job(run)

    def look(self, now: datetime) -> Seen:
        """Look at all that is under way: bring ends, pass cancellations down, keep the places in limits.

        Args:
            now: UTC, by the server's clock.
        """
        with self._lock:
            seen = Seen()
            parents = [self._linked(run, now) for run in self._running() if not self._is_mine(run.id)]
            jobs = self._by_id(run.labels.get(LABEL_CHILD) for run in parents)
            for parent in parents:
                if LABEL_CHILD not in parent.labels:
                    self._finish_cancelling(parent, now)
                    continue
                job = jobs.get(str(parent.labels[LABEL_CHILD]))
                if job is None:
                    self._end_without_job(parent, seen)
                elif _is_final(job):
                    self._end(parent, job, seen)
                elif job.work_pool_name is None and awaits_a_worker(job):
                    self._end_without_pool(parent, job, seen)
                else:
                    seen.under_way += 1
                    if parent.state is not None and parent.state.type is StateType.CANCELLING:
                        self._cancel(job)
                    self._keep_place(parent)
            self._cancel_orphans()
            here = {parent.id for parent in parents}
            self._renewed = {run_id: at for run_id, at in self._renewed.items() if run_id in here}
            return seen

    def _linked(self, parent: FlowRun, now: datetime) -> FlowRun:
        """A run with the name of its job, also where its gate died, or an answer got lost, before that was written."""
        state = parent.state
        if LABEL_CHILD in parent.labels or state is None or now - state.timestamp < _STARTS_WITHIN:
            return parent
        job = find_child(self._client, parent)
        if job is None:
            return parent
        return self._link(parent, job)

    def _link(self, parent: FlowRun, job: FlowRun) -> FlowRun:
        labels = {LABEL_CHILD: str(job.id), LABEL_SITE: str(job.labels.get(LABEL_SITE, ""))}
        quietly("link the run to its job", lambda: add_labels(self._client, parent.id, labels))
        return parent.model_copy(update={"labels": {**parent.labels, **labels}})

    def _running(self) -> Iterable[FlowRun]:
        # Suspending a run does not suspend its job, whose end is brought all the same.
        types = FlowRunFilterStateType(any_=list(LEFT_RUNNING))
        yield from list(
            all_runs(
                self._client,
                flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=types)),
                work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[self._pool])),
            )
        )
        for run in read_runs(self._client, [run.id for run in self._stranded.live]):
            if self._stranded.takes(run) and run.state_type in LEFT_RUNNING:
                yield run

    def _cancel_orphans(self) -> None:
        """Cancel the jobs of runs that were cancelled without anybody to pass it on."""
        under_way = FlowRunFilterState(type=FlowRunFilterStateType(any_=_UNDER_WAY))
        placed = FlowRunFilter(state=under_way, tags=FlowRunFilterTags(all_=[TAG_PLACED]))
        jobs = list(all_runs(self._client, flow_run_filter=placed))
        parents = self._by_id(_parent_id(job) for job in jobs)
        for job in jobs:
            parent = parents.get(_parent_id(job))
            if parent is not None and self._is_ours(parent) and parent.state_type is StateType.CANCELLED:
                self._cancel(job)

    def _is_ours(self, run: FlowRun) -> bool:
        return run.work_pool_name == self._pool or self._stranded.takes(run)

    def _by_id(self, ids: Iterable[Any]) -> dict[str, FlowRun]:
        wanted = sorted({str(one) for one in ids if one})
        return {str(run.id): run for run in read_runs(self._client, wanted)}

    def _end(self, parent: FlowRun, job: FlowRun, seen: Seen) -> None:
        """End a run as its job did."""
        if job.state is None or parent.state is None or _is_final(parent):
            return
        if LABEL_CHILD not in parent.labels:
            # Where a job is known, its run is never placed anew, whatever becomes of either.
            self._link(parent, job)
        if parent.state.type is StateType.CANCELLING:
            said = f"Its job ended {job.state.name}: {job.state.message or 'no more was said.'}"
            # A run that is cancelling can end no other way.
            state: State[Any] = Cancelled(message=said)
        else:
            state = state_like(job.state, parent.state.message or "")
        self._renewed.pop(parent.id, None)
        if self._set(parent, state):
            seen.ended.append((parent, job.id, str(state.name)))

    def _end_without_job(self, parent: FlowRun, seen: Seen) -> None:
        """End a run whose job's run was deleted. It is not placed again: its process may be running still."""
        job_id = str(parent.labels[LABEL_CHILD])
        try:
            # A list leaves out what cannot be read as well; only this says that it is gone.
            self._client.read_flow_run(UUID(job_id))
        except ObjectNotFound:
            message = (
                f"Its job's run {job_id} was deleted before it ended, and whether its process ended is not known,"
                " so it is not started a second time. To have the job done again, start a new run."
            )
            gone: State[Any] = Failed(name=JOB_DELETED, message=message)
            if parent.state is not None and parent.state.type is StateType.CANCELLING:
                gone = Cancelled(message=message)
            if self._set(parent, gone):
                seen.ended.append((parent, UUID(job_id), str(gone.name)))

    def _end_without_pool(self, parent: FlowRun, job: FlowRun, seen: Seen) -> None:
        """End a job that is to be started on a pool that was deleted, if it still is, and the run that placed it."""
        message = (
            "Its work pool was deleted, or renamed, before the job was started there, and nobody else can start it."
            " To have the job done, start a new run."
        )
        gone: State[Any] = Failed(name=POOL_GONE, message=message)
        if quietly("end a job without a pool", lambda: set_state_if(self._client, job, as_said(gone))):
            self._end(parent, job.model_copy(update={"state": gone, "state_type": gone.type}), seen)

    def _finish_cancelling(self, parent: FlowRun, now: datetime) -> None:
        """End a run that was cancelled before it had a job; Prefect waits for a process that there is not."""
        state = parent.state
        if state is None or state.type is not StateType.CANCELLING or now - state.timestamp < _STARTS_WITHIN:
            return
        self._set(parent, Cancelled(message="Cancelled before its job was started."))

    def _set(self, parent: FlowRun, state: State[Any]) -> bool:
        """Change a run's state; one for which that fails is met again, and holds up no other."""
        return bool(
            quietly("end a run as its job", lambda: self._client.set_flow_run_state(parent.id, state))
        )

    def _cancel_job(self, run: FlowRun) -> None:
        job = find_child(self._client, run)
        if job is not None:
            self._cancel(job)

    def _cancel(self, job: FlowRun) -> None:
        if not _is_final(job):
            quietly("cancel a job with its run", lambda: cancel_run(self._client, job.id))

    def _keep_place(self, parent: FlowRun) -> None:
        """Keep the run's place in its deployment's limit, which is freed where nobody asks for it."""
        lease = parent.state.state_details.deployment_concurrency_lease_id if parent.state else None
        if lease is None or time.monotonic() - self._renewed.get(parent.id, 0.0) < _RENEW_EVERY_S:
            return
        self._renewed[parent.id] = time.monotonic()
        try:
            self._client.renew_concurrency_lease(lease, _LEASE_S)
        except (ObjectNotFound, httpx.HTTPStatusError):
            # The server forgets places when it is restarted; the job is under way all the same.
            return


_CANCELLED = (StateType.CANCELLED, StateType.CANCELLING)


def _is_final(run: FlowRun) -> bool:
    return run.state_type in TERMINAL_STATES


def _parent_id(job: FlowRun) -> str:
    return str(job.labels.get(LABEL_PARENT, ""))
