"""Checks of work pools: the one whose runs are placed and who serves it, and those of the sites."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import httpx
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import WorkPool
from prefect.exceptions import ObjectNotFound
from prefect.workers.base import BaseWorker

from carbon_policy.cli.checks.finding import Finding, Level
from carbon_policy.cli.server import online_workers
from carbon_policy.cli.words import counted
from carbon_policy.domain.site import Tier
from carbon_policy.domain.times import format_duration
from carbon_policy.orchestration.directory import Directory, starts_gate
from carbon_policy.orchestration.names import CARBON_POOL, WORKER_TYPE
from carbon_policy.provision.files import GATE_TYPES
from carbon_policy.worker.clock import ServerClock
from carbon_policy.worker.lease import STALE_S, lease_name

_APPLY = "carbon-policy apply"
_MOST_WORKERS = 5


def check_carbon_pool(client: SyncPrefectClient) -> Iterator[Finding]:
    """Whether the pool that places runs is there, and places them."""
    what = f"pool {CARBON_POOL}"
    try:
        pool = client.read_work_pool(CARBON_POOL)
    except ObjectNotFound:
        yield Finding(Level.WARN, what, "it is not there: only decorated flows are placed", _APPLY)
        return
    if pool.type not in GATE_TYPES or not starts_gate(pool):
        yield Finding(Level.FAIL, what, f"of type {pool.type}, it places no runs", _APPLY)
    planner = read_planner(client, pool.name)
    workers = online_workers(client, pool.name)
    yield from _pool(pool, what, [_with_kind(name, planner) for name in workers], needed=True)
    yield from _queues(client, pool, what, needed=True)
    if workers:
        yield _who_plans(pool, planner, workers)


def check_sites(client: SyncPrefectClient, directory: Directory) -> Iterator[Finding]:
    """Whether the policy's sites are there, and can take jobs."""
    if not directory.sites:
        yield Finding(
            Level.FAIL,
            f"policy {directory.policy_name}",
            "it names no site",
            "name some in blocks/policy.yaml",
        )
        return
    names = ", ".join(site.name for site in directory.sites)
    yield Finding(Level.OK, f"policy {directory.policy_name}", f"sites {names}")
    if all(site.tier is not Tier.FAST for site in directory.sites):
        yield Finding(Level.WARN, "sites", "none is fast, so savings are judged against the first of them")
    for site in directory.sites:
        what = f"site {site.name}"
        pool = directory.pools.get(site.work_pool)
        if pool is None:
            yield Finding(Level.FAIL, what, f"there is no work pool {site.work_pool!r}", _APPLY)
        elif starts_gate(pool):
            yield Finding(
                Level.FAIL,
                what,
                f"its work pool {pool.name} places runs, and so runs no job",
                "name another work pool in blocks/sites.yaml",
            )
        else:
            needed = site.tier is Tier.FAST
            yield from _pool(pool, what, online_workers(client, pool.name), needed=needed)
            yield from _queues(client, pool, what, needed=needed)


def _pool(pool: WorkPool, what: str, workers: Sequence[str], *, needed: bool) -> Iterator[Finding]:
    """Whether a pool hands out runs and somebody takes them; without one that is needed, jobs stand still."""
    bad = Level.FAIL if needed else Level.WARN
    if pool.is_paused:
        yield Finding(bad, what, "it is paused", f"prefect work-pool resume {pool.name}")
    if pool.is_push_pool or pool.is_managed_pool:
        yield Finding(Level.OK, what, f"{pool.type} pool {pool.name}, which takes no worker")
        return
    if BaseWorker.get_worker_class_from_type(pool.type) is None:
        yield Finding(Level.WARN, what, f"no worker of its type {pool.type} is installed here")
    online = f"{pool.type} pool {pool.name}, {counted(len(workers), 'worker')} online"
    if workers:
        shown = ", ".join(workers[:_MOST_WORKERS]) + (", ..." if len(workers) > _MOST_WORKERS else "")
        yield Finding(Level.OK, what, f"{online}: {shown}")
    else:
        yield Finding(bad, what, online, f"prefect worker start --pool {pool.name}")


def _queues(client: SyncPrefectClient, pool: WorkPool, what: str, *, needed: bool) -> Iterator[Finding]:
    """Whether a queue of a pool is paused. Jobs are placed on a site's default queue; users' runs may be on any."""
    answer = client.request(
        "POST",
        "/work_pools/{work_pool_name}/queues/filter",
        path_params={"work_pool_name": pool.name},
        json={},
    )
    for queue in answer.json():
        if queue["is_paused"] and not pool.is_paused:
            default = str(queue["id"]) == str(pool.default_queue_id)
            yield Finding(
                Level.FAIL if needed and default else Level.WARN,
                what,
                f"its queue {queue['name']} is paused",
                f"prefect work-queue resume {queue['name']} --pool {pool.name}",
            )


@dataclass(frozen=True)
class Planner:
    """The carbon worker that plans for a pool, by its lease.

    Attributes:
        worker: Its name.
        ago: Since it last said so, by the server's clock.
    """

    worker: str
    ago: timedelta

    @property
    def is_there(self) -> bool:
        """Whether it said so lately enough; after this another takes its place."""
        return self.ago.total_seconds() < STALE_S


def read_planner(client: SyncPrefectClient, pool: str) -> Planner | None:
    """Which worker plans for a pool, or did last; `None` where none does.

    Args:
        client: A client of the server.
        pool: Name of the work pool.
    """
    try:
        answer = client.request("GET", "/variables/name/{name}", path_params={"name": lease_name(pool)})
    except httpx.HTTPStatusError as error:
        if error.response.status_code != httpx.codes.NOT_FOUND:
            raise
        return None
    clock = ServerClock()
    clock.learn(answer)
    lease = answer.json()
    value = lease["value"] if isinstance(lease["value"], dict) else {}
    ago = clock.now() - datetime.fromisoformat(lease["updated"])
    return Planner(str(value.get("worker", "somebody")), max(ago, timedelta(0)))


def _with_kind(worker: str, planner: Planner | None) -> str:
    """A worker's name with its kind, where that shows: the server does not keep it."""
    if worker.startswith("CarbonWorker ") or (
        planner is not None and planner.is_there and worker == planner.worker
    ):
        return f"{worker} ({WORKER_TYPE})"
    return f"{worker} (process)" if worker.startswith("ProcessWorker ") else worker


def _who_plans(pool: WorkPool, planner: Planner | None, workers: Sequence[str]) -> Finding:
    """Whether a carbon worker plans what waits; without one, each run is decided alone, when its time has come."""
    what = f"planner {pool.name}"
    if planner is not None and planner.is_there:
        said = f"{planner.worker} plans the waiting runs; it said so {planner.ago.total_seconds():.0f} s ago"
        return Finding(Level.OK, what, said)
    start = f"prefect worker start --pool {pool.name}" + (
        "" if pool.type == WORKER_TYPE else f" --type {WORKER_TYPE}"
    )
    if planner is not None:
        said = f"{planner.worker} planned until {format_duration(planner.ago)} ago, and nobody does now"
        return Finding(Level.WARN, what, said, start)
    if pool.type == WORKER_TYPE and not all(worker.startswith("ProcessWorker ") for worker in workers):
        said = (
            "none of its workers plans the waiting runs: a carbon-aware one begins within half a minute of its start,"
            " a process worker never does"
        )
        return Finding(Level.WARN, what, said, f"look again; else {start}")
    said = "nobody plans the waiting runs: its process workers start a gate for each when its time has come"
    return Finding(Level.OK, what, said, f"{start} gives it a worker that does")
