"""Runs with nobody behind them, found and got going again: what a worker that died has left.

It is the sweep of `orchestration/overdue.py` for one pool. A gate may be run again at any time, as its job is created
under a key that the server keeps unique; so it need not be known for certain that a worker has died. A job is never
started again from here.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound

from carbon_policy.domain.errors import CarbonPolicyError
from carbon_policy.orchestration.overdue import OverdueKind, find_overdue, re_place

NOBODY_FOR = timedelta(minutes=2)
"""A gate takes seconds. One that has said nothing for so long is taken for dead."""


def recover(
    client: SyncPrefectClient,
    pool: str,
    now: datetime,
    is_mine: Callable[[UUID], bool],
    failed: Callable[[FlowRun, Exception], None],
    nobody_for: timedelta = NOBODY_FOR,
) -> list[tuple[FlowRun, OverdueKind]]:
    """Get the pool's stuck runs going; returns which, and how they were stuck.

    Args:
        client: A client of the server.
        pool: Name of the work pool.
        now: UTC, by the server's clock.
        is_mine: Whether a run's gate is under way in this worker.
        failed: Told of a run that could not be got going.
        nobody_for: After how long a run is taken to be stuck.
    """
    done: list[tuple[FlowRun, OverdueKind]] = []
    for overdue in find_overdue(client, now, nobody_for, pool=pool):
        # What was not woken is handed out to every worker that asks for due runs, this one too.
        if overdue.kind is OverdueKind.NOT_WOKEN or is_mine(overdue.run.id):
            continue
        try:
            re_place(client, overdue, now)
        except (CarbonPolicyError, ObjectNotFound, httpx.HTTPError) as error:
            failed(overdue.run, error)
            continue
        done.append((overdue.run, overdue.kind))
    return done
