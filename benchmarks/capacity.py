"""A week's queue planned together under the sites' capacities, beside greedy placement of each job by itself.

Jobs are drawn from Alibaba's PAI trace (`jobs_pai_100k.csv.gz`, from umassos/GAIA), their arrivals folded into one
week of half-hour slots with hour and weekday kept; three sites stand in three zones of the real intensity trace.
Greedy gives each job its own greenest window, blind to the others (its overload is counted), or, as a team could do,
the greenest one that is free when its turn comes. Power is proportional to the job's CPUs, as in GAIA; a job takes
one place of a site.

Each size runs in a process of its own, so that its peak of memory is its own. The gap is against the Lagrangian bound,
which is never above the bound of the linear program; so the gap to that is smaller still.
Written to benchmarks/results/capacity.json, .md and .png:
`python benchmarks/capacity.py --jobs 1000 10000 --zones DE GB US-CAL-CISO --week 2023-03-06`.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from common import RESULTS, machine, write

from carbon_policy.domain.job import Urgency
from carbon_policy.planning.booking import Booking
from carbon_policy.planning.fleet import RANK, plan_fleet
from carbon_policy.planning.problem import FleetJob, FleetProblem, FleetSite
from carbon_policy.planning.queue import as_queue, capacities
from carbon_policy.planning.search import Search

STEP = timedelta(minutes=30)
HOURS = 168
SLOTS = 336
KW_PER_CPU = 0.1
SPEED = {"fast": 1.0, "eco": 0.8, "gpu": 1.25}
SHARE = {"fast": 0.4, "eco": 0.3, "gpu": 0.3}
URGENCIES = ((Urgency.CRITICAL, 0.1, 2), (Urgency.NORMAL, 0.3, 12), (Urgency.FLEXIBLE, 0.6, 48))
"""Urgency, its share of the jobs, and the slots that it leaves beside the longest of its durations."""

INTERRUPTIBLE = 0.3
RESTART_SLOTS = 0.05
SEED = 0


def main() -> None:
    """Run what the arguments ask for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the traces")
    parser.add_argument(
        "--trace", default="grid_hourly_2021_2023.csv.gz", help="hourly intensities, in --data"
    )
    parser.add_argument("--queue", default="jobs_pai_100k.csv.gz", help="the jobs, in --data")
    parser.add_argument("--jobs", type=int, nargs="+", default=[1000, 2500, 10_000, 25_000, 50_000])
    parser.add_argument("--zones", nargs=3, default=["DE", "GB", "US-CAL-CISO"], help="of fast, eco and gpu")
    parser.add_argument("--week", default="2023-03-06", help="its first day, UTC")
    parser.add_argument(
        "--load", type=float, default=0.7, help="work at full speed, as a share of all places"
    )
    parser.add_argument("--time-limit", type=float, default=600.0, help="of a plan, seconds")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one is not None:
        json.dump(measure(args, args.one), sys.stdout)
        return
    runs = []
    for jobs in args.jobs:
        command = [sys.executable, __file__, *sys.argv[1:], "--one", str(jobs)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        runs.append(json.loads(done.stdout[done.stdout.index("{") :]))
        print(row(runs[-1]), file=sys.stderr)
    results = {
        "machine": machine(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "zones": args.zones,
        "week": args.week,
        "load": args.load,
        "runs": runs,
    }
    write(args.output, "capacity", results, as_markdown(results))
    plot(results, args.output / "capacity.png")


def fleet(args: argparse.Namespace, count: int) -> FleetProblem:
    """The queue of `count` jobs on three sites."""
    rng = np.random.default_rng(SEED)
    trace = pd.read_csv(args.data / args.queue)
    # The 1k file counts in seconds and the 100k file in hours; no AI job's median is a day, or some seconds.
    hours = 1.0 if trace.length.median() < 24 else 1 / 3600
    drawn = trace.iloc[np.sort(rng.choice(len(trace), count, replace=count > len(trace)))]
    arrival = np.floor(drawn.arrival_time.to_numpy() * hours % HOURS * 2).astype(int)
    length = drawn.length.to_numpy() * hours * 2
    slots = {name: np.maximum(1, np.ceil(length / speed)).astype(int) for name, speed in SPEED.items()}
    urgency = rng.choice(len(URGENCIES), count, p=[share for _, share, _ in URGENCIES])
    interruptible = rng.random(count) < INTERRUPTIBLE
    places = np.minimum(slots["fast"], SLOTS).sum() / SLOTS / args.load
    grid = pd.read_csv(args.data / args.trace)
    sites = []
    for name, zone in zip(SPEED, args.zones, strict=True):
        values = grid[(grid.zone == zone) & (grid.timestamp >= args.week)].gco2_per_kwh.to_numpy()[:HOURS]
        sites.append(FleetSite(name, values.repeat(2), capacity=int(np.ceil(places * SHARE[name]))))
    jobs = []
    for index in range(count):
        urgent, _, slack = URGENCIES[urgency[index]]
        durations = {name: int(slots[name][index]) for name in SPEED}
        window = max(durations.values()) + slack
        # A job that comes at the end of the week has its window before it: this plan ends with the week.
        first = max(0, min(int(arrival[index]), SLOTS - window))
        power = {
            name: KW_PER_CPU * float(drawn.cpus.iloc[index]) * length[index] / SPEED[name] / durations[name]
            for name in SPEED
        }
        jobs.append(
            FleetJob(
                name=f"pai-{index}",
                urgency=urgent,
                first_slot=first,
                deadline_slot=min(SLOTS, first + window),
                duration_slots=durations,
                interruptible=bool(interruptible[index]),
                power_kw=power,
                restart_slots=RESTART_SLOTS,
            )
        )
    return FleetProblem(
        STEP, datetime.fromisoformat(args.week).replace(tzinfo=UTC), tuple(sites), tuple(jobs)
    )


def measure(args: argparse.Namespace, count: int) -> dict[str, Any]:
    """One plan, and greedy beside it."""
    problem = fleet(args, count)
    places = capacities(problem, ceilings=True)
    wall, cpu = time.perf_counter(), time.process_time()
    plan = plan_fleet(problem, time_limit_s=args.time_limit)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    usage = np.zeros_like(places)
    names = [site.name for site in problem.sites]
    for run in plan.assignments:
        if run.site is not None:
            usage[names.index(run.site), list(run.slots)] += 1
    queue = as_queue(problem)
    blind = Search(queue).best(np.zeros(places.shape))
    crowd = blind.usage(*places.shape)
    turns, left_out = in_turn(problem)
    shown = count == min(args.jobs, key=lambda jobs: abs(jobs - 10_000))
    return {
        "jobs": count,
        "places": places[:, 0].tolist(),
        "wall_s": round(wall, 2),
        "cpu_s": round(cpu, 2),
        "peak_mb": round(peak_mb),
        "objective_gco2": plan.objective_gco2,
        "bound_gco2": plan.bound_gco2,
        "gap": plan.gap,
        "sacrificed": len(plan.sacrifices),
        "out_of_time": plan.out_of_time,
        "steps": plan.steps,
        "exchanges": plan.exchanges,
        "full_share": float(np.mean(usage == places)),
        "over_capacity": int(np.maximum(usage - places, 0).sum()),
        "peak": usage.max(axis=1).tolist(),
        "greedy": {
            "objective_gco2": float(blind.value.sum()),
            "peak": crowd.max(axis=1).tolist(),
            "peak_of_capacity": float((crowd / places).max()),
            "slots_over_capacity": int((crowd > places).sum()),
            "job_slots_over_capacity": int(np.maximum(crowd - places, 0).sum()),
            "job_slots": int(crowd.sum()),
            "jobs_in_overload": jobs_in_overload(blind, crowd > places),
        },
        "greedy_in_turn": {"objective_gco2": turns, "left_out": left_out},
        "usage": usage.tolist() if shown else None,
        "greedy_usage": crowd.tolist() if shown else None,
    }


def jobs_in_overload(runs: Any, over: Any) -> int:
    """How many jobs have at least a slot in which their site has more jobs than places."""
    return sum(bool(over[site, runs.slots_of(job)].any()) for job, site in enumerate(runs.site.tolist()))


def in_turn(problem: FleetProblem) -> tuple[float, int]:
    """Greedy that sees capacity: in the order of arrival, each job its greenest window that is still free."""
    queue = as_queue(problem)
    booking = Booking(
        queue, np.array([RANK[job.urgency] for job in problem.jobs]), capacities(problem, ceilings=True)
    )
    none = np.zeros(booking.room.shape)
    for job in np.argsort(queue.first, kind="stable").tolist():
        found = Search(queue.only(np.array([job]))).best(none, booking.room > 0)
        if found.site[0] >= 0:
            booking.put(job, (int(found.site[0]), found.slots_of(0)))
    return float(booking.gco2.sum()), len(booking.waiting())


def row(run: dict[str, Any]) -> str:
    greedy, turns = run["greedy"], run["greedy_in_turn"]
    cells = [
        f"{run['jobs']:,}",
        f"{run['gap']:.2%}",
        f"{run['wall_s']:.1f}",
        f"{run['cpu_s']:.1f}",
        f"{run['cpu_s'] / run['jobs'] * 1000:.2f}",
        f"{run['peak_mb']:,}",
        f"{run['sacrificed']}",
        f"{run['over_capacity']}",
        f"{greedy['jobs_in_overload']:,} ({greedy['jobs_in_overload'] / run['jobs']:.0%})",
        f"{greedy['peak_of_capacity']:.1f} x",
        f"{greedy['objective_gco2'] / run['objective_gco2'] - 1:+.1%}",
        f"{turns['objective_gco2'] / run['objective_gco2'] - 1:+.1%} / {turns['left_out']:,}",
    ]
    return "| " + " | ".join(cells) + " |"


def as_markdown(results: dict[str, Any]) -> str:
    header = (
        "| jobs | gap | wall s | CPU s | CPU ms a job | peak MB | sacrificed | over capacity"
        " | greedy: jobs in overload | greedy: peak of capacity | greedy: grams"
        " | in turn: grams / jobs without a place |"
    )
    lines = [
        "# The whole queue under capacity",
        "",
        f"Measured by `benchmarks/capacity.py` at {results['at']} on {results['machine']}: a week of half-hour slots"
        f" from {results['week']}, three sites in {', '.join(results['zones'])}; the work at full speed is"
        f" {results['load']:.0%} of all places.",
        "",
        header,
        "|" + "---|" * 12,
        *(row(run) for run in results["runs"]),
        "",
        "Gap: of the plan to a bound that no plan can beat. Greedy gives each job its own greenest window, blind to the"
        " others: fewer grams on paper, on places that are not there. *In turn* sees what is taken, job after job: its"
        " grams lack those of the jobs that it leaves without a place in their window.",
        "",
    ]
    return "\n".join(lines)


def plot(results: dict[str, Any], path: Path) -> None:
    """Jobs at each site over the week, plan and greedy, and growth."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    shown = next(run for run in results["runs"] if run["usage"] is not None)
    figure, axes = plt.subplots(4, 1, figsize=(10, 11), constrained_layout=True)
    days = np.arange(SLOTS) / 48
    for axis, name, zone, plan, greedy, places in zip(
        axes, SPEED, results["zones"], shown["usage"], shown["greedy_usage"], shown["places"], strict=False
    ):
        axis.fill_between(days, greedy, step="post", color="tab:orange", alpha=0.4, label="greedy, blind")
        axis.fill_between(days, plan, step="post", color="tab:green", alpha=0.7, label="planned together")
        axis.axhline(places, color="black", linestyle="--", label=f"capacity, {places}")
        axis.set(
            ylabel="jobs", title=f"{name} ({zone}), {shown['jobs']:,} jobs", xlim=(0, 7), yscale="symlog"
        )
        # A symmetric logarithmic axis would show as much below nought.
        axis.set_ylim(0, 3 * axis.get_ylim()[1])
        axis.legend(loc="upper left", fontsize="small", ncols=3)
    axes[2].set_xlabel("day")
    jobs = [run["jobs"] for run in results["runs"]]
    axes[3].plot(jobs, [run["cpu_s"] for run in results["runs"]], marker="o", label="CPU seconds")
    axes[3].plot(jobs, [run["wall_s"] for run in results["runs"]], marker="s", label="seconds")
    axes[3].set(xlabel="jobs", ylabel="s", title="Growth", xscale="log", yscale="log")
    axes[3].legend(loc="upper left", fontsize="small")
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
