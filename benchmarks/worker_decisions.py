"""How many runs a worker decides in a second, beside what the server takes, and beside the gate as a process."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from prefect.client.schemas.objects import FlowRun
from prefect.states import Scheduled
from worker_stand import GATES, SERVER, WORKER, WRITERS, Meter, Stand, a_second, in_threads, say, spread

from carbon_policy.orchestration.names import DEFERRED
from carbon_policy.orchestration.waits import set_state_if

_WITHIN_S = 60
_FEW = 40
_POLL = "get_scheduled_flow_runs"
_DUE_FOR_S = 6


def decisions(on: Stand, runs: int, gates: int) -> dict[str, Any]:
    """Runs that are put to wait, in a second.

    Args:
        on: The server.
        runs: How many.
        gates: How many with a process a gate.
    """
    found = {
        "runs": runs,
        "ceiling": _ceiling(on, runs),
        "all at once": _backlog(on, runs),
        "as they come": _stream(on, runs),
        "process gate": _process_gate(on, gates),
    }
    say(f"{on.kind}: decisions {found}")
    return found


def _ceiling(on: Stand, runs: int) -> dict[str, Any]:
    """Bare changes of state in a second: one that names a run, and one that changes it only if it is as it was."""
    deployment = on.flexible()
    later = datetime.now(UTC) + timedelta(days=2)
    on.create_many(deployment, runs)

    def rate(change: Any) -> dict[str, float]:
        waiting = on.runs(deployment)
        with Meter(on.process(SERVER)) as server:
            in_threads(change, waiting)
        return {
            "a_second": round(len(waiting) / server.seconds, 1),
            "server_cpu_ms": server.ms_for_each_of(len(waiting)),
        }

    state = {"type": "SCHEDULED", "name": "Later", "state_details": {"scheduled_time": later.isoformat()}}
    bare = rate(
        lambda run: on.client.set_flow_run_state(run.id, Scheduled(name="Later", scheduled_time=later))
    )
    found = {"set_state": bare, "set_state_if": rate(lambda run: set_state_if(on.client, run, state))}
    on.forget(deployment)
    return found


def as_it_comes(on: Stand) -> dict[str, Any]:
    """Bare changes of state in a second, by how many threads make them at once."""
    deployment = on.flexible()
    runs = [UUID(on.create(deployment)) for _ in range(_FEW)]
    later = datetime.now(UTC) + timedelta(days=2)
    found = {}
    for threads in (1, 2, WRITERS):
        refused = on.log(SERVER)
        began = time.monotonic()
        in_threads(
            lambda run: on.client.set_flow_run_state(run, Scheduled(name="Later", scheduled_time=later)),
            runs,
            threads,
        )
        found[f"{threads} threads"] = {
            "a_second": round(_FEW / (time.monotonic() - began), 1),
            "refused": refused.count(' HTTP/1.1" 503'),
        }
        say(f"{on.kind}: {threads} threads: {found[f'{threads} threads']}")
    return found


def _backlog(on: Stand, runs: int) -> dict[str, Any]:
    """All runs are there before the worker is, and were due a while ago, as after an outage."""
    deployment = on.flexible()
    on.create_many(deployment, runs)
    time.sleep(_DUE_FOR_S)
    asked = on.log(SERVER)
    on.start_worker()
    began, _ = asked.seen(_POLL, _WITHIN_S)
    with Meter(on.process(WORKER)) as worker, Meter(on.process(SERVER)) as server:
        waiting = on.until_waiting(deployment, runs)
    ended = _last_change(waiting)
    on.forget(deployment)
    return {
        "a_second": a_second(runs, began, ended),
        **_told(waiting),
        "seconds": round((ended - began).total_seconds(), 1),
        "worker_cpu_ms_a_run": worker.ms_for_each_of(runs),
        "server_cpu_ms_a_run": server.ms_for_each_of(runs),
        "requests_a_run": round(asked.requests() / runs, 1),
    }


def _stream(on: Stand, runs: int) -> dict[str, Any]:
    """Runs are created as fast as the server takes them, while the worker is there."""
    deployment = on.flexible()
    asked = on.log(SERVER)
    began = datetime.now(UTC)
    with Meter(on.process(WORKER)) as worker, Meter(on.process(SERVER)) as server:
        on.create_many(deployment, runs)
        created_s = (datetime.now(UTC) - began).total_seconds()
        waiting = on.until_waiting(deployment, runs)
    on.stop_worker()
    on.forget(deployment)
    return {
        "a_second": a_second(runs, began, _last_change(waiting)),
        "created_a_second": round(runs / created_s, 1),
        **_told(waiting),
        "requests_a_run": round(asked.requests() / runs, 1),
        "worker_cpu_ms_a_run": worker.ms_for_each_of(runs),
        "server_cpu_ms_a_run": server.ms_for_each_of(runs),
        "polls": asked.count(_POLL),
        "created_to_waiting_s": spread([(_changed(run) - _created(run)).total_seconds() for run in waiting]),
    }


def _process_gate(on: Stand, runs: int) -> dict[str, Any]:
    """The same with a process worker, which starts a process for each run."""
    deployment = on.flexible(pool=GATES)
    on.create_many(deployment, runs)
    asked = on.log(SERVER)
    on.start_worker(GATES)
    began, _ = asked.seen(_POLL, _WITHIN_S)
    ended = _last_change(on.until_waiting(deployment, runs))
    on.stop_worker()
    on.forget(deployment)
    return {
        "runs": runs,
        "a_second": round(runs / (ended - began).total_seconds(), 2),
        "requests_a_run": round(asked.requests() / runs, 1),
    }


def _told(runs: list[FlowRun]) -> dict[str, int]:
    """How many runs a gate put to wait, and how many the server called late when they waited."""
    return {
        "by_a_gate": sum(run.run_count > 0 for run in runs),
        "called_late": sum(run.state_name != DEFERRED for run in runs),
    }


def _changed(run: FlowRun) -> datetime:
    assert run.state is not None
    moment: datetime = run.state.timestamp
    return moment


def _created(run: FlowRun) -> datetime:
    assert run.created is not None
    moment: datetime = run.created
    return moment


def _last_change(runs: list[FlowRun]) -> datetime:
    return max(_changed(run) for run in runs)
