"""What thousands of waiting runs cost: while nothing changes, and when all of them are decided again."""

from __future__ import annotations

import time
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from worker_copies import copy_run
from worker_stand import (
    AWARE,
    BROWN,
    GREEN,
    GREENEST,
    SERVER,
    WORKER,
    Log,
    Meter,
    Stand,
    mib,
    say,
)

from carbon_policy.orchestration.replan import replan, waiting_runs

_WITHIN_S = 600
_TICK_S = 120.0
"""A worker looks every 60 s whether anything has changed, and longer while it does something else."""

_SETTLED_S = 10.0
_LONG = 10
"""One run of so many has a window that reaches to the hour that is greenest in the end."""


def waiting(on: Stand, runs: int, idle_s: float, *, compare: bool) -> dict[str, Any]:
    """A worker and its server with runs that wait.

    Args:
        on: The server.
        runs: How many.
        idle_s: For how long each of the quiet times is measured.
        compare: Measure as well what there is without a worker, and without runs, and what a change does to a tenth.
    """
    found: dict[str, Any] = {"runs": runs, "idle_s": idle_s}
    on.grid_says({6: GREEN})
    short, long = on.flexible("9h"), on.flexible("20h")
    on.start_worker()
    time.sleep(_SETTLED_S)
    if compare:
        found["idle, none waits"] = _idle(on, idle_s / 2)
    examples = {deployment: on.create(deployment, parameters={"number": -1}) for deployment in (short, long)}
    for deployment in examples:
        on.until_waiting(deployment, 1)
    on.stop_worker()

    for deployment, share in ((short, runs - runs // _LONG), (long, runs // _LONG)):
        copy_run(on.url, UUID(examples[deployment]), share)
    if compare:
        found["idle, no worker"] = _idle(on, idle_s / 2, worker=False)
    said = on.log(WORKER)
    on.start_worker()
    # A worker that is new cannot know by what they were planned.
    found["none is moved"] = _decided_again(on, said)
    found["idle, all wait"] = _idle(on, idle_s)
    say(f"{on.kind}: idle {found}")

    found["all are moved"] = _changed(on, {4: GREEN})
    if compare:
        found["a tenth is moved"] = _changed(on, {4: GREEN, 14: GREENEST})
    on.stop_worker()
    found["phases of a re-plan of all"] = _phases(on)
    on.forget(short, long)
    return found


def _idle(on: Stand, seconds: float, *, worker: bool = True) -> dict[str, Any]:
    """CPU and memory while nothing changes."""
    asked = on.log(SERVER)
    with ExitStack() as meters:
        server = meters.enter_context(Meter(on.process(SERVER)))
        placing = meters.enter_context(Meter(on.process(WORKER))) if worker else None
        time.sleep(seconds)
    found: dict[str, Any] = {
        "server_cpu_percent": server.percent,
        "requests_a_minute": round(60 * asked.requests() / server.seconds, 1),
    }
    if placing is not None:
        found["worker_cpu_percent"] = placing.percent
        found["worker_rss_mib"] = [mib(placing.rss_begin), mib(placing.rss_end)]
    return found


def _changed(on: Stand, hours: dict[int, float]) -> dict[str, Any]:
    """Change the forecast, and see the worker decide all again."""
    said = on.log(WORKER)
    on.grid_says(hours)
    return _decided_again(on, said)


def _decided_again(on: Stand, said: Log) -> dict[str, Any]:
    """See the worker decide all again.

    Args:
        on: The server.
        said: The worker's log from where it is waited for.
    """
    asked_at = datetime.now(UTC)
    began, _ = said.seen("are decided again", _TICK_S)
    asked = on.log(SERVER)
    with Meter(on.process(WORKER)) as worker, Meter(on.process(SERVER)) as server:
        ended, line = said.seen(" ms a run", _WITHIN_S, look_s=0.2)
    moved = sum("event=replanned" in line for line in said.lines())
    seconds = (ended - began).total_seconds()
    found = {
        "begun_after_s": round((began - asked_at).total_seconds(), 1),
        "seconds": round(seconds, 1),
        "moved": moved,
        "moved_a_second": round(moved / seconds, 1),
        "requests": asked.requests(),
        "worker_cpu_s": round(worker.cpu_s, 1),
        "server_cpu_s": round(server.cpu_s, 1),
        "worker_rss_mib": [mib(worker.rss_begin), mib(worker.rss_end)],
        "worker_rss_peak_mib": mib(worker.rss_peak),
        "said": line.split(" - ", 1)[-1],
    }
    say(f"{on.kind}: decided again: {found}")
    return found


def _phases(on: Stand) -> dict[str, float]:
    """Seconds to read all waiting runs, and to read and decide them; by a process of its own, after a change."""
    on.grid_says({5: GREEN, 14: BROWN})
    began, cpu = time.monotonic(), time.process_time()
    known = list(waiting_runs(on.client, AWARE))
    read_s, read_cpu_s = time.monotonic() - began, time.process_time() - cpu
    began, cpu = time.monotonic(), time.process_time()
    report = replan(on.client, datetime.now(UTC), pool=AWARE, dry_run=True)
    both_s, both_cpu_s = time.monotonic() - began, time.process_time() - cpu
    say(f"{on.kind}: {report.sentence}")
    return {
        "runs": len(known),
        "read_s": round(read_s, 1),
        "read_cpu_s": round(read_cpu_s, 1),
        "decide_s": round(both_s - read_s, 1),
        "decide_cpu_s": round(both_cpu_s - read_cpu_s, 1),
    }
