"""Runs whose work pool is gone, seen to by the pool that their deployment is on now.

A pool cannot be renamed: it is deleted, and made again under another name. From then on the runs that were created on
it are on none, the server hands them to nobody, and nothing can put them on another. Their deployment can be put on
one, though, and whoever serves that pool finds them here. What the server holds back of a pool - paused pools and
queues, limits - is held back of these as well.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterNextScheduledStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterWorkQueueName,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, StateType

from carbon_policy.orchestration.names import LABEL_CHECKPOINT, PLACED
from carbon_policy.orchestration.runs import all_deployments, all_runs, count_without_pool

LEFT_RUNNING = (StateType.RUNNING, StateType.CANCELLING, StateType.PAUSED)
"""The states of a run whose job is under way."""

_LIVE = (StateType.PENDING, *LEFT_RUNNING)
_IN_A_PLACE = (StateType.PENDING, StateType.RUNNING)
"""The states that the server counts against a limit."""


def awaits_a_worker(run: FlowRun) -> bool:
    """Whether a run is to be started by a worker: one that its own process retries after a pause is not."""
    return run.state_type is StateType.SCHEDULED and run.empirical_policy.retry_type != "in_process"


class Stranded:
    """The runs of a pool's deployments that are on no pool.

    Args:
        client: A client of the server.
        pool: Name of the work pool.
        queues: Names of its queues to serve; all, if empty.
    """

    def __init__(self, client: SyncPrefectClient, pool: str, queues: Collection[str] = ()) -> None:
        self._client, self._pool, self._queues = client, pool, frozenset(queues)
        self._on_pool = WorkPoolFilter(name=WorkPoolFilterName(any_=[pool]))
        self._queue_of: Mapping[UUID, str] = {}
        self._live: tuple[FlowRun, ...] = ()

    @property
    def live(self) -> Sequence[FlowRun]:
        """Those that were Pending, or had their job under way, at the last look."""
        return self._live

    def takes(self, run: FlowRun) -> bool:
        """Whether a run is on no pool and its deployment, at the last look, on this one."""
        return run.work_pool_name is None and run.deployment_id in self._queue_of

    def look(self, now: datetime) -> list[FlowRun]:
        """Look for them; returns those that are due and may start, the longest overdue first.

        Args:
            now: UTC, by the server's clock.
        """
        before = FlowRunFilterNextScheduledStartTime(before_=now)
        live, due = _in_states(_LIVE), _in_states([StateType.SCHEDULED], next_scheduled_start_time=before)
        some_live, some_due = (count_without_pool(self._client, wanted) for wanted in (live, due))
        # Deployments are large to read, and mostly nothing is stranded.
        self._queue_of = self._read_deployments() if some_live or some_due else {}
        self._live = tuple(self._read(live)) if self._queue_of and some_live else ()
        if not self._queue_of or not some_due:
            return []
        found = [run for run in self._read(due) if awaits_a_worker(run) and not _is_half_way(run)]
        return self._room_for(sorted(found, key=lambda run: (run.next_scheduled_start_time or now, run.id)))

    def _read_deployments(self) -> dict[UUID, str]:
        """The pool's deployments, and the queue of each."""
        found = all_deployments(self._client, work_pool_filter=self._on_pool)
        return {deployment.id: str(deployment.work_queue_name) for deployment in found}

    def _read(self, wanted: FlowRunFilter) -> list[FlowRun]:
        ids = FlowRunFilterDeploymentId(any_=sorted(self._queue_of))
        ours = wanted.model_copy(update={"deployment_id": ids})
        if not count_without_pool(self._client, ours):
            return []
        return [run for run in all_runs(self._client, flow_run_filter=ours) if self.takes(run)]

    def _room_for(self, due: Sequence[FlowRun]) -> list[FlowRun]:
        """As many as the server would hand out, were they on the pool."""
        if not due:
            return []
        pool = self._client.read_work_pool(self._pool)
        if pool.is_paused:
            return []
        queues = {queue.name: queue for queue in self._client.read_work_queues(self._pool)}
        here = Counter(self._queue(run) for run in self._live if run.state_type in _IN_A_PLACE)
        free = self._free(pool.concurrency_limit, here.total())
        free_of = {
            name: self._free(queue.concurrency_limit, here[name], name) for name, queue in queues.items()
        }
        found: list[FlowRun] = []
        for run in due:
            name = self._queue(run)
            held = name not in queues or queues[name].is_paused or (self._queues and name not in self._queues)
            if held or free_of[name] <= 0 or len(found) >= free:
                continue
            free_of[name] -= 1
            found.append(run)
        return found

    def _queue(self, run: FlowRun) -> str:
        assert run.deployment_id is not None  # noqa: S101  By its deployment it was found.
        return self._queue_of[run.deployment_id]

    def _free(self, limit: int | None, taken_here: int, queue: str | None = None) -> float:
        """The places that are left by the limit of the pool, or of one of its queues."""
        if limit is None:
            return math.inf
        name = FlowRunFilterWorkQueueName(any_=[queue]) if queue is not None else None
        wanted = _in_states(_IN_A_PLACE, work_queue_name=name)
        taken: int = self._client.count_flow_runs(flow_run_filter=wanted, work_pool_filter=self._on_pool)
        return limit - taken - taken_here


def _in_states(types: Sequence[StateType], **more: Any) -> FlowRunFilter:
    return FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(types))),
        # Subflows have neither pool nor deployment, and may be many.
        deployment_id=FlowRunFilterDeploymentId(is_null_=False),
        **more,
    )


def _is_half_way(run: FlowRun) -> bool:
    """Whether what it has done is its own run's: a job of its own would begin anew."""
    return LABEL_CHECKPOINT in run.labels or PLACED in (run.job_variables or {})
