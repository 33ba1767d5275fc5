"""GAIA's workload: carbon against waiting, beside GAIA's own policies.

1,000 jobs of Alibaba's PAI cluster over a week (umassos/GAIA, `jobs_pai_1k.csv`), in two queues (shorter than 2 h:
may wait 6 h; longer: 24 h), without a break, in several weeks of several zones. GAIA's policies know a queue's average
length and not the job's; so do ours here. Twice: with perfect knowledge of the intensity, as GAIA assumes, and with
forecasts that know only their past. All policies see the same. Ours plan once under perfect knowledge and hourly under
forecasts; a price of time draws a curve: the share of one running hour's grams, or of the whole job's, that an hour of
waiting must save.

Also with the queues' limits halved and doubled. Is ours ahead of Carbon-Time at its wait, and of Lowest-Window at its
own? Written to benchmarks/results/gaia.json, .md and .png. Run it with `python benchmarks/gaia.py`, or on any hourly
CSV with the columns timestamp, zone, gco2_per_kwh:
`python benchmarks/gaia.py --trace mine.csv --zones SE --year 2024`.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from common import RESULTS, history_of, new_year, write

from carbon_policy.forecasting.features import DAY, WEEK
from carbon_policy.simulation.outlook import Outlook, Perfect, knowing_the_hour, own_forecasts
from carbon_policy.simulation.policies import GAIA_CARBON_TIME, GAIA_LOWEST_WINDOW, LOWEST_SLOT, Policy
from carbon_policy.simulation.queues import GAIA_QUEUES, queued
from carbon_policy.simulation.rolling import Rolling
from carbon_policy.simulation.run import simulate
from carbon_policy.simulation.world import World

ZONES = ("AU-NSW", "US-CAL-CISO", "DE", "GB")
WEEKS = (3, 16, 29, 42)
"""Of the year, a season each."""

SLOTS_PER_HOUR = 12
LIMITS = (0.5, 1.0, 2.0)
PRICES = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1)
SHARES = (0.01,)
HOURS = 12 * DAY + 2 * DAY
Points = dict[tuple[str, str, float, str], list[tuple[float, float, float]]]
"""Zone, what is known, limit and policy: grams at once, grams and mean wait of each week."""

PERFECT, FORECAST = "perfect knowledge", "own forecasts"


def main() -> None:
    """Run what the arguments ask for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the traces")
    parser.add_argument("--trace", type=Path, help="an hourly CSV of your own, instead")
    parser.add_argument("--zones", nargs="+", default=ZONES)
    parser.add_argument("--year", type=int, default=2023)
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    began = time.monotonic()
    jobs = pd.read_csv(args.data / "jobs_pai_1k.csv")
    frame = pd.read_csv(args.trace or args.data / "grid_hourly_2021_2023.csv.gz")
    with ProcessPoolExecutor(max_workers=2) as pool:
        tasks = [
            pool.submit(_zone, zone, frame[frame["zone"] == zone], jobs, args.year) for zone in args.zones
        ]
        points: Points = {case: weeks for task in tasks for case, weeks in task.result().items()}
    results = {
        "year": args.year,
        "weeks_of_the_year": WEEKS,
        "zones": [
            {"zone": zone, "known": known, "limit": limit, "policies": _means(points, (zone, known, limit))}
            for zone in args.zones
            for known in (PERFECT, FORECAST)
            for limit in LIMITS
        ],
    }
    for case in results["zones"]:
        case["against"] = {peer.name: _against(case["policies"], peer.name) for peer in _peers()}
    results["took_s"] = round(time.monotonic() - began, 1)
    write(args.output, "gaia", results, "\n".join(_tables(results)) + "\n")
    _plot(results, args.output / "gaia.png")


def _zone(zone: str, rows: pd.DataFrame, jobs: pd.DataFrame, year: int) -> Points:
    """One core's work."""
    points: Points = defaultdict(list)
    for actual, outlooks in _weeks(zone, rows, year):
        for known, outlook in outlooks.items():
            for limit in LIMITS:
                _try(points, (zone, known, limit), jobs, actual, outlook)
    print(f"{zone} is done", flush=True)
    return points


def _weeks(zone: str, rows: pd.DataFrame, year: int) -> Iterator[tuple[np.ndarray, dict[str, Outlook]]]:
    history = history_of(zone, rows)
    for week in WEEKS:
        first = new_year(year) - history.first_hour + week * WEEK
        actual = history.values_gco2_per_kwh[first : first + HOURS]
        said = own_forecasts(history, first, first + HOURS)
        slots = np.repeat(actual, SLOTS_PER_HOUR)
        yield (
            slots,
            {PERFECT: Perfect(slots), FORECAST: knowing_the_hour(said, 0, actual, SLOTS_PER_HOUR)},
        )


def _peers() -> list[Policy]:
    return [GAIA_CARBON_TIME, GAIA_LOWEST_WINDOW]


def _ours(every_h: int | None) -> Iterator[Rolling]:
    for price in PRICES:
        yield Rolling(f"ours, {price:g} of an hour", every_h=every_h, wait_cost_per_running_hour=price)
    for share in SHARES:
        yield Rolling(f"ours, {share:g} of the job", every_h=every_h, wait_cost_per_hour=share)


def _try(
    points: Any, case: tuple[str, str, float], jobs: pd.DataFrame, actual: np.ndarray, outlook: Outlook
) -> None:
    """Adds grams at once, grams and mean wait of each policy."""
    queues = [replace(queue, may_wait_h=queue.may_wait_h * case[2]) for queue in GAIA_QUEUES]
    arrays = (jobs[column].to_numpy(dtype=float) for column in ("arrival_time", "length", "cpus"))
    arrival, length, cpus = arrays
    # 1 W a CPU, as GAIA counts.
    world = World(
        queued(arrival, length, cpus / 1000, SLOTS_PER_HOUR, queues), actual, SLOTS_PER_HOUR, outlook
    )
    # Under perfect knowledge a second look sees nothing new.
    every_h = None if case[1] == PERFECT else 1
    outcomes = list(simulate(world, [*_peers(), LOWEST_SLOT, *_ours(every_h)]))
    for out in outcomes:
        points[(*case, out.policy)].append((outcomes[0].gco2, out.gco2, out.wait_h))


def _means(points: Any, case: tuple[str, str, float]) -> dict[str, dict[str, float]]:
    """Over the weeks: the saving of their sum, and the mean wait."""
    found = {}
    for key, weeks in points.items():
        if key[:3] == case:
            at_once, gco2, wait_h = np.array(weeks).T
            found[key[3]] = {
                "saving": round(100 * (1 - gco2.sum() / at_once.sum()), 3),
                "wait_h": round(float(wait_h.mean()), 3),
            }
    return found


def _curve(policies: dict[str, dict[str, float]], of: str) -> tuple[np.ndarray, np.ndarray]:
    """The best that is saved within a wait, by ours with one kind of price; waits ascending."""
    found = sorted((row["wait_h"], row["saving"]) for name, row in policies.items() if name.endswith(of))
    waits, savings = np.array([(0.0, 0.0), *found]).T
    return waits, np.maximum.accumulate(savings)


def _against(policies: dict[str, dict[str, float]], peer: str) -> dict[str, float | bool]:
    """Our saving at the peer's wait, read between the points of our curve."""
    waits, savings = _curve(policies, "of an hour")
    wait_h, saving = policies[peer]["wait_h"], policies[peer]["saving"]
    ours = float(np.interp(wait_h, waits, savings))
    needed = float(np.interp(saving, savings, waits)) if savings[-1] >= saving else float("nan")
    return {
        "wait_h": wait_h,
        "saving": saving,
        "ours_at_that_wait": round(ours, 3),
        "our_wait_for_that_saving": None if np.isnan(needed) else round(needed, 3),
        "ahead": bool(ours > saving),
    }


def _tables(results: dict[str, Any]) -> Iterator[str]:
    yield "# GAIA's workload: carbon against waiting\n"
    yield (
        f"1,000 jobs in weeks {', '.join(map(str, results['weeks_of_the_year']))} of {results['year']}; made by"
        f" benchmarks/gaia.py in {results['took_s']} s. All policies know a queue's average"
        " length, and see the same intensities. `limit` multiplies the queues' 6 h and 24 h.\n"
    )
    yield "| zone | known | limit | peer | its wait, h | it saves, % | ours then, % | our wait for that, h | ahead |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for case in results["zones"]:
        for peer, row in case["against"].items():
            yield (
                f"| {case['zone']} | {case['known']} | {case['limit']:g} | {peer} | {row['wait_h']:.2f}"
                f" | {row['saving']:.2f} | {row['ours_at_that_wait']:.2f}"
                f" | {row['our_wait_for_that_saving'] or '–'} | {'yes' if row['ahead'] else 'NO'} |"
            )
    rows = [row["ahead"] for case in results["zones"] for row in case["against"].values()]
    yield f"\nAhead in {sum(rows)} of {len(rows)} points.\n"
    yield "## All points, limit 1: saved, % at mean wait, h\n"
    shown = [case for case in results["zones"] if case["limit"] == 1]
    yield "| policy | " + " | ".join(f"{case['zone']}, {case['known']}" for case in shown) + " |"
    yield "|---|" + "---|" * len(shown)
    for name in shown[0]["policies"]:
        cells = [f"{c['policies'][name]['saving']:.2f} at {c['policies'][name]['wait_h']:.2f}" for c in shown]
        yield f"| {name} | " + " | ".join(cells) + " |"


def _plot(results: dict[str, Any], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    shown = [case for case in results["zones"] if case["limit"] == 1]
    columns = len(shown) // 2
    figure, axes = plt.subplots(2, columns, figsize=(3.6 * columns, 7), layout="constrained", squeeze=False)
    for at, case in enumerate(shown):
        axis = axes[at % 2][at // 2]
        for of, colour in (("of an hour", "tab:green"), ("of the job", "tab:olive")):
            points = sorted(
                (row["wait_h"], row["saving"]) for name, row in case["policies"].items() if name.endswith(of)
            )
            axis.plot(*zip(*points, strict=True), "o-", color=colour, markersize=4, label=f"ours, price {of}")
        for peer, marker in zip(_peers(), "sD", strict=True):
            row = case["policies"][peer.name]
            axis.plot(row["wait_h"], row["saving"], marker, color="tab:red", label=peer.name)
        axis.set_title(f"{case['zone']}, {case['known']}", fontsize=9)
        axis.set_xlabel("mean wait, h")
        axis.set_ylabel("saved, %")
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
