"""What a placed run is later by than the same run created on the site's pool, at Prefect's default polls."""

from __future__ import annotations

import random
import threading
import time
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import SetStateStatus
from prefect.states import Completed, Pending, Running
from prefect.utilities.math import clamped_poisson_interval
from worker_stand import FAST_ONLY, Stand, in_threads, say, spread

from carbon_policy.orchestration.names import LABEL_CHILD, LABEL_PARENT
from tests.support.bench import ECO, FAST

POLL_S = 10.0
_JITTER = 0.3
_PREFETCH = timedelta(seconds=10)


def latency(on: Stand, runs: int, over_s: float) -> dict[str, Any]:
    """Seconds from a run's creation to its job on the site's pool, and to the job's start, in both ways.

    Args:
        on: The server.
        runs: Of each kind.
        over_s: They are created at random moments within so long.
    """
    plain = on.deploy(FAST)
    placed = on.deploy(urgency="normal", policy_block=FAST_ONLY, wait=True)
    on.start_worker()
    with SiteWorker(on.client):
        # The first one makes the twin, and is not counted.
        on.create(placed)
        on.until("the first run is placed", placed, ["Completed"], 1)
        began = time.monotonic()
        moments = sorted((random.uniform(0, over_s), kind) for kind in [plain, placed] * runs)
        for after_s, deployment in moments:
            time.sleep(max(0.0, began + after_s - time.monotonic()))
            on.create(deployment)
        on.until("plain runs end", plain, ["Completed"], runs)
        on.until("placed runs end", placed, ["Completed"], runs + 1)
    on.stop_worker()
    parents = sorted(on.runs(placed), key=lambda run: run.created or datetime.now(UTC))[1:]
    jobs = {
        str(job.labels[LABEL_PARENT]): job
        for job in in_threads(
            lambda run: on.client.read_flow_run(UUID(str(run.labels[LABEL_CHILD]))), parents
        )
    }
    plain_s = [_seconds(run, run.start_time) for run in on.runs(plain)]
    placed_s = [_seconds(run, jobs[str(run.id)].start_time) for run in parents]
    found = {
        "runs_of_each": runs,
        "poll_s": POLL_S,
        "to the job's run on the site's pool": spread(
            [_seconds(run, jobs[str(run.id)].created) for run in parents]
        ),
        "to its start, placed": spread(placed_s),
        "to its start, plain": spread(plain_s),
        "to the parent's end, after the job's": spread(
            [_since(run.end_time, jobs[str(run.id)].end_time) for run in parents]
        ),
    }
    on.forget(plain, placed)
    say(f"{on.kind}: latency {found}")
    return found


def _seconds(run: FlowRun, until: datetime | None) -> float:
    return _since(until, run.created)


def _since(later: datetime | None, earlier: datetime | None) -> float:
    assert later is not None
    assert earlier is not None
    return (later - earlier).total_seconds()


class SiteWorker:
    """A stand-in for the worker of a site's pool, without the seconds of a process: it polls as Prefect's do.

    It takes what is due, says that it runs, and ends it.
    """

    def __init__(self, client: SyncPrefectClient) -> None:
        self._client = client
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _work(self) -> None:
        while True:
            for pool in (FAST, ECO):
                self._take_due(pool)
            if self._over.wait(clamped_poisson_interval(POLL_S, clamping_factor=_JITTER)):
                return

    def _take_due(self, pool: str) -> None:
        answer = self._client.request(
            "POST",
            "/work_pools/{name}/get_scheduled_flow_runs",
            path_params={"name": pool},
            json={"scheduled_before": (datetime.now(UTC) + _PREFETCH).isoformat()},
        )
        for item in answer.json():
            run_id = UUID(item["flow_run"]["id"])
            if self._client.set_flow_run_state(run_id, Pending()).status is SetStateStatus.ACCEPT:
                self._client.set_flow_run_state(run_id, Running())
                self._client.set_flow_run_state(run_id, Completed())
