"""Checks of the Prefect server: its version and clock, our pools, workers and blocks, and overdue runs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import prefect
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import WorkPool
from prefect.exceptions import ObjectNotFound
from prefect.workers.base import BaseWorker

from carbon_policy.cli.checks.finding import Finding, Level
from carbon_policy.cli.server import online_workers
from carbon_policy.domain.site import Tier
from carbon_policy.orchestration.blocks import CarbonPolicy, CarbonSite
from carbon_policy.orchestration.directory import Directory, source_kinds, starts_gate
from carbon_policy.orchestration.names import CARBON_POOL
from carbon_policy.orchestration.overdue import find_overdue

_MOST_CLOCK_SKEW_S = 5.0
_APPLY = "carbon-policy apply"
_CLOCK_TRIES = 3


def check_api(client: SyncPrefectClient) -> Iterator[Finding]:
    """Whether the server is of our version."""
    theirs, ours = client.api_version(), prefect.__version__
    if theirs == ours:
        yield Finding(Level.OK, "server", f"Prefect {theirs} at {client.api_url}")
    else:
        yield Finding(
            Level.WARN,
            "server",
            f"it is Prefect {theirs}, and here is {ours}",
            f"pip install prefect=={theirs}",
        )


def check_clock(client: SyncPrefectClient) -> Iterator[Finding]:
    """Whether the server's clock is ours: deadlines are set by the one and kept by the other."""
    # A busy server's header may be old when it arrives: the best of a few answers is the truest.
    skews = [skew for skew in (_clock_skew_s(client) for _ in range(_CLOCK_TRIES)) if skew is not None]
    if not skews:
        yield Finding(Level.WARN, "clock", "the server does not tell the time")
        return
    skew_s = min(skews, key=abs)
    if abs(skew_s) <= _MOST_CLOCK_SKEW_S:
        yield Finding(Level.OK, "clock", "the server's and ours agree")
    else:
        way = "ahead of" if skew_s > 0 else "behind"
        yield Finding(
            Level.WARN,
            "clock",
            f"the server's is {abs(skew_s):.0f} s {way} ours",
            "synchronise both by NTP; else runs wait too long, or not long enough",
        )


def _clock_skew_s(client: SyncPrefectClient) -> float | None:
    """How far the server's clock is ahead of ours, seconds; `None` where its answer has no date."""
    asked = datetime.now(UTC)
    answer = client.request("GET", "/health")
    answered = datetime.now(UTC)
    date = answer.headers.get("Date")
    if date is None:
        return None
    # The header has whole seconds, cut off; half a second more is the best guess.
    return (parsedate_to_datetime(date) - asked - (answered - asked) / 2).total_seconds() + 0.5


def check_carbon_pool(client: SyncPrefectClient) -> Iterator[Finding]:
    """Whether the pool that places runs is there, and places them."""
    what = f"pool {CARBON_POOL}"
    try:
        pool = client.read_work_pool(CARBON_POOL)
    except ObjectNotFound:
        yield Finding(Level.WARN, what, "it is not there: only decorated flows are placed", _APPLY)
        return
    if pool.type != "process" or not starts_gate(pool):
        yield Finding(Level.FAIL, what, f"of type {pool.type}, it does not start the gate", _APPLY)
    yield from _pool(client, pool, what, needed=True)


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
                f"its work pool {pool.name} starts the gate, and so no job",
                "name another work pool in blocks/sites.yaml",
            )
        else:
            yield from _pool(client, pool, what, needed=site.tier is Tier.FAST)


def _pool(client: SyncPrefectClient, pool: WorkPool, what: str, *, needed: bool) -> Iterator[Finding]:
    """Whether a pool hands out runs and somebody takes them; without one that is needed, jobs stand still."""
    bad = Level.FAIL if needed else Level.WARN
    if pool.is_paused:
        yield Finding(bad, what, "it is paused", f"prefect work-pool resume {pool.name}")
    if pool.is_push_pool or pool.is_managed_pool:
        yield Finding(Level.OK, what, f"{pool.type} pool {pool.name}, which takes no worker")
        return
    if BaseWorker.get_worker_class_from_type(pool.type) is None:
        yield Finding(Level.WARN, what, f"no worker of its type {pool.type} is installed here")
    workers = online_workers(client, pool.name)
    if workers:
        yield Finding(
            Level.OK,
            what,
            f"{pool.type} pool {pool.name}, {workers} worker{'s' if workers > 1 else ''} online",
        )
    else:
        yield Finding(
            bad,
            what,
            f"{pool.type} pool {pool.name}, no worker online",
            f"prefect worker start --pool {pool.name}",
        )


def check_block_types(client: SyncPrefectClient) -> Iterator[Finding]:
    """Whether the UI can make our blocks."""
    missing = []
    for slug in (CarbonPolicy.get_block_type_slug(), CarbonSite.get_block_type_slug(), *source_kinds()):
        try:
            client.read_block_type_by_slug(slug)
        except ObjectNotFound:
            missing.append(slug)
    if missing:
        yield Finding(
            Level.WARN,
            "block types",
            f"not registered: {', '.join(missing)}",
            "prefect block register -m carbon_policy.collection",
        )
    else:
        yield Finding(Level.OK, "block types", "all are registered")


def check_overdue(client: SyncPrefectClient) -> Iterator[Finding]:
    """Whether somebody waits in vain."""
    found = find_overdue(client, datetime.now(UTC))
    if found:
        yield Finding(Level.WARN, "runs", f"{len(found)} overdue", "carbon-policy overdue --fix")
    else:
        yield Finding(Level.OK, "runs", "none is overdue")
