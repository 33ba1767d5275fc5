"""Runs with nobody behind them, found and got going again: what a worker that died has left.

It is the sweep of `orchestration/overdue.py` for one pool. A gate may be run again at any time, as its job is created
under a key that the server keeps unique; so it need not be known for certain that a worker has died. A job is never
started again from here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterNextScheduledStartTime,
    FlowRunFilterState,
    FlowRunFilterStateName,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound

from carbon_policy.domain.errors import CarbonPolicyError
from carbon_policy.orchestration.overdue import LATE, OverdueKind, find_overdue, re_place, stuck_gates
from carbon_policy.orchestration.runs import all_runs
from carbon_policy.orchestration.waits import wait_again
from carbon_policy.worker.gates import was_taken

LATE_WAIT = "marked-late"

NOBODY_FOR = timedelta(minutes=2)
"""A gate takes seconds. One that has said nothing for so long is taken for dead, unless a team says otherwise."""


def put_back_late(client: SyncPrefectClient, pool: str, now: datetime) -> list[FlowRun]:
    """Put back to wait the runs that Prefect has marked late in the moment in which they were put to wait.

    It looks for late runs, and marks them a moment later whatever they are by then. Such a run waits on, under another
    name and without its plan.

    Args:
        client: A client of the server.
        pool: Name of the work pool.
        now: UTC, by the server's clock.
    """
    late = FlowRunFilter(
        state=FlowRunFilterState(name=FlowRunFilterStateName(any_=[LATE])),
        next_scheduled_start_time=FlowRunFilterNextScheduledStartTime(after_=now),
    )
    found = list(
        all_runs(
            client,
            flow_run_filter=late,
            work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool])),
        )
    )
    return [run for run in found if wait_again(client, run)]


def recover(
    client: SyncPrefectClient,
    pool: str,
    now: datetime,
    is_mine: Callable[[UUID], bool],
    failed: Callable[[FlowRun, Exception], None],
    nobody_for: timedelta = NOBODY_FOR,
    stranded: Sequence[FlowRun] = (),
) -> list[tuple[FlowRun, OverdueKind]]:
    """Get the pool's stuck runs going; returns which, and how they were stuck.

    Args:
        client: A client of the server.
        pool: Name of the work pool.
        now: UTC, by the server's clock.
        is_mine: Whether a run's gate is under way in this worker.
        failed: Told of a run that could not be got going.
        nobody_for: After how long a run is taken to be stuck.
        stranded: Runs that have lost their pool, and are this one's to see to.
    """
    # Of a run on no pool it must be known that a gate took it: else a process may serve its deployment, and has it.
    lost = [one for one in stuck_gates(client, stranded, now, nobody_for) if was_taken(client, one.run)]
    done: list[tuple[FlowRun, OverdueKind]] = []
    for overdue in (*find_overdue(client, now, nobody_for, pool=pool), *lost):
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
