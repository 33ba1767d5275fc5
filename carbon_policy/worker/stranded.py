"""Runs whose work pool is gone, seen to by the pool that their deployment is on now.

A pool cannot be renamed: it is deleted, and made again under another name. From then on the runs that were created on
it are on none, the server hands them to nobody, and nothing can put them on another. Their deployment can be put on
one, though, and whoever serves that pool finds them here.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, StateType

from carbon_policy.orchestration.runs import all_runs, count_without_pool

LEFT_RUNNING = (StateType.RUNNING, StateType.CANCELLING, StateType.PAUSED)
"""The states of a run whose job is under way."""

_PAGE = 200


class Stranded:
    """The runs of a pool's deployments that are on no pool.

    Args:
        client: A client of the server.
        pool: Name of the work pool.
    """

    def __init__(self, client: SyncPrefectClient, pool: str) -> None:
        self._client, self._pool = client, pool
        self._deployments: frozenset[UUID] = frozenset()
        self._under_way: tuple[UUID, ...] = ()

    @property
    def under_way(self) -> Sequence[UUID]:
        """Those whose job was under way at the last look."""
        return self._under_way

    def takes(self, run: FlowRun) -> bool:
        """Whether a run is on no pool and its deployment, at the last look, on this one."""
        return run.work_pool_name is None and run.deployment_id in self._deployments

    def look(self, now: datetime) -> list[FlowRun]:
        """Look for them; returns those that are due.

        Args:
            now: UTC, by the server's clock.
        """
        self._deployments = self._read_deployments()
        if not self._deployments:
            self._under_way = ()
            return []
        self._under_way = tuple(run.id for run in self._find(LEFT_RUNNING))
        before = FlowRunFilterNextScheduledStartTime(before_=now)
        due = self._find([StateType.SCHEDULED], next_scheduled_start_time=before)
        # A paused pool hands out nothing.
        return [] if due and self._client.read_work_pool(self._pool).is_paused else due

    def _read_deployments(self) -> frozenset[UUID]:
        here = WorkPoolFilter(name=WorkPoolFilterName(any_=[self._pool]))
        found: set[UUID] = set()
        while True:
            page = self._client.read_deployments(work_pool_filter=here, limit=_PAGE, offset=len(found))
            found |= {deployment.id for deployment in page}
            if len(page) < _PAGE:
                return frozenset(found)

    def _find(self, types: Sequence[StateType], **more: Any) -> list[FlowRun]:
        wanted = FlowRunFilter(
            deployment_id=FlowRunFilterDeploymentId(any_=sorted(self._deployments)),
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=list(types))),
            **more,
        )
        if not count_without_pool(self._client, wanted):
            return []
        return [run for run in all_runs(self._client, flow_run_filter=wanted) if self.takes(run)]
