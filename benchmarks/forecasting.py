"""How good the forecasts from history alone are, beside published ones and the naive ones a user would start from.

Four questions, one run, on the traces in a folder (`--data`, `../shared/data` by default):

1. the 13 regions of CarbonCast, by its protocol: trained up to 2021-06-30, then 96 h issued daily, not refitted;
2. sixteen zones of Electricity Maps, trained on 2021-22, tested on 2023: MAPE, pinball loss, coverage of the 80 % band;
3. what counts: the share of the perfect-foresight saving that is kept, planned once and re-planned hourly; fitted once
   before the year, and refitted every four weeks as production does, each issue knowing only its past;
4. blended with a provider whose skill differs by zone (Sundial, a foundation model): does a bad one weigh itself down?

Written to benchmarks/results/forecasting.json, .md and .png. Run it with
`python benchmarks/forecasting.py`, or on any hourly CSV of yours with the columns timestamp, zone, gco2_per_kwh:
`python benchmarks/forecasting.py --trace mine.csv --test-from 2024-01-01`.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from common import RESULTS, history_of, write

from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.forecasting.backtest import (
    LAST_WEEK,
    OWN,
    PROFILE,
    TASKS,
    YESTERDAY,
    Backtest,
    Issued,
    backtest,
    issue,
    mape,
    naive_forecasts,
    score,
)
from carbon_policy.forecasting.blend import learn_weights
from carbon_policy.forecasting.capture import Task, planned_once
from carbon_policy.forecasting.features import DAY, WEEK, Features
from carbon_policy.forecasting.forecaster import Forecaster, fit
from carbon_policy.forecasting.hourly import HourlyHistory

NAMES = (OWN, PROFILE, YESTERDAY, LAST_WEEK)
GOALS = {"4 h in 24 h": 90, "4 h in 48 h": 85, "8 h in 96 h": 85}
REFIT_EVERY_H = 4 * WEEK
ONCE, REFITTED = "fitted once", "refitted every 4 weeks"
SUNDIAL = "sundial_forecasts_96h_2022_2023.csv.gz"


def main() -> None:
    """Run what the arguments ask for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, default=Path("../shared/data"), help="folder of the published traces"
    )
    parser.add_argument("--trace", type=Path, help="an hourly CSV of your own, instead")
    parser.add_argument("--test-from", default="2023-01-01", help="first day of the test, UTC")
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    trace = args.trace or args.data / "grid_hourly_2021_2023.csv.gz"
    provider = pd.read_csv(args.data / SUNDIAL) if args.trace is None else None
    zones = list(_zones(trace, args.test_from, provider))
    results: dict[str, Any] = {"trace": trace.name, "test_from": args.test_from, "zones": zones}
    if args.trace is None:
        results["carboncast"] = list(_carboncast(args.data))
    write(args.output, "forecasting", results, "\n".join(_tables(results)))
    _plot(results, args.output / "forecasting.png")


def _zones(path: Path, test_from: str, provider: pd.DataFrame | None) -> Iterator[dict[str, Any]]:
    """Questions 2 to 4, zone by zone."""
    first_tested = int(pd.Timestamp(test_from, tz="UTC").timestamp() // 3600)
    for zone, frame in pd.read_csv(path).groupby("zone"):
        history = history_of(str(zone), frame)
        cut = first_tested - history.first_hour
        result: dict[str, Any] = {"zone": zone, **_times(str(zone), history)}
        print(f"{zone}: {len(history)} h fitted in {result['fit_s']} s")
        result[ONCE] = _as_data(backtest(history, cut))
        issued = issue(history, cut, refit_every_h=REFIT_EVERY_H)
        result[REFITTED] = _as_data(score(history, cut, issued))
        if provider is not None:
            result["blend"] = _blended(history, issued, provider[provider["zone"] == zone])
        yield result


def _times(zone: str, history: HourlyHistory) -> dict[str, float]:
    """Of the whole trace: one fit, and the median of twenty forecasts; processor time, so that no neighbour counts."""
    began = time.process_time()
    fit(Features(history))
    fit_s = time.process_time() - began
    recent = history.last(WEEK * 52)
    series = IntensitySeries(
        zone=zone,
        start=recent.end - timedelta(hours=len(recent)),
        step=timedelta(hours=1),
        values_gco2_per_kwh=tuple(recent.values_gco2_per_kwh.tolist()),
        source="trace",
    )
    forecaster = Forecaster(series)
    took = []
    for _ in range(20):
        began = time.process_time()
        forecaster.forecast(series)
        took.append(time.process_time() - began)
    return {"fit_s": round(fit_s, 2), "forecast_ms": round(1000 * statistics.median(took), 2)}


def _as_data(scores: Backtest) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for method in scores.methods:
        data[method.method] = {
            "mape_day": [_percent(day) for day in method.mape_by_day],
            "mape_96h": _percent(method.mape_96h),
            **{
                _task(kept.task): {
                    "once": _percent(kept.once),
                    "replanned": _percent(kept.replanned),
                    "oracle_saving": _percent(kept.oracle_saving),
                }
                for kept in method.kept
            },
        }
    if scores.bands:
        data["bands"] = {
            "coverage_24h": _percent(scores.bands.coverage_24h),
            "coverage_96h": _percent(scores.bands.coverage_96h),
            "coverage_168h": _percent(scores.bands.coverage_168h),
            "pinball_96h_gco2_per_kwh": round(scores.bands.pinball_96h_gco2_per_kwh, 3),
        }
    return data


def _blended(history: HourlyHistory, issued: Issued, provider: pd.DataFrame) -> dict[str, Any]:
    """Question 4: issued daily; the weights of each issue come from the issues whose truth it knows, and no others."""
    theirs = provider.pivot(index="issue_time", columns="lead_h", values="forecast_gco2_per_kwh")
    times = pd.to_datetime(theirs.index, utc=True).astype("datetime64[s, UTC]").astype("int64") // 3600
    at = times.to_numpy() - history.first_hour
    tested = (at >= issued.issues[0]) & (at <= issued.issues[-1])
    at, said = at[tested], theirs.to_numpy()[tested]
    leads = said.shape[1]
    own = issued.expected[at - issued.issues[0], :leads]
    truth = Features(history).targets(at)[:, :leads]
    blended, shares = np.empty_like(own), np.empty_like(own)
    for row, now in enumerate(at):
        known = np.where(at[:row, None] + np.arange(leads) < now, truth[:row], np.nan)
        weights = learn_weights(own[:row], said[:row], known)
        blended[row], shares[row] = weights.blend(own[row], said[row]), weights.provider
    return {
        "share_of_provider": round(float(shares[len(shares) // 2 :].mean()), 2),
        **{
            name: {
                "mape_96h": _percent(mape(forecasts, truth)[1]),
                **{_task(t): _percent(planned_once(forecasts, truth, t).share) for t in TASKS},
            }
            for name, forecasts in (("own", own), ("provider", said), ("blend", blended))
        },
    }


def _carboncast(folder: Path) -> Iterator[dict[str, Any]]:
    """Question 1: life-cycle intensity, issued daily at 00:00 from 2021-07-01 on, trained once before."""
    actuals = pd.read_csv(folder / "carboncast_actuals_2020_2021.csv.gz")
    published = pd.read_csv(folder / "carboncast_forecasts_96h_2021H2.csv.gz")
    for zone, frame in actuals.groupby("zone"):
        history = history_of(str(zone), frame)
        theirs = published[published["zone"] == zone].pivot(index="issue_time", columns="lead_h")
        hours = pd.to_datetime(theirs.index, utc=True).astype("datetime64[s, UTC]").astype("int64") // 3600
        issues = hours.to_numpy() - history.first_hour
        cut = int(pd.Timestamp("2021-07-01", tz="UTC").timestamp() // 3600) - history.first_hour
        model, _ = fit(Features(history.first(cut)))
        truth = theirs["actual_lifecycle"].to_numpy()
        features = Features(history)
        forecasts = {OWN: model.predict(features, issues), **naive_forecasts(features, issues)}
        forecasts["CarbonCast"] = theirs["forecast_lifecycle"].to_numpy()
        result: dict[str, Any] = {"zone": zone}
        for name, said in forecasts.items():
            days, overall = mape(said[:, : 4 * DAY], truth)
            result[name] = {"mape_day": [_percent(day) for day in days], "mape_96h": _percent(overall)}
        yield result


def _percent(share: float) -> float:
    return round(100 * share, 2)


def _task(task: Task) -> str:
    return f"{task.job_h} h in {task.window_h} h"


def _tables(results: dict[str, Any]) -> Iterator[str]:
    zones = results["zones"]
    yield "# Forecasts from history alone\n"
    yield f"Trace {results['trace']}, tested from {results['test_from']} on; made by benchmarks/forecasting.py."
    yield "`own` is ours; each forecast knows only what came before it.\n"
    yield from _kept_table(zones)
    yield from _zone_table(zones)
    if "blend" in zones[0]:
        yield from _blend_table(zones)
    if "carboncast" in results:
        yield from _carboncast_table(results["carboncast"])


def _kept_table(zones: list[dict[str, Any]]) -> Iterator[str]:
    yield "## The share of the perfect-foresight saving that is kept, median zone, %\n"
    columns = [(OWN, REFITTED), (OWN, ONCE), *((name, ONCE) for name in NAMES[1:])]
    titles = [f"{name}, {fitted}" if name == OWN else name for name, fitted in columns]
    yield "| job | goal | " + " | ".join(f"{t}: planned once | re-planned hourly" for t in titles) + " |"
    yield "|---|---|" + "---|---|" * len(columns)
    for task in map(_task, TASKS):
        cells = [
            f"{statistics.median(z[fitted][name][task][how] for z in zones):.1f}"
            for name, fitted in columns
            for how in ("once", "replanned")
        ]
        yield f"| {task} | {GOALS.get(task, '')} | " + " | ".join(cells) + " |"


def _zone_table(zones: list[dict[str, Any]]) -> Iterator[str]:
    for fitted in (REFITTED, ONCE):
        yield f"\n## By zone, own, {fitted}\n"
        yield (
            "| zone | MAPE day 1 | 96 h | naive 24 h, 96 h | coverage of 80 % band, 96 h | pinball, 96 h, g/kWh | "
            + " | ".join(f"{t}: once | re-planned" for t in map(_task, TASKS))
            + " | fit of all hours, s | forecast, ms |"
        )
        yield "|---|---|---|---|---|---|" + "---|---|" * len(TASKS) + "---|---|"
        for z in zones:
            own, naive, bands = z[fitted][OWN], z[fitted][YESTERDAY], z[fitted]["bands"]
            kept = " | ".join(f"{own[t]['once']} | {own[t]['replanned']}" for t in map(_task, TASKS))
            yield (
                f"| {z['zone']} | {own['mape_day'][0]} | {own['mape_96h']} | {naive['mape_96h']}"
                f" | {bands['coverage_96h']} | {bands['pinball_96h_gco2_per_kwh']} | {kept}"
                f" | {z['fit_s']} | {z['forecast_ms']} |"
            )
        held = sum(76 <= z[fitted]["bands"]["coverage_96h"] <= 84 for z in zones)
        yield f"\nThe 80 % band holds 76 to 84 % over 96 h in {held} of {len(zones)} zones."


def _blend_table(zones: list[dict[str, Any]]) -> Iterator[str]:
    yield "\n## Blended with a provider (Sundial), issued daily at 00:00\n"
    yield "The weights of each issue are learnt from earlier issues of the test alone, from an even mix on."
    yield "The share is the provider's, mean of the leads over the second half.\n"
    columns = ("mape_96h", *map(_task, TASKS))
    titles = ("MAPE, 96 h", *(f"{task}, planned once" for task in map(_task, TASKS)))
    yield "| zone | share | " + " | ".join(f"{t}: own | Sundial | blend" for t in titles) + " |"
    yield "|---|---|" + "---|---|---|" * len(columns)
    for z in zones:
        cells = [str(z["blend"][who][c]) for c in columns for who in ("own", "provider", "blend")]
        yield f"| {z['zone']} | {z['blend']['share_of_provider']} | " + " | ".join(cells) + " |"
    medians = [
        f"{statistics.median(z['blend'][who][c] for z in zones):.2f}"
        for c in columns
        for who in ("own", "provider", "blend")
    ]
    share = statistics.median(z["blend"]["share_of_provider"] for z in zones)
    yield f"| median | {share:.2f} | " + " | ".join(medians) + " |"


def _carboncast_table(regions: list[dict[str, Any]]) -> Iterator[str]:
    yield "\n## Beside CarbonCast, MAPE %\n"
    yield "Its published forecasts: life-cycle, 96 h, issued daily at 00:00, 2021-07 to 2021-12. Ours fitted once.\n"
    yield "| region | own: day 1 | 2 | 3 | 4 | 96 h | CarbonCast: day 1 | 2 | 3 | 4 | 96 h | naive 24 h, 96 h |"
    yield "|---|" + "---|" * 11
    for region in regions:
        cells = [str(v) for n in (OWN, "CarbonCast") for v in (*region[n]["mape_day"], region[n]["mape_96h"])]
        yield f"| {region['zone']} | " + " | ".join(cells) + f" | {region[YESTERDAY]['mape_96h']} |"
    better = sum(r[OWN]["mape_96h"] <= r["CarbonCast"]["mape_96h"] for r in regions)
    yield f"\nAt or below CarbonCast over 96 h in {better} of {len(regions)} regions.\n"


def _plot(results: dict[str, Any], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    def kept(name: str, fitted: str, task: str, how: str) -> list[float]:
        return [z[fitted][name][task][how] for z in zones]

    zones = sorted(results["zones"], key=lambda z: z[REFITTED][OWN][_task(TASKS[0])]["replanned"])
    figure, axes = plt.subplots(1, len(TASKS), figsize=(12, 0.32 * len(zones) + 1.8), sharey=True)
    rows = range(len(zones))
    for axis, task in zip(axes, map(_task, TASKS), strict=True):
        axis.plot(
            kept(YESTERDAY, ONCE, task, "replanned"),
            rows,
            "x",
            color="0.6",
            label="yesterday, re-planned hourly",
        )
        axis.plot(
            kept(OWN, REFITTED, task, "replanned"), rows, "o", color="tab:green", label="own, re-planned"
        )
        axis.plot(
            kept(OWN, REFITTED, task, "once"),
            rows,
            "o",
            mfc="none",
            color="tab:green",
            label="own, planned once",
        )
        axis.set_title(f"{task} (goal {GOALS.get(task, '-')} %)")
        axis.axvline(100, color="0.8", zorder=0)
        axis.grid(axis="x", alpha=0.3)
    axes[0].set_yticks(rows, [z["zone"] for z in zones])
    axes[1].set_xlabel("share of the perfect-foresight saving that is kept, %")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="lower center", ncols=3, frameon=False)
    figure.tight_layout(rect=(0, 0.05, 1, 1))
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
