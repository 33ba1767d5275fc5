"""How fast one worker brings the ends of a thousand jobs to the runs that placed them."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any
from uuid import UUID

from prefect.states import Completed
from worker_stand import SERVER, WORKER, Meter, Stand, a_second, in_threads, say, wait_for

from carbon_policy.orchestration.names import LABEL_CHILD, LABEL_PARENT, LABEL_SITE, TAG_PLACED
from tests.support.bench import FAST

_SETTLED_S = 10.0
_LOOK_S = 2.0
_WITHIN_S = 300


def children(on: Stand, jobs: int) -> dict[str, Any]:
    """Runs whose jobs are under way, and then end as fast as the server takes it.

    Args:
        on: The server.
        jobs: How many.
    """
    parent, child = on.deploy(urgency="critical"), on.deploy(FAST)
    pairs = in_threads(lambda _: _pair(on, parent, child), range(jobs))
    on.start_worker()
    time.sleep(_SETTLED_S)
    asked = on.log(SERVER)
    with Meter(on.process(WORKER)) as worker, Meter(on.process(SERVER)) as server:
        began = time.monotonic()
        in_threads(lambda pair: on.client.set_flow_run_state(pair[1], Completed()), pairs)
        ending_s = time.monotonic() - began
        looks = 0

        def all_ended() -> bool:
            nonlocal looks
            looks += 1
            return on.count(parent, ["Completed"]) >= jobs

        wait_for(all_ended, _WITHIN_S, f"all {jobs} runs end on {on.kind}", _LOOK_S)
    requests = asked.requests() - jobs - looks
    on.stop_worker()
    ends = sorted(run.end_time for run in on.runs(parent) if run.end_time)
    last_job = max(run.end_time for run in on.runs(child) if run.end_time)
    first_job: datetime = min(run.end_time for run in on.runs(child) if run.end_time)
    found = {
        "jobs": jobs,
        "jobs_ended_a_second": round(jobs / ending_s, 1),
        "last job to last run_s": round((ends[-1] - last_job).total_seconds(), 1),
        "runs_ended_a_second": a_second(jobs, first_job, ends[-1]),
        "requests_a_job": round(requests / jobs, 2),
        "worker_cpu_ms_a_job": worker.ms_for_each_of(jobs),
        "server_cpu_ms_a_job": server.ms_for_each_of(jobs),
    }
    on.forget(parent, child)
    say(f"{on.kind}: children {found}")
    return found


def _pair(on: Stand, parent: UUID, child: UUID) -> tuple[UUID, UUID]:
    """A run and its job, both under way."""
    run = on.create(parent, state={"type": "RUNNING", "name": "PlacedFast"})
    job = on.create(
        child, state={"type": "RUNNING"}, tags=[TAG_PLACED], labels={LABEL_PARENT: run, LABEL_SITE: FAST}
    )
    on.client.update_flow_run_labels(UUID(run), {LABEL_CHILD: job, LABEL_SITE: FAST})
    return UUID(run), UUID(job)
