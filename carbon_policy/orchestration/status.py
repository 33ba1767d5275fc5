"""What Prefect reports of the sites: whether their pools hand out work, and how much more each can take now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import StateType, WorkPool, WorkPoolStatus

from carbon_policy.domain.site import Site
from carbon_policy.orchestration.records import quietly

_DEFAULT_QUEUE = "default"
"""Jobs are placed on a pool's default queue."""

TAKES_A_SLOT = (StateType.PENDING, StateType.RUNNING)
"""What Prefect's server counts against a pool's limit when it hands out runs."""


@dataclass(frozen=True)
class Queue:
    """A pool's default queue, as far as it holds jobs back.

    Attributes:
        paused: It hands out nothing.
        free: Runs that it may still hand out; `None` where it has no limit.
    """

    paused: bool = False
    free: int | None = None


class Status:
    """The pools of a server as they are now. Only pools with a limit cost a question, each one."""

    def __init__(self, client: SyncPrefectClient, pools: Mapping[str, WorkPool]) -> None:
        self._client = client
        self._pools = pools
        self._queues: Mapping[str, Queue] | None = None
        self._busy: dict[str, int | None] = {}

    def unusable(self, site: Site) -> str | None:
        """Why no job can be sent to a site now, whatever the job; `None` where it can."""
        pool = self._pools.get(site.work_pool)
        if pool is None:
            return (
                f"Site {site.name} was left out: there is no work pool {site.work_pool!r};"
                " run carbon-policy apply."
            )
        if pool.is_paused:
            return f"Site {site.name} was left out: its work pool {pool.name} is paused."
        if self._queue(pool).paused:
            return f"Site {site.name} was left out: the default queue of its work pool {pool.name} is paused."
        return None

    def asleep(self, site: Site) -> str | None:
        """Why a job sent to a site would wait there for somebody to come; `None` where it would not."""
        pool = self._pools.get(site.work_pool)
        if pool is None or pool.status in (None, WorkPoolStatus.READY):
            return None
        return f"Site {site.name} was left out: its work pool {pool.name} has no worker online."

    def free(self, site: Site) -> int | None:
        """Jobs that a site can take now, by its own capacity, its pool's limit and its queue's.

        `None` without any of these, or where the server does not say how much of them is used: then nothing is held
        against the site.
        """
        pool = self._pools.get(site.work_pool)
        if pool is None:
            return None
        limits = [limit for limit in (site.capacity, pool.concurrency_limit) if limit is not None]
        rooms = [self._below(min(limits), pool.name) if limits else None, self._queue(pool).free]
        return min((room for room in rooms if room is not None), default=None)

    def _below(self, limit: int, pool: str) -> int | None:
        """How many more runs a pool can have; a limit of nought leaves room for none, whatever runs."""
        running = self._running(pool) if limit else 0
        return None if running is None else max(0, limit - running)

    def _running(self, pool: str) -> int | None:
        """Runs of a pool that hold a slot, as the server counts them; `None` where it does not say."""
        if pool not in self._busy:
            holding = FlowRunFilterState(type=FlowRunFilterStateType(any_=list(TAKES_A_SLOT)))
            self._busy[pool] = quietly(
                f"count the runs of work pool {pool}",
                lambda: self._client.count_flow_runs(
                    flow_run_filter=FlowRunFilter(state=holding),
                    work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool])),
                ),
            )
        return self._busy[pool]

    def _queue(self, pool: WorkPool) -> Queue:
        if self._queues is None:
            # A key that may not read them is no reason to decide nothing: then nothing is held against a site.
            self._queues = quietly("read the work queues", lambda: _default_queues(self._client)) or {}
        return self._queues.get(str(pool.default_queue_id), Queue())


def _default_queues(client: SyncPrefectClient) -> dict[str, Queue]:
    """The default queue of every pool, by its id; one question, which the server answers with what is taken."""
    answer = client.request(
        "POST", "/work_queues/filter", json={"work_queues": {"name": {"any_": [_DEFAULT_QUEUE]}}}
    )
    return {str(item["id"]): _as_queue(item) for item in answer.json()}


def _as_queue(item: Mapping[str, object]) -> Queue:
    limit, taken = item.get("concurrency_limit"), item.get("active_slots")
    free = None if limit is None else max(0, int(str(limit)) - int(str(taken or 0)))
    return Queue(paused=bool(item.get("is_paused")), free=free)


def put_to_sleep(sites: Iterable[Site], asleep: Mapping[str, str], reference: str | None) -> tuple[Site, ...]:
    """The sites with those left out that nobody serves; not the reference, where the job would go without us."""
    return tuple(
        site.model_copy(update={"enabled": False}) if site.name in asleep and site.name != reference else site
        for site in sites
    )
