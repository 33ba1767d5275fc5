"""What becomes of each job, as the server tells it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterTags
from prefect.client.schemas.objects import FlowRun

from carbon_policy.demo.jobs import DemoJob
from carbon_policy.orchestration.names import (
    LABEL_CHILD,
    LABEL_PARENT,
    LABEL_SITE,
    TAG_PLACED,
    WAITING,
)
from carbon_policy.orchestration.waits import wait_of

# `greener-site: ... On eco: ...`, and when the job has ended, the same in brackets at the end.
_PLACED_BECAUSE = re.compile(r"(?:^|\()[a-z-]+: (?P<sentence>.+?) On ")


@dataclass
class Watched:
    """One job and what is known of it.

    Attributes:
        job: The job.
        run_id: Its run on the carbon pool; `None` until it is due.
        stage: One word: `due later`, `asking`, `deferred`, `starting`, `running`, `done`, or the state of a failure.
        where: The site, once there is one.
        until: While deferred, the moment at which it is asked again, UTC.
        why: The last decision's sentence.
        ended: Whether nothing more is to come.
    """

    job: DemoJob
    run_id: Any = None
    stage: str = "due later"
    where: str = ""
    until: datetime | None = None
    why: str = ""
    ended: bool = False


def look(client: SyncPrefectClient, watched: list[Watched]) -> None:
    """Bring every job up to what the server knows, in two requests."""
    children = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(tags=FlowRunFilterTags(all_=[TAG_PLACED])), limit=200
    )
    child_of = {str(child.labels.get(LABEL_PARENT)): child for child in children}
    runs = {run.id: run for run in client.read_flow_runs(limit=200)}
    for item in watched:
        run = runs.get(item.run_id)
        if run is not None and not item.ended:
            _update(item, run, child_of.get(str(run.id)))


def _update(item: Watched, run: FlowRun, child: FlowRun | None) -> None:
    if child is not None:
        item.why = _placed_because(run) or item.why
        item.where = str(child.labels.get(LABEL_SITE, ""))
        state = child.state
        item.until = None
        if state is None or state.is_scheduled() or state.is_pending():
            item.stage = "starting"
        elif state.is_running():
            item.stage = "running"
        else:
            item.stage = "done" if state.is_completed() else f"{state.name}: {state.message}"
            item.ended = True
        return
    state = run.state
    item.until = None
    if state is not None and state.name in WAITING:
        item.stage = "deferred"
        wait = wait_of(run)
        item.until = wait.until if wait is not None else None
        item.why = (state.message or "").partition(": ")[2]
    elif state is not None and state.is_final() and LABEL_CHILD not in run.labels:
        item.stage, item.ended = f"{state.name}: {state.message}", True
    else:
        item.stage = "asking"


def _placed_because(run: FlowRun) -> str:
    """The sentence with which a run was placed, while its job is under way and after; empty until it is placed."""
    said = _PLACED_BECAUSE.search((run.state.message if run.state is not None else None) or "")
    return said["sentence"] if said is not None else ""
