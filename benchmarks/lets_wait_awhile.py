"""Let's Wait Awhile's machine-learning project on real grids: how close to the oracle do forecasts bring us?

3,387 jobs of 4 to 89.5 h (Wiesner et al., Middleware 2021; rules of the published code, its quirks unless `--fixed`),
due the next workday or the next Monday or Thursday morning, interrupting and not, for every zone of a trace:

- with perfect knowledge: must equal the optimum;
- with Sundial's published forecasts (a foundation model's, issued daily): planned once, and again with each issue;
- with yesterday again;
- with our own forecasts, fitted anew every four weeks, each knowing only its past: once, and re-planned hourly;
- with ours and Sundial's mixed as their past errors say, re-planned hourly.

One policy and one setting for all zones. Written to benchmarks/results/lets_wait_awhile.json, .md and .png. Run it with
`python benchmarks/lets_wait_awhile.py`, or on any hourly CSV with the columns timestamp, zone, gco2_per_kwh:
`python benchmarks/lets_wait_awhile.py --trace mine.csv --year 2024 --zones SE FI`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from common import RESULTS, history_of, hours_of, new_year, write

from carbon_policy.forecasting.backtest import mape
from carbon_policy.forecasting.blend import learn_weights
from carbon_policy.forecasting.capture import Task, planned_once
from carbon_policy.forecasting.features import DAY, HORIZON_H, WEEK
from carbon_policy.forecasting.hourly import Floats
from carbon_policy.simulation.ml_project import SLOTS_PER_HOUR, Deadline, ml_project
from carbon_policy.simulation.outlook import (
    Issued,
    Outlook,
    knowing_the_hour,
    own_forecasts,
    persistence,
)
from carbon_policy.simulation.policies import LOWEST_SLOT, WAIT_AWHILE, Policy, RunNow, Threshold
from carbon_policy.simulation.rolling import WAIT_AWHILE_INTERRUPTING, Rolling, RollingSlices
from carbon_policy.simulation.run import oracle
from carbon_policy.simulation.world import Outcome, World, outcome

SUNDIAL = "sundial_forecasts_96h_2022_2023.csv.gz"
ZONES = ("DE", "GB", "FR", "US-CAL-CISO")
GOALS = {"DE": 85, "GB": 85, "FR": 85, "US-CAL-CISO": 95}
KNOWN_BEST = {"DE": (12.47, 18.43), "GB": (14.48, 22.53), "FR": (9.53, 17.25), "US-CAL-CISO": (13.53, 14.89)}
"""Best published-rule result and optimum, % saved, Semi-Weekly, interrupting, 2023 (../shared/field.md 5.5)."""

LEARN_H = 8 * WEEK
"""Before the year: what the zone's skill and the first weights of the mix are learnt from."""

MIX_FROM_DAYS = 120


@dataclass(frozen=True)
class Zone:
    """A zone's trace: `actual` begins `LEARN_H` hours before the year, and reaches past its end."""

    name: str
    actual: Floats
    own: Floats
    provider: Floats | None


def main() -> None:
    """Run what the arguments ask for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the traces")
    parser.add_argument("--trace", type=Path, help="an hourly CSV of your own, instead")
    parser.add_argument("--zones", nargs="+", help=f"default {' '.join(ZONES)}, or all of your own trace")
    parser.add_argument("--year", type=int, default=2023)
    parser.add_argument("--jobs", type=int, default=3387)
    parser.add_argument("--fixed", action="store_true", help="without the published code's quirks")
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    frame = pd.read_csv(args.trace or args.data / "grid_hourly_2021_2023.csv.gz")
    sundial = pd.read_csv(args.data / SUNDIAL) if args.trace is None else None
    zones = args.zones or (ZONES if args.trace is None else sorted(frame["zone"].unique()))
    began = time.monotonic()
    results: dict[str, Any] = {
        "year": args.year,
        "jobs": args.jobs,
        "quirks_of_the_published_code": not args.fixed,
        "zones": _all_zones(frame, sundial, zones, args),
    }
    results["took_s"] = round(time.monotonic() - began, 1)
    write(args.output, "lets_wait_awhile", results, "\n".join(_tables(results)) + "\n")
    _plot(results, args.output / "lets_wait_awhile.png")


def _all_zones(
    frame: pd.DataFrame, sundial: pd.DataFrame | None, zones: Sequence[str], args: argparse.Namespace
) -> list[dict[str, Any]]:
    """Two at a time: a zone is one core's work, most of it fitting forecasts."""
    with ProcessPoolExecutor(max_workers=2) as pool:
        tasks = [
            pool.submit(
                _work,
                frame[frame["zone"] == zone],
                None if sundial is None else sundial[sundial["zone"] == zone],
                zone,
                args,
            )
            for zone in zones
        ]
        return [task.result() for task in tasks]


def _work(
    rows: pd.DataFrame, sundial: pd.DataFrame | None, zone: str, args: argparse.Namespace
) -> dict[str, Any]:
    """One zone's rows, and Sundial's."""
    return _zone(_read(rows, sundial, zone, args.year), args)


def _read(rows: pd.DataFrame, sundial: pd.DataFrame | None, zone: str, year: int) -> Zone:
    history = history_of(zone, rows)
    values = history.values_gco2_per_kwh
    first, last = (new_year(each) - history.first_hour for each in (year, year + 1))
    begin = first - LEARN_H
    if begin < DAY or len(values) < last:
        raise SystemExit(f"{zone}: the trace must hold {year}, and {LEARN_H + DAY} h before it at least.")
    own = own_forecasts(history, begin, last)
    # Jobs run on for some days after the year: where the trace does not, its last week is repeated.
    lacking = max(0, last + 2 * HORIZON_H - len(values))
    actual = np.concatenate([values, np.tile(values[-WEEK:], -(-lacking // WEEK))])[begin:]
    provider = None
    if sundial is not None:
        provider = np.full((last - begin, 96), np.nan)
        issued = sundial.pivot(index="issue_time", columns="lead_h", values="forecast_gco2_per_kwh")
        at = hours_of(issued.index) - history.first_hour - begin
        inside = (at >= 0) & (at < len(provider))
        provider[at[inside]] = issued.to_numpy()[inside]
    return Zone(zone, actual, own, provider)


def _outlooks(zone: Zone) -> dict[str, Outlook]:
    """Counted from the year's first hour; the weeks before it have negative hours."""
    actual = zone.actual[LEARN_H:]
    found: dict[str, Outlook] = {"own": knowing_the_hour(zone.own, -LEARN_H, actual, SLOTS_PER_HOUR)}
    yesterday = persistence(zone.actual, LEARN_H, len(zone.own), SLOTS_PER_HOUR)
    found["yesterday"] = Issued(
        "yesterday again", np.arange(len(zone.own) - LEARN_H), yesterday.values, actual, SLOTS_PER_HOUR
    )
    if zone.provider is not None:
        at = np.flatnonzero(np.isfinite(zone.provider[:, 0]))
        found["sundial"] = Issued("Sundial", at - LEARN_H, zone.provider[at], actual, SLOTS_PER_HOUR)
        mixed = _mixed(zone)
        found["mix"] = Issued(
            "ours and Sundial", np.arange(len(mixed)) - LEARN_H, mixed, actual, SLOTS_PER_HOUR
        )
    return found


def _mixed(zone: Zone) -> Floats:
    """At every hour ours, which knows it, with the day's Sundial; weights by hour of the day, learnt weekly.

    The weights of a moment come from errors that were known then, and no others.
    """
    assert zone.provider is not None
    hours, leads = len(zone.own) - 1, zone.provider.shape[1]
    own = np.hstack([zone.own[:-1, :1], zone.own[1:]])
    theirs = np.full((hours, leads), np.nan)
    for hour in range(hours):
        age = hour % DAY
        theirs[hour, : leads - age] = zone.provider[hour - age, age:]
    truth = np.lib.stride_tricks.sliding_window_view(zone.actual, leads)[:hours]
    mixed = own.copy()
    for begin in range(0, hours, WEEK):
        for hour in range(begin, min(begin + DAY, hours)):
            past = np.arange(hour % DAY, begin, DAY)[-MIX_FROM_DAYS:]
            known = np.where(past[:, None] + np.arange(leads) < begin, truth[past], np.nan)
            weights = learn_weights(own[past, :leads], theirs[past], known)
            now = np.arange(hour, min(begin + WEEK, hours), DAY)
            mixed[now, :leads] = weights.blend(own[now, :leads], theirs[now])
    return mixed


def _skill(zone: Zone) -> float:
    """The share of the possible saving that following our forecasts kept before the year."""
    task = Task(8, 96)
    rows = np.arange(0, LEARN_H - task.window_h, 6)
    truth = np.lib.stride_tricks.sliding_window_view(zone.actual, task.window_h)[rows]
    return planned_once(zone.own[rows], truth, task).share


def _tried(outlooks: dict[str, Outlook], skill: float) -> Iterator[tuple[str, str, Policy, Policy]]:
    """Name, outlook, the policy without interrupting and with."""
    ours = (Rolling(skill=skill), RollingSlices())
    once = (WAIT_AWHILE, WAIT_AWHILE_INTERRUPTING)
    daily = (
        Rolling("re-planned daily", every_h=DAY, margin=0.0),
        RollingSlices("re-planned daily", every_h=DAY),
    )
    if "sundial" in outlooks:
        yield "Sundial, once", "sundial", *once
        yield "Sundial, daily", "sundial", *daily
    yield "yesterday, once", "yesterday", *once
    yield "own, once", "own", *once
    yield "own, hourly", "own", *ours
    if "mix" in outlooks:
        yield "own and Sundial, hourly", "mix", *ours


def _zone(zone: Zone, args: argparse.Namespace) -> dict[str, Any]:
    outlooks, skill = _outlooks(zone), _skill(zone)
    actual = np.repeat(zone.actual[LEARN_H:], SLOTS_PER_HOUR)
    truth = np.lib.stride_tricks.sliding_window_view(zone.actual, HORIZON_H)[LEARN_H : len(zone.own)]
    days, four_days = mape(zone.own[LEARN_H:], truth)
    result: dict[str, Any] = {
        "zone": zone.name,
        "skill_before_the_year": round(skill, 3),
        "own_mape_day": [round(100 * day, 2) for day in days],
        "own_mape_96h": round(100 * four_days, 2),
    }
    for deadline in Deadline:
        jobs = ml_project(args.year, deadline, as_published=not args.fixed, jobs=args.jobs)
        world = World(jobs, actual, SLOTS_PER_HOUR, outlooks["own"])
        for interrupting in (False, True):
            best, perfect = oracle(world, interrupting=interrupting)
            at_once, optimum = RunNow().place(world), best.place(perfect)
            bounds = float(at_once.gco2.sum()), float(optimum.gco2.sum())
            rows = {"run now": _row(outcome("run now", world, at_once, *bounds))}
            for name, outlook, whole, sliced in _tried(outlooks, skill):
                here = replace(world, outlook=outlooks[outlook])
                placed = (sliced if interrupting else whole).place(here)
                rows[name] = _row(outcome(name, here, placed, *bounds))
            for rule in () if interrupting else (Threshold(), LOWEST_SLOT):
                rows[rule.name] = _row(outcome(rule.name, world, rule.place(world), *bounds))
            rows["oracle"] = _row(outcome("oracle", perfect, optimum, *bounds))
            result[f"{deadline}, {'interrupting' if interrupting else 'non-interrupting'}"] = rows
    shown = result["semi-weekly, interrupting"]
    print(zone.name, {name: (row["saving"], row["oracle_share"]) for name, row in shown.items()}, flush=True)
    return result


def _row(out: Outcome) -> dict[str, Any]:
    return {
        "kg": round(out.gco2 / 1000, 1),
        "saving": round(100 * out.saving, 2),
        "oracle_share": None if np.isnan(out.oracle_share) else round(100 * out.oracle_share, 1),
        "wait_h": round(out.wait_h, 2),
        "missed": out.missed,
        "peak_running": out.peak_running,
    }


def _tables(results: dict[str, Any]) -> Iterator[str]:
    yield "# Let's Wait Awhile's machine-learning project\n"
    yield (
        f"{results['jobs']} jobs of {results['year']}, made by benchmarks/lets_wait_awhile.py; one policy and one"
        f" setting for all zones; {results['took_s']} s.\n"
    )
    zones = results["zones"]
    for case in [key for key in zones[0] if "interrupting" in key]:
        rows = list(zones[0][case])
        yield f"## {case}: saved, % (share of the oracle's saving, %)\n"
        yield "| | " + " | ".join(zone["zone"] for zone in zones) + " |"
        yield "|---|" + "---|" * len(zones)
        for name in rows:
            cells = [f"{z[case][name]['saving']} ({z[case][name]['oracle_share']})" for z in zones]
            yield f"| {name} | " + " | ".join(cells) + " |"
        yield ""
    yield "## Against the goals (semi-weekly, interrupting)\n"
    yield "| zone | own, hourly | own and Sundial, hourly | goal | known best | mean wait, h | peak jobs (at once) |"
    yield "|---|---|---|---|---|---|---|"
    for zone in zones:
        rows_of = zone["semi-weekly, interrupting"]
        best = KNOWN_BEST.get(zone["zone"]) if results["year"] == 2023 else None
        mix = rows_of.get("own and Sundial, hourly", {}).get("oracle_share", "–")
        yield (
            f"| {zone['zone']} | {rows_of['own, hourly']['oracle_share']} | {mix}"
            f" | {GOALS.get(zone['zone'], '–')} | {f'{100 * best[0] / best[1]:.1f}' if best else '–'}"
            f" | {rows_of['own, hourly']['wait_h']}"
            f" | {rows_of['own, hourly']['peak_running']} ({rows_of['run now']['peak_running']}) |"
        )
    missed = sum(
        row["missed"] for z in zones for case in z if "interrupting" in case for row in z[case].values()
    )
    yield f"\nDeadlines missed, all policies: {missed}."


def _plot(results: dict[str, Any], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    zones = results["zones"]
    cases = [key for key in zones[0] if "interrupting" in key]
    figure, axes = plt.subplots(1, len(cases), figsize=(4 * len(cases), 4), sharey=True, layout="constrained")
    names = [
        n for n in zones[0][cases[0]] if n not in ("run now", "oracle", "threshold") and "lowest" not in n
    ]
    width = 0.8 / len(names)
    for axis, case in zip(axes, cases, strict=True):
        for at, name in enumerate(names):
            shares = [zone[case][name]["oracle_share"] or 0 for zone in zones]
            axis.bar(np.arange(len(zones)) + at * width, shares, width, label=name)
        for at, zone in enumerate(zones):
            goal = GOALS.get(zone["zone"])
            if goal and case == "semi-weekly, interrupting":
                axis.plot([at - width, at + 0.8], [goal, goal], color="0.2", linewidth=1.2)
        axis.set_xticks(np.arange(len(zones)) + 0.35, [zone["zone"] for zone in zones])
        axis.set_title(case, fontsize=10)
    axes[0].set_ylabel("share of the oracle's saving, %")
    figure.legend(
        *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(names), fontsize=8
    )
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
