"""What the carbon worker does in a second, what it adds to a run, and what thousands of waiting runs cost.

One server and one worker on this machine, each on SQLite and on PostgreSQL, and never on more than what Prefect runs by
default. A run here is of a deployment whose code never runs: what is measured is the placing. The cores are shared by
server, database, worker and this program, so each rate stands beside what the server takes of bare changes of state.

- decisions: runs that wait for a greener hour, created before the worker starts, and while it runs; by a process worker
  that starts a gate for each; and bare changes of state from four threads;
- latency: runs at random moments, on the site's pool directly and placed on it, at Prefect's default polls;
- waiting: a worker with thousands of runs that wait, while nothing changes, and when the forecast does;
- children: jobs under way that all end at once, and the runs that placed them.

Written to benchmarks/results/worker.json and worker.md. Run it with `make bench`, or
`python benchmarks/worker.py --quick` for a first look; `--only latency` and `--on PostgreSQL` take a part.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from common import RESULTS, machine, write
from worker_children import children
from worker_decisions import as_it_comes, decisions
from worker_latency import latency
from worker_stand import POSTGRESQL, SQLITE, SQLITE_AS_IT_COMES, Stand, say, stand
from worker_tables import as_markdown
from worker_waiting import waiting


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        decided: Runs that are decided.
        gates: Of these with a process worker.
        late: Runs of each kind whose latency is measured.
        late_over_s: In which these are created.
        waiting: Runs that wait, by database.
        idle_s: How long nothing changes.
        jobs: Jobs that end at once, by database.
    """

    decided: int
    gates: int
    late: int
    late_over_s: float
    waiting: dict[str, int]
    idle_s: float
    jobs: dict[str, int]


FULL = Size(400, 12, 30, 100, {SQLITE: 2000, POSTGRESQL: 10_000}, 60, {SQLITE: 300, POSTGRESQL: 1000})
QUICK = Size(60, 4, 5, 30, {SQLITE: 100, POSTGRESQL: 500}, 20, {SQLITE: 30, POSTGRESQL: 60})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small numbers; written nowhere")
    parser.add_argument("--only", choices=("decisions", "latency", "waiting", "children"), help="one part")
    parser.add_argument("--on", choices=(SQLITE, POSTGRESQL), help="one database")
    options = parser.parse_args()
    # Whoever ends this ends the server and the worker with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    size = QUICK if options.quick else FULL
    measures: dict[str, Callable[[Stand], Any]] = {
        "decisions": lambda on: decisions(on, size.decided, size.gates),
        "latency": lambda on: latency(on, size.late, size.late_over_s),
        "children": lambda on: children(on, size.jobs[on.kind]),
        "waiting": lambda on: waiting(on, size.waiting[on.kind], size.idle_s, compare=on.kind == POSTGRESQL),
    }
    keeps = not (options.quick or options.only)
    known = RESULTS / "worker.json"
    # One database may be measured anew; what is known of the other stands.
    results: dict[str, Any] = json.loads(known.read_text()) if keeps and options.on and known.exists() else {}
    results |= {
        "machine": machine(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": options.quick,
    }
    with tempfile.TemporaryDirectory() as folder:
        for kind in [options.on] if options.on else [POSTGRESQL, SQLITE]:
            with stand(kind, Path(folder)) as on:
                results[kind] = {
                    name: measured(name, measure, on)
                    for name, measure in measures.items()
                    if options.only in (None, name)
                }
            if keeps:
                # The whole takes a quarter of an hour; what is measured by then is kept.
                write(RESULTS, "worker", results, as_markdown(results))
        if options.only in (None, "decisions") and options.on in (None, SQLITE):
            with stand(SQLITE_AS_IT_COMES, Path(folder)) as on:
                results[SQLITE_AS_IT_COMES] = {"as it comes": measured("as it comes", as_it_comes, on)}
    if keeps:
        write(RESULTS, "worker", results, as_markdown(results))
    else:
        print(as_markdown(results))


def measured(name: str, measure: Callable[[Stand], Any], on: Stand) -> dict[str, Any]:
    """What was measured, with how long it took and what else the machine did."""
    say(f"{on.kind}: {name}")
    began = time.monotonic()
    found: dict[str, Any] = measure(on)
    return {**found, "took_s": round(time.monotonic() - began, 1), "load_after": round(os.getloadavg()[0], 1)}


if __name__ == "__main__":
    main()
