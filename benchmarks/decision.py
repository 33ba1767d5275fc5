"""How long one decision takes: a week of 5-minute slots and ten sites, beside searches that do less.

`decide` is timed whole, from evidence to decision, on one zone for all sites and on a zone for each, with and without
bands, and with outlooks that it has never seen (cold) and has seen before (warm, as when many jobs are decided on one
outlook). Beside it stand, for the same sites and starts,

- a bare numpy search: prefix sums and an argmin over the slots' starts, no windows, sentences or records;
- a loop in plain Python over the slots' starts, each window summed up.

Both look at whole slots only, where `decide` finds the best moment between them. CPU time of one process, so that no
neighbour counts. Written to benchmarks/results/decision.json and .md; run it with `python benchmarks/decision.py`.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from common import RESULTS, machine, write

from carbon_policy.domain.decision import Evidence
from carbon_policy.domain.job import JobSpec
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.domain.site import Site, Tier
from carbon_policy.policies import decide

START = datetime(2026, 1, 1, tzinfo=UTC)
SLOT_MIN, SLOTS, SITES = 5, 2016, 10
JOB_SLOTS = 48
SPEC = JobSpec(
    urgency="flexible",
    expected_duration=timedelta(minutes=SLOT_MIN * JOB_SLOTS - 1),
    finish_within=timedelta(minutes=SLOT_MIN * SLOTS),
)


def outlook(zone: str, seed: int) -> IntensitySeries:
    """A week of days and nights, with noise."""
    rng = np.random.default_rng(seed)
    hours = np.arange(SLOTS) * SLOT_MIN / 60
    values = 300 + 120 * np.sin(hours / 24 * 2 * np.pi + rng.uniform(0, 6)) + rng.normal(0, 10, SLOTS)
    return IntensitySeries(
        zone=zone,
        start=START,
        step=timedelta(minutes=SLOT_MIN),
        values_gco2_per_kwh=tuple(np.maximum(values, 0).tolist()),
        source="benchmark",
    )


def evidence(job: int, zones: int, *, bands: bool = False, seed: int = 0) -> Evidence:
    """A job that may wait all week, on ten sites that share so many zones."""
    sites = tuple(
        Site(
            name=f"site-{k}",
            work_pool=f"site-{k}",
            tier=Tier.ECO if k % 2 else Tier.FAST,
            zone=f"zone-{k % zones}",
            power_w=60 - 30 * (k % 2),
            speed=1.0 - 0.4 * (k % 2),
        )
        for k in range(SITES)
    )
    known = {f"zone-{k}": outlook(f"zone-{k}", seed + k) for k in range(zones)}
    quantiles = {}
    if bands:
        quantiles = {
            zone: {
                level: tuple(value * (1 + share) for value in series.values_gco2_per_kwh)
                for level, share in ((0.75, 0.07), (0.9, 0.13))
            }
            for zone, series in known.items()
        }
    return Evidence(
        job=str(job),
        now=START,
        submitted_at=START,
        spec=SPEC,
        sites=sites,
        outlook=known,
        quantiles=quantiles,
    )


def with_numpy(known: Evidence) -> tuple[float, int]:
    """The least grams and their slot, over all sites."""
    best = (float("inf"), 0)
    for site in known.sites:
        values = np.asarray(known.outlook[site.zone].values_gco2_per_kwh)
        slots = round(JOB_SLOTS / site.speed)
        sums = np.concatenate([[0.0], np.cumsum(values)])
        windows = (sums[slots:] - sums[:-slots]) * site.drawn_kw * SLOT_MIN / 60
        first = int(np.argmin(windows))
        best = min(best, (float(windows[first]), first))
    return best


def in_python(known: Evidence) -> tuple[float, int]:
    """The same, window by window."""
    best = (float("inf"), 0)
    for site in known.sites:
        values = known.outlook[site.zone].values_gco2_per_kwh
        slots = round(JOB_SLOTS / site.speed)
        for first in range(len(values) - slots + 1):
            grams = sum(values[first : first + slots]) * site.drawn_kw * SLOT_MIN / 60
            best = min(best, (grams, first))
    return best


def timed(what: Callable[[Evidence], Any], given: list[Evidence]) -> dict[str, float]:
    """Microseconds of CPU for each, the first left out."""
    what(given[0])
    times = []
    for known in given[1:]:
        before = time.process_time_ns()
        what(known)
        times.append((time.process_time_ns() - before) / 1000)
    return {
        "median_us": round(statistics.median(times), 1),
        "p95_us": round(float(np.quantile(times, 0.95)), 1),
        "decisions": len(times),
    }


def warm(zones: int, runs: int, *, bands: bool = False) -> list[Evidence]:
    """Many jobs on one outlook."""
    first = evidence(0, zones, bands=bands)
    return [first.model_copy(update={"job": str(k)}) for k in range(runs)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    runs, few = args.runs, max(5, args.runs // 10)
    shared, apart = warm(1, runs), warm(SITES, runs)
    figures = {
        "decide, one zone, warm": timed(decide, shared),
        "decide, ten zones, warm": timed(decide, apart),
        "decide, ten zones with bands, warm": timed(decide, warm(SITES, runs, bands=True)),
        "decide, ten zones, cold": timed(decide, [evidence(k, SITES, seed=k * 10) for k in range(few)]),
        "numpy argmin, ten zones": timed(with_numpy, apart),
        "plain Python, ten zones": timed(in_python, apart[:few]),
    }
    results = {
        "machine": machine(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "figures": figures,
    }
    write(args.output, "decision", results, as_markdown(results))


def as_markdown(results: dict[str, Any]) -> str:
    lines = [
        "# One decision",
        "",
        f"A week of 5-minute slots ({SLOTS}), {SITES} sites, a job of four hours that may wait all week; CPU time,"
        f" measured by `benchmarks/decision.py` at {results['at']} on {results['machine']}.",
        "",
        "| | median (µs) | 95th percentile (µs) | decisions |",
        "|---|---|---|---|",
        *(
            f"| {name} | {row['median_us']:,.0f} | {row['p95_us']:,.0f} | {row['decisions']} |"
            for name, row in results["figures"].items()
        ),
        "",
        "`numpy argmin` and `plain Python` only find the greenest whole slot; `decide` weighs windows, deadlines, risk"
        " and savings, finds the best moment between slots, and leaves a record with every alternative.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
