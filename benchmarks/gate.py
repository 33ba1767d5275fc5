"""What a decision costs: latency added to a run, and CPU, beside the same flow run plainly.

One server, one worker a pool, the same trivial flow: deployed plainly on `fast`, and on `carbon`, from where the
gate sends it to `fast` (urgency critical, so that nothing is waited for). The two take turns, so that whatever
else the machine does falls on both. Written to benchmarks/results/gate.json and gate.md.

Run it with `make bench`, or `python benchmarks/gate.py --runs 20`.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from common import RESULTS, machine, write

from carbon_policy.demo.processes import PrefectStack

FLOW = """
from prefect import flow

@flow
def nothing() -> int:
    return 1
"""
TIMEOUT_S = 120


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=10, help="runs of each kind (default 10)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, PrefectStack() as stack:
        # Prefect reads its settings when it is imported.
        os.environ.update({name: value for name, value in stack.env.items() if name.startswith("PREFECT_")})
        results = {
            "machine": machine(),
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "runs_of_each": options.runs,
            "latency_s": latency(stack, Path(folder), options.runs),
            "process_cpu_s": process_cpu(stack, options.runs),
            "decide_cpu_ms": decide_cpu(),
        }
    write(RESULTS, "gate", results, as_markdown(results))


def latency(stack: PrefectStack, folder: Path, runs: int) -> dict[str, Any]:
    """Seconds from a run's creation to the start of the user's code, plainly and through the gate."""
    from prefect.client.orchestration import get_client

    deploy(folder)
    for pool in ("carbon", "fast"):
        stack.start_worker(pool)
    plain, gated = [], []
    with get_client(sync_client=True) as client:
        plain_id = client.read_deployment_by_name("nothing/plain").id
        gated_id = client.read_deployment_by_name("nothing/gated").id
        started(
            client, client.create_flow_run_from_deployment(plain_id).id
        )  # Warms the workers, and the twin.
        started(client, child_of(client, client.create_flow_run_from_deployment(gated_id).id))
        for turn in range(runs):
            created = client.create_flow_run_from_deployment(plain_id)
            plain.append(started(client, created.id) - created.created.timestamp())
            created = client.create_flow_run_from_deployment(gated_id)
            gated.append(started(client, child_of(client, created.id)) - created.created.timestamp())
            print(f"{turn + 1}/{runs}: plain {plain[-1]:.1f} s, gated {gated[-1]:.1f} s", file=sys.stderr)
    return {
        "plain": spread(plain),
        "gated": spread(gated),
        "added": spread([b - a for a, b in zip(plain, gated, strict=True)]),
    }


def deploy(folder: Path) -> None:
    import asyncio

    from prefect import flow

    from carbon_policy.provision.apply import apply
    from carbon_policy.provision.files import Infrastructure

    asyncio.run(apply(Path(__file__).parents[1], Infrastructure.PROCESS))
    (folder / "job.py").write_text(FLOW)
    job: Any = flow.from_source(str(folder), "job.py:nothing")
    quiet: dict[str, Any] = {
        "build": False,
        "push": False,
        "print_next_steps": False,
        "ignore_warnings": True,
    }
    job.deploy(name="plain", work_pool_name="fast", **quiet)
    job.deploy(name="gated", work_pool_name="carbon", job_variables={"urgency": "critical"}, **quiet)


def wait_for(look: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        found = look()
        if found is not None:
            return found
        time.sleep(0.1)
    raise SystemExit(f"Nothing came of it within {TIMEOUT_S} s; is the machine overloaded?")


def started(client: Any, run_id: Any) -> float:
    """When a run's own code began, once it has ended; seconds since the epoch."""

    def look() -> float | None:
        run = client.read_flow_run(run_id)
        return run.start_time.timestamp() if run.state.is_final() else None

    return float(wait_for(look))


def child_of(client: Any, run_id: Any) -> Any:
    from carbon_policy.orchestration.names import LABEL_CHILD

    return wait_for(lambda: client.read_flow_run(run_id).labels.get(LABEL_CHILD))


def process_cpu(stack: PrefectStack, runs: int) -> dict[str, Any]:
    """CPU seconds of a gate's process, of a plain run's process, and of importing Prefect alone."""
    from prefect.client.orchestration import get_client

    def cpu_of(command: list[str], env: dict[str, str]) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, env=stack.env | env, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return (after.ru_utime - before.ru_utime) + (after.ru_stime - before.ru_stime)

    gate, plain, imports = [], [], []
    # No worker may take these runs first: each is started by hand.
    for name in ("carbon-worker", "fast-worker"):
        stack.stop_worker(name)
    with get_client(sync_client=True) as client:
        ids = {name: client.read_deployment_by_name(f"nothing/{name}").id for name in ("plain", "gated")}
        for _ in range(runs):
            for name, module, into in (
                ("plain", "prefect.engine", plain),
                ("gated", "carbon_policy.orchestration.gate", gate),
            ):
                run = client.create_flow_run_from_deployment(ids[name])
                into.append(cpu_of([sys.executable, "-m", module], {"PREFECT__FLOW_RUN_ID": str(run.id)}))
            imports.append(cpu_of([sys.executable, "-c", "import prefect.flow_engine"], {}))
    return {"gate pass": spread(gate), "plain run": spread(plain), "importing Prefect": spread(imports)}


def decide_cpu() -> dict[str, Any]:
    """CPU milliseconds of the decision itself, by the length of the outlook, two sites."""
    import math

    from carbon_policy.domain.decision import Evidence
    from carbon_policy.domain.job import JobSpec
    from carbon_policy.domain.signal import IntensitySeries
    from carbon_policy.domain.site import Site
    from carbon_policy.policies import decide

    start = datetime(2026, 1, 1, tzinfo=UTC)
    sites = (
        Site(name="fast", work_pool="fast", tier="fast", zone="DE", power_w=60),
        Site(name="eco", work_pool="eco", tier="eco", zone="DE", power_w=24, speed=0.5),
    )
    result = {}
    for label, slots, step in (
        ("48 h hourly", 48, "1h"),
        ("48 h half-hourly", 96, "30m"),
        ("168 h in 5 min", 2016, "5m"),
    ):
        values = tuple(300 + 150 * math.sin(k / slots * 40) for k in range(slots))
        series = IntensitySeries(
            zone="DE", start=start, step=step, values_gco2_per_kwh=values, source="benchmark"
        )
        spec = JobSpec(urgency="flexible", expected_duration="4h", finish_within=timedelta(hours=47))
        times = []
        for k in range(200):
            known = Evidence(
                job=str(k), now=start, submitted_at=start, spec=spec, sites=sites, outlook={"DE": series}
            )
            before = time.process_time()
            decide(known)
            times.append((time.process_time() - before) * 1000)
        result[label] = spread(times)
    return result


def spread(values: list[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(values), 3),
        "min": round(min(values), 3),
        "max": round(max(values), 3),
    }


def as_markdown(results: dict[str, Any]) -> str:
    lines = [
        "# What a decision costs",
        "",
        f"Measured by `benchmarks/gate.py` at {results['at']} on {results['machine']};"
        f" {results['runs_of_each']} runs of each kind, taking turns.",
        "",
        "| | median | min | max |",
        "|---|---|---|---|",
    ]
    titles = {
        "latency_s": "Creation to start, {} (s)",
        "process_cpu_s": "CPU of a process, {} (s)",
        "decide_cpu_ms": "CPU of `decide`, {} (ms)",
    }
    for section, text in titles.items():
        for name, figures in results[section].items():
            row = " | ".join(f"{figures[key]:g}" for key in ("median", "min", "max"))
            lines.append(f"| {text.format(name)} | {row} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
