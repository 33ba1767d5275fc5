"""What `carbon-policy replay` shows, however it is shown: what each policy would have saved on a team's past runs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from carbon_policy.cli.progress import share_of
from carbon_policy.cli.replay_grid import PastGrid, known_then, past_grid, stored_issues
from carbon_policy.cli.replay_worlds import AS_IT_WAS, ORACLE, OURS, Result, fitting, parts_of, replay
from carbon_policy.cli.words import counted, iso
from carbon_policy.domain.errors import CarbonPolicyError, InvalidInputError
from carbon_policy.domain.times import format_duration
from carbon_policy.domain.units import format_grams, format_percent
from carbon_policy.orchestration.past_runs import Assumptions, PastRun, PastRuns, Wanted
from carbon_policy.outlook.view import GridView

JSON_SCHEMA = "carbon-policy-replay/1"
"""Named in the JSON; raised when a field changes its meaning."""

OUTSIDE = "whose window reaches outside of the grid that is known"
_TOP = 10
_LEARNING = 0.5
"""The share of the work that is reading the grid, and fitting forecasts to it."""


@dataclass(frozen=True)
class DeploymentShare:
    """What a deployment's runs would have saved.

    Attributes:
        name: `flow/deployment`.
        runs: How many.
        assumed: Of how many the flexibility was assumed.
        as_it_was_gco2: What they emitted.
        ours_gco2: With ours.
        oracle_gco2: With perfect knowledge.
        wait_h: Mean wait with ours.
    """

    name: str
    runs: int
    assumed: int
    as_it_was_gco2: float
    ours_gco2: float
    oracle_gco2: float
    wait_h: float

    @property
    def saved_gco2(self) -> float:
        """By ours, against how it was."""
        return self.as_it_was_gco2 - self.ours_gco2


@dataclass(frozen=True)
class ShownReplay:
    """Past runs under each policy.

    Attributes:
        wanted: Which runs were asked for.
        assumed: What was taken where nobody said anything.
        power_given: The power was given on the command line, and is not that of the sites.
        runs: Those that were replayed.
        left_out: Why others were not, and how many for each reason.
        grids: Zone to the grid as it was.
        results: How it was first.
        remarks: What a reader must know.
    """

    wanted: Wanted
    assumed: Assumptions
    power_given: bool
    runs: tuple[PastRun, ...]
    left_out: Counter[str]
    grids: dict[str, PastGrid]
    results: tuple[Result, ...]
    remarks: tuple[str, ...]

    def result(self, policy: str) -> Result:
        """Of a policy."""
        return next(result for result in self.results if result.policy == policy)

    def saved_gco2(self, result: Result) -> float:
        """Against how it was."""
        return self.result(AS_IT_WAS).total_gco2 - result.total_gco2

    def saved_share(self, result: Result) -> float:
        """Of what was emitted, 0 to 1; negative where it costs more."""
        emitted = self.result(AS_IT_WAS).total_gco2
        return self.saved_gco2(result) / emitted if emitted else 0.0

    @property
    def energy_kwh(self) -> float:
        """Of all runs, PUE included."""
        return sum(run.site.drawn_kw * run.duration.total_seconds() / 3600 for run in self.runs)

    @property
    def simulated(self) -> bool:
        """Whether the grid is made up."""
        return any(grid.series.simulated for grid in self.grids.values())

    @property
    def deployments(self) -> list[DeploymentShare]:
        """The one that would have saved most first."""
        was, ours, best = (self.result(name) for name in (AS_IT_WAS, OURS, ORACLE))
        names = [run.deployment for run in self.runs]
        found = []
        for name in sorted(set(names)):
            mine = np.array([other == name for other in names])
            found.append(
                DeploymentShare(
                    name=name,
                    runs=int(mine.sum()),
                    assumed=sum(run.assumed for run in self.runs if run.deployment == name),
                    as_it_was_gco2=float(was.gco2[mine].sum()),
                    ours_gco2=float(ours.gco2[mine].sum()),
                    oracle_gco2=float(best.gco2[mine].sum()),
                    wait_h=float(ours.wait_h[mine].mean()),
                )
            )
        return sorted(found, key=lambda one: -one.saved_gco2)


def shown_replay(
    found: PastRuns,
    wanted: Wanted,
    assumed: Assumptions,
    *,
    power_given: bool,
    grid: GridView,
    trace: Path | None,
) -> ShownReplay:
    """Replay runs on the grid as it was; none is left where nothing is known of any of them.

    Args:
        found: The runs.
        wanted: Which were asked for.
        assumed: What was taken where nobody said anything.
        power_given: The power was given, and is not that of the sites.
        grid: The team's view.
        trace: A recording of the grid instead.

    Raises:
        InvalidInputError: No run can be replayed; the message says why.
    """
    if not found.runs and not found.left_out:
        raise InvalidInputError(
            f"No run of {wanted.since:%Y-%m-%d} to {wanted.until:%Y-%m-%d} was found;"
            " ask for more --days, or for others."
        )
    left_out, remarks = Counter(found.left_out), []
    grids: dict[str, PastGrid] = {}
    with share_of("Replaying") as tell:
        for zone in sorted({run.site.zone for run in found.runs}):
            runs = [run for run in found.runs if run.site.zone == zone]
            start, end = min(run.submitted_at for run in runs), max(map(_window_end, runs))
            try:
                grids[zone] = past_grid(zone, start, end, trace, grid)
            except CarbonPolicyError as error:
                if trace is not None:
                    raise
                left_out[f"in {zone}, of which nothing is known"] += len(runs)
                remarks.append(f"{zone}: {error}")
        runs = fitting(found.runs, grids)
        outside = sum(run.site.zone in grids for run in found.runs) - len(runs)
        if outside:
            left_out[OUTSIDE] += outside
        if not runs:
            raise InvalidInputError(
                f"No run can be replayed. {left_out_sentence(left_out)} {' '.join(remarks)}".strip()
            )
        outlooks = {}
        zones = sorted({run.site.zone for run in runs})
        for at, zone in enumerate(zones):
            tell(_LEARNING * at / len(zones))
            mine = [run for run in runs if run.site.zone == zone]
            issues = stored_issues(grid, grids[zone]) if trace is None else None
            first, last = min(run.submitted_at for run in mine), max(map(_window_end, mine))
            outlooks[zone] = known_then(grids[zone], first, last, issues)
        used = {zone: grids[zone] for zone in outlooks}
        parts = list(parts_of(runs, used, outlooks))
        results = replay(parts, len(runs), lambda share: tell(_LEARNING + (1 - _LEARNING) * share))
    return ShownReplay(
        wanted, assumed, power_given, tuple(runs), left_out, used, tuple(results), tuple(remarks)
    )


def _window_end(run: PastRun) -> datetime:
    """When a run ends at the latest, as it was or under any policy, UTC."""
    latest = run.spec.window(run.submitted_at).latest_start_for(run.duration)
    return max(run.ended_at, (latest or run.submitted_at) + run.duration)


def left_out_sentence(left_out: Counter[str]) -> str:
    """Which runs were left out."""
    if not left_out:
        return ""
    parts = ", ".join(f"{count:,} {why}" for why, count in left_out.most_common())
    return f"Left out: {parts}."


def headline(shown: ShownReplay) -> str:
    """The replay in a sentence."""
    ours, best = shown.result(OURS), shown.result(ORACLE)
    emitted = format_grams(shown.result(AS_IT_WAS).total_gco2)
    saved, possible = (
        f"{format_grams(shown.saved_gco2(one))} ({percent(shown.saved_share(one))})" for one in (ours, best)
    )
    runs = counted(len(shown.runs), "run")
    return f"{runs} emitted {emitted}; ours would have saved {saved}, perfect knowledge {possible}."


def assumptions(shown: ShownReplay) -> list[str]:
    """What a reader must know before believing it."""
    guessed = sum(run.assumed for run in shown.runs)
    window = format_duration(shown.assumed.finish_within)
    said = []
    if guessed:
        said.append(
            f"Of {counted(guessed, 'run')} nobody says how flexible they are: they are taken to be"
            f" {shown.assumed.urgency} and to finish within {window} of being due, or as late as they did."
        )
    said.append(_power_sentence(shown))
    said += [
        f"{zone}: {grid.series.source}, {grid.series.labels}; measured, so no forecast's error is in the grams."
        for zone, grid in sorted(shown.grids.items())
    ]
    said += [
        "Each run stays on the site where it ran, and takes as long as it took; sites without a limit run any number"
        " at once. Starts are in slots of five minutes; stops and restarts of interruptible runs are free.",
        "Savings are against how it was: each run at its real start. The wait is from when it was due.",
        f"Ours plans with: {shown.result(OURS).knows}.",
    ]
    hours = sum(run.spec.allowed_hours is not None for run in shown.runs)
    if hours:
        said.append(f"{counted(hours, 'run')} may start in certain hours only; that is not held here.")
    return [*said, *filter(None, [left_out_sentence(shown.left_out)]), *shown.remarks]


def _power_sentence(shown: ShownReplay) -> str:
    powers = sorted({(run.site.name, run.site.power_w, run.site.pue) for run in shown.runs})
    listed = ", ".join(f"{name} {power:g} W x PUE {pue:g}" for name, power, pue in powers)
    whose = "as was given" if shown.power_given else "as the sites say"
    return f"Energy is not measured: a job draws what its site draws, {whose} ({listed})."


def percent(share: float) -> str:
    """Of a share."""
    return format_percent(100 * share)


def wait(hours: float) -> str:
    """A mean wait."""
    return format_duration(timedelta(minutes=round(hours * 60))) if hours >= 1 / 120 else "none"


RESULT_HEAD = ("Policy", "Knew", "Emits", "Saves", "Share", "Mean wait", "Most at once")
DEPLOYMENT_HEAD = ("Deployment", "Runs", "As it was", "Ours", "Saves", "Share", "Oracle saves", "Mean wait")


def result_rows(shown: ShownReplay) -> list[list[str]]:
    """A row each policy."""
    return [
        [
            one.policy,
            one.knows,
            format_grams(one.total_gco2),
            format_grams(shown.saved_gco2(one)),
            percent(shown.saved_share(one)),
            wait(one.mean_wait_h),
            str(one.peak),
        ]
        for one in shown.results
    ]


def deployment_rows(shown: ShownReplay) -> list[list[str]]:
    """A row each deployment, the first ten."""
    return [
        [
            one.name,
            f"{one.runs:,}",
            format_grams(one.as_it_was_gco2),
            format_grams(one.ours_gco2),
            format_grams(one.saved_gco2),
            percent(one.saved_gco2 / one.as_it_was_gco2 if one.as_it_was_gco2 else 0.0),
            format_grams(one.as_it_was_gco2 - one.oracle_gco2),
            wait(one.wait_h),
        ]
        for one in shown.deployments[:_TOP]
    ]


def as_document(shown: ShownReplay) -> dict[str, Any]:
    """The JSON: grams are gCO2e, shares 0 to 1, times UTC."""
    return {
        "schema": JSON_SCHEMA,
        "since": iso(shown.wanted.since),
        "until": iso(shown.wanted.until),
        "simulated": shown.simulated,
        "runs": len(shown.runs),
        "energy_kwh": shown.energy_kwh,
        "left_out": dict(shown.left_out),
        "assumptions": assumptions(shown),
        "grid": {
            zone: {
                "source": grid.series.source,
                "start": iso(grid.start),
                "end": iso(grid.hourly.end),
                "labels": str(grid.series.labels),
            }
            for zone, grid in sorted(shown.grids.items())
        },
        "policies": [
            {
                "policy": one.policy,
                "knows": one.knows,
                "gco2": one.total_gco2,
                "saved_gco2": shown.saved_gco2(one),
                "saved_share": shown.saved_share(one),
                "mean_wait_h": one.mean_wait_h,
                "peak_running": one.peak,
            }
            for one in shown.results
        ],
        "deployments": [{**vars(one), "saved_gco2": one.saved_gco2} for one in shown.deployments],
    }
