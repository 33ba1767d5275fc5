"""Flows that put themselves back to wait, by Prefect's means alone (`naive`) and by ours."""

from __future__ import annotations

import atexit
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from prefect import flow, get_client, task
from prefect.exceptions import Pause
from prefect.runtime import flow_run
from prefect.states import Scheduled
from prefect.utilities.engine import propose_state_sync

from carbon_policy import carbon_aware
from carbon_policy.orchestration.deferral import defer_in_place

HOP_S = 2.0


def starts(marker: str) -> int:
    """Note that a process came this far; returns how often one did before."""
    path = Path(marker)
    before = len(path.read_text().splitlines()) if path.exists() else 0
    with path.open("a") as file:
        file.write(f"{flow_run.get_id()} {datetime.now(UTC).isoformat()} -\n")
    return before


def naive(wait_s: float = HOP_S) -> None:
    """What Prefect's own means come to."""
    until = datetime.now(UTC) + timedelta(seconds=wait_s)
    with get_client(sync_client=True) as client:
        state = propose_state_sync(
            client, Scheduled(name="Deferred", scheduled_time=until), flow_run_id=flow_run.get_id()
        )
    raise Pause(state=state)


def ours(wait_s: float = HOP_S) -> None:
    """What carbon-policy does."""
    now = datetime.now(UTC)
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(flow_run.get_id())
        defer_in_place(client, run, now + timedelta(seconds=wait_s), "greener-later: a test.", now)


RECIPES = {"naive": naive, "ours": ours}


@flow
def returning(marker: str) -> Any:
    """`return Scheduled(...)`, which looks as if it ought to do."""
    starts(marker)
    return Scheduled(scheduled_time=datetime.now(UTC) + timedelta(seconds=HOP_S))


@flow
def hopping(
    recipe: str,
    marker: str,
    hops: int = 1,
    wait_s: float = HOP_S,
    exit_code: int | None = None,
    swallow: bool = False,
    fails_at: int | None = None,
) -> str:
    """Defer `hops` times, and then be done; what else happens on the way is the case."""
    before = starts(marker)
    if before < hops:
        if exit_code is not None:
            atexit.register(os._exit, exit_code)
        try:
            RECIPES[recipe](wait_s)
        except Exception:
            if not swallow:
                raise
    if before == fails_at:
        raise ValueError("a real failure")
    return "done"


@flow(retries=1, retry_delay_seconds=0)
def after_retry(recipe: str, marker: str, wait_s: float = HOP_S) -> str:
    """Fail, be retried in this process, defer, and then be done."""
    before = starts(marker)
    if before == 0:
        raise ValueError("a real failure")
    if before == 1:
        RECIPES[recipe](wait_s)
    return "done"


@flow(retries=2, retry_delay_seconds=0)
def with_retries(recipe: str, marker: str) -> str:
    """Two deferrals, a real failure, and then done, where a retry was left."""
    before = starts(marker)
    if before < 2:
        RECIPES[recipe]()
    if before == 2:
        raise ValueError("a real failure")
    return "done"


@task
def deferring_task(wait_s: float) -> None:
    """Deferring where it does not belong."""
    naive(wait_s)


@flow
def in_task(marker: str) -> None:
    """A task that tries to defer its flow."""
    starts(marker)
    deferring_task(600)


@flow
def child() -> None:
    """A subflow that tries to defer itself."""
    naive(600)


@flow
def in_subflow(marker: str) -> None:
    """Its parent."""
    starts(marker)
    child()


@carbon_aware(urgency="flexible", finish_within="1h", expected_duration="1s")
@flow
def aware_child(marker: str) -> str:
    """A decorated subflow."""
    starts(marker)
    return "done"


@flow
def with_aware_child(marker: str) -> str:
    """Its parent."""
    return aware_child(marker)


if __name__ == "__main__":
    # A direct call: `python jobs_deferring.py naive|aware MARKER`.
    import sys

    kind, path = sys.argv[1:3]
    try:
        print(aware_child(path) if kind == "aware" else hopping("naive", path))
    except Pause:
        print("Pause reached the caller")
