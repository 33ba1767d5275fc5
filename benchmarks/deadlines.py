"""Are deadlines kept: random jobs under wrong forecasts, overruns and outages, decided again every hour.

10,000 jobs of random length, window and submission on the zones of a trace. Each is put through the real `decide`:
when it is due, and then every hour, with the plan that it has, until it runs. Against it work

- forecast errors: an AR(1) process along lead with a correlation of 0.93 an hour, whose size grows with the square
  root of the lead and whose bands the policy is told (grid-facts 3.4: CarbonCast's errors of 5 to 13 % after a day);
- overruns: durations are lognormal; the policy is told the median and the 90th percentile, as learnt from past runs;
- outages: the source answers nothing for stretches of hours, up to days.

A job is keepable if, run at once on `fast`, it would have ended in time. A late keepable job counts as missed where
it took no longer than its 90th percentile, which is what a deadline is held against; one that overran further is
beyond what anyone could know, and is reported apart. Written to benchmarks/results/deadlines.json and .md. Run it
with `python benchmarks/deadlines.py`; `--jobs 500` for a first look.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from common import RESULTS, write

from carbon_policy.domain.decision import Action, Decision, Evidence, Plan
from carbon_policy.domain.estimate import Estimate, EstimateBasis
from carbon_policy.domain.job import JobSpec
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.domain.site import Site, Tier
from carbon_policy.policies import decide

HORIZON_H = 96
CORRELATION = 0.93
ERROR_AFTER_A_DAY = (0.05, 0.13)
LEVELS = {0.75: 0.6745, 0.9: 1.2816}
SIGMA = (
    0.05,
    0.5,
)  # Of the logarithm of a duration: from jobs as regular as clocks to ones that vary by two thirds.
ON_TIME = timedelta(seconds=1)
SITES = {
    "fast": (Tier.FAST, 60.0, 1.0),
    "eco": (Tier.ECO, 24.0, 0.5),
    "eco-elsewhere": (Tier.ECO, 20.0, 0.6),
}


@dataclass(frozen=True)
class Job:
    """One random job; hours count from the start of the trace.

    Attributes:
        spec: What is said of it.
        zones: Of the reference, and of the site elsewhere.
        due_h: When it is submitted.
        log_sigma: Spread of its durations.
        overrun: Its true duration over the median.
        outages: Stretches without a signal, hours.
    """

    spec: JobSpec
    zones: tuple[str, str]
    due_h: float
    log_sigma: float
    overrun: float
    outages: tuple[tuple[float, float], ...]

    @property
    def high(self) -> float:
        """The 90th percentile of its duration over the median."""
        return math.exp(LEVELS[0.9] * self.log_sigma)


class World:
    """The true grid, and forecasts of it that err."""

    def __init__(self, trace: Path) -> None:
        frame = pd.read_csv(trace)
        self.start = pd.to_datetime(frame["timestamp"].iloc[0], utc=True).to_pydatetime()
        self.truth = {str(zone): part["gco2_per_kwh"].to_numpy(float) for zone, part in frame.groupby("zone")}
        self.hours = min(map(len, self.truth.values()))

    def outlook(
        self, zone: str, now_h: int, error: float, rng: np.random.Generator
    ) -> tuple[IntensitySeries, dict[float, tuple[float, ...]]]:
        """A forecast from an hour on with its bands; `error` is its relative standard deviation after a day."""
        truth = self.truth[zone][now_h : now_h + HORIZON_H]
        noise = rng.normal(size=HORIZON_H).tolist()
        for lead in range(1, HORIZON_H):
            noise[lead] = CORRELATION * noise[lead - 1] + math.sqrt(1 - CORRELATION**2) * noise[lead]
        size = error * np.sqrt(np.arange(HORIZON_H) / 24)
        said = np.clip(truth * (1 + np.array(noise) * size), 1.0, 2000.0)
        series = IntensitySeries(
            zone=zone,
            start=self.start + timedelta(hours=now_h),
            step=timedelta(hours=1),
            values_gco2_per_kwh=tuple(said.tolist()),
            source="benchmark",
        )
        return series, {level: tuple((said * (1 + z * size)).tolist()) for level, z in LEVELS.items()}


@cache
def world_of(trace: Path) -> World:
    """Read once a process."""
    return World(trace)


def random_job(world: World, rng: np.random.Generator) -> Job:
    """A job with a window that at least the 90th percentile of its duration fits into, most of the time."""
    hours = float(np.exp(rng.uniform(np.log(0.1), np.log(24))))
    window_h = min(hours * (1 + rng.exponential(2.0)), 72.0) + 0.1
    limits: dict[str, Any] = {"finish_within": timedelta(hours=max(window_h, hours))}
    if rng.random() < 0.2:
        limits["start_within"] = timedelta(hours=rng.uniform(0, max(window_h - hours, 0.1)))
    spec = JobSpec(
        urgency=rng.choice(["normal", "flexible"]),
        expected_duration=timedelta(hours=hours),
        risk=rng.choice(["careful", "balanced", "bold"]),
        minimum_saving=float(rng.choice([0.0, 0.05])),
        **limits,
    )
    due_h = float(rng.uniform(0, world.hours - HORIZON_H - 100))
    outages = []
    if rng.random() < 0.3:
        begins = due_h + float(rng.uniform(-6, 48))
        outages.append((begins, begins + float(rng.exponential(12.0))))
    sigma = float(rng.uniform(*SIGMA))
    zones = tuple(rng.choice(sorted(world.truth), 2, replace=False).tolist())
    return Job(spec, zones, due_h, sigma, math.exp(sigma * rng.normal()), tuple(outages))


def sites_of(job: Job) -> tuple[Site, ...]:
    return tuple(
        Site(
            name=name,
            work_pool=name,
            tier=tier,
            zone=job.zones[name == "eco-elsewhere"],
            power_w=power_w,
            speed=speed,
        )
        for name, (tier, power_w, speed) in SITES.items()
    )


def ran(world: World, job: Job, rng: np.random.Generator) -> tuple[Decision, int, int]:
    """Decide until it runs: the last decision, how often it was asked, and how often without a signal."""
    due = world.start + timedelta(hours=job.due_h)
    sites, error = sites_of(job), float(rng.uniform(*ERROR_AFTER_A_DAY))
    estimates = {
        site.name: Estimate(
            duration=job.spec.duration / site.speed,
            duration_high=job.spec.duration / site.speed * job.high,
            basis=EstimateBasis.LEARNT,
            runs=50,
        )
        for site in sites
    }
    now, plan, deferrals, asked, blind = due, None, 0, 0, 0
    while True:
        now_h = (now - world.start) / timedelta(hours=1)
        dark = any(begins <= now_h < ends for begins, ends in job.outages)
        known = (
            {} if dark else {z: world.outlook(z, int(now_h), error, rng) for z in dict.fromkeys(job.zones)}
        )
        decision = decide(
            Evidence(
                job=str(rng.integers(2**32)),
                now=now,
                submitted_at=due,
                spec=job.spec,
                sites=sites,
                outlook={zone: series for zone, (series, _) in known.items()},
                quantiles={zone: bands for zone, (_, bands) in known.items()},
                estimates=estimates,
                deferrals=deferrals,
                plan=plan,
            )
        )
        asked, blind = asked + 1, blind + dark
        if decision.action is not Action.DEFER:
            return decision, asked, blind
        assert decision.site is not None
        if plan is None or plan.start <= now:
            deferrals += 1
        plan = Plan(site=decision.site, start=decision.start, decided_at=now)
        # Every hour, and when its start has come; waking takes up to the latency that the policy is told.
        woken = decision.start + timedelta(seconds=float(rng.uniform(0, 110)))
        now = min(now + timedelta(hours=1), woken) if now + timedelta(hours=1) < decision.start else woken


def judge(world: World, job: Job, decision: Decision) -> tuple[str, float]:
    """What became of the deadline, and by how many hours it was late."""
    due = world.start + timedelta(hours=job.due_h)
    window = job.spec.window(due)
    assert window.latest_finish is not None
    true_h = job.spec.duration * job.overrun
    keepable = due + true_h <= window.latest_finish
    site = {site.name: site for site in sites_of(job)}[decision.site or "fast"]
    late = decision.start + true_h / site.speed - window.latest_finish
    late_start = decision.start - window.latest_start if window.latest_start is not None else -ON_TIME
    if max(late, late_start) <= ON_TIME:
        return "kept", 0.0
    if not keepable:
        return "could not be kept by anyone", late / timedelta(hours=1)
    if job.overrun > job.high:
        return "late: it overran its 90th percentile", late / timedelta(hours=1)
    return "missed", late / timedelta(hours=1)


def chunk(trace: Path, seed: int, jobs: int) -> dict[str, Any]:
    """A part of the jobs, reproducible by its seed."""
    world, rng = world_of(trace), np.random.default_rng(seed)
    outcomes: Counter[str] = Counter()
    totals: Counter[str] = Counter()
    for _ in range(jobs):
        job = random_job(world, rng)
        decision, asked, blind = ran(world, job, rng)
        outcome, _ = judge(world, job, decision)
        outcomes[outcome] += 1
        totals["decisions"] += asked
        totals["decisions without a signal"] += blind
        waited = decision.start - (world.start + timedelta(hours=job.due_h))
        totals["jobs that waited"] += waited > timedelta(minutes=1)
        totals["jobs not on fast"] += decision.site != "fast"
        totals["hours waited"] += round(waited / timedelta(hours=1))
    return {"outcomes": outcomes, "totals": totals}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the traces")
    parser.add_argument("--trace", type=Path, help="an hourly CSV of your own, instead")
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--chunk", type=int, default=500, help="jobs a process takes at a time")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    trace = args.trace or args.data / "grid_hourly_2021_2023.csv.gz"
    began = time.perf_counter()
    sizes = [min(args.chunk, args.jobs - done) for done in range(0, args.jobs, args.chunk)]
    seeds = range(args.seed * 100_000, args.seed * 100_000 + len(sizes))
    outcomes: Counter[str] = Counter()
    totals: Counter[str] = Counter()
    with ProcessPoolExecutor(max_workers=min(2, os.cpu_count() or 1)) as pool:
        for part in pool.map(chunk, repeat(trace), seeds, sizes):
            outcomes.update(part["outcomes"])
            totals.update(part["totals"])
    results = {
        "trace": trace.name,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "seed": args.seed,
        "jobs": args.jobs,
        "missed": outcomes["missed"],
        "outcomes": dict(outcomes),
        "totals": dict(totals),
        "took_s": round(time.perf_counter() - began, 1),
    }
    write(args.output, "deadlines", results, as_markdown(results))


def as_markdown(results: dict[str, Any]) -> str:
    lines = [
        "# Deadlines under forecast errors, overruns and outages",
        "",
        f"{results['jobs']:,} random jobs on {results['trace']}, seed {results['seed']}, measured by"
        f" `benchmarks/deadlines.py` at {results['at']} in {results['took_s']:.0f} s.",
        "",
        f"**Missed though they could have been kept: {results['missed']}.**",
        "",
        "| what became of the deadline | jobs |",
        "|---|---|",
        *(f"| {name} | {count:,} |" for name, count in sorted(results["outcomes"].items())),
        "",
        "| on the way | |",
        "|---|---|",
        *(f"| {name} | {count:,} |" for name, count in sorted(results["totals"].items())),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
