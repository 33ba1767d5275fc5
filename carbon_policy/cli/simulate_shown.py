"""What `carbon-policy simulate` shows, however it is shown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from carbon_policy.cli.progress import one_after_another
from carbon_policy.cli.simulate_rules import INTERRUPTING, Rule
from carbon_policy.cli.simulate_world import Built, policy_of
from carbon_policy.cli.words import counted, iso, moment
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.domain.units import format_grams
from carbon_policy.report.replayed import ReplayedPolicy, ReplayPlot
from carbon_policy.report.schedule_page import Page
from carbon_policy.report.schedule_page import Table as PageTable
from carbon_policy.simulation.run import simulate
from carbon_policy.simulation.world import Outcome

JSON_SCHEMA = "carbon-policy-simulate/1"
"""Named in the JSON; raised when a field changes its meaning."""

HEAD = ("Policy", "Emitted", "Saved", "Of the oracle's", "Mean wait", "Missed", "Most at once")
SAYS = (
    "Saved: against running every job at once. The oracle knows every intensity and length. Wait: from arrival to"
    " completion, beyond the running time."
)


@dataclass(frozen=True)
class Simulated:
    """What each policy came to.

    Attributes:
        built: The world.
        series: The trace.
        outcomes: Running at once first, the oracle last.
    """

    built: Built
    series: IntensitySeries
    outcomes: Sequence[Outcome]

    @property
    def headline(self) -> str:
        """What was simulated, in a sentence."""
        world = self.built.world
        return (
            f"{counted(len(world.jobs), 'job')} on {self.series.source}, {self.series.zone}, from"
            f" {moment(self.built.start)} UTC on; policies see: {world.outlook.name}."
        )


def simulated(
    built: Built, series: IntensitySeries, rules: Sequence[Rule], wait_cost_per_hour: float
) -> Simulated:
    """Try them one after the other."""
    policies = [policy_of(rule, wait_cost_per_hour) for rule in rules]
    with one_after_another(len(policies) + 1) as tell:
        done = 0

        def progress(name: str) -> None:
            nonlocal done
            tell(done, name)
            done += 1

        outcomes = list(
            simulate(
                built.world,
                policies,
                interrupting=any(rule in INTERRUPTING for rule in rules),
                progress=progress,
            )
        )
    return Simulated(built, series, outcomes)


def as_document(shown: Simulated) -> dict[str, Any]:
    """As data: grams, shares from 0 to 1, hours."""
    world = shown.built.world
    return {
        "schema": JSON_SCHEMA,
        "trace": shown.series.source,
        "zone": shown.series.zone,
        "labels": str(shown.series.labels),
        "simulated_grid": shown.series.simulated,
        "start": iso(shown.built.start),
        "jobs": len(world.jobs),
        "slots_per_hour": world.slots_per_hour,
        "outlook": world.outlook.name,
        "policies": [
            {
                "policy": out.policy,
                "gco2": round(out.gco2, 3),
                "saving": round(out.saving, 5),
                "oracle_share": None if math.isnan(out.oracle_share) else round(out.oracle_share, 5),
                "mean_wait_h": round(out.wait_h, 4),
                "mean_completion_h": round(out.completion_h, 4),
                "missed_deadlines": out.missed,
                "peak_running": out.peak_running,
            }
            for out in shown.outcomes
        ],
    }


def simulated_view(shown: Simulated) -> RenderableType:
    """As a person reads it in a terminal."""
    table = Table(box=box.SIMPLE_HEAD)
    for at, name in enumerate(HEAD):
        table.add_column(name, justify="right" if at else "left", no_wrap=True)
    for out in shown.outcomes:
        style = "bold green" if _is_ours(out) else ""
        table.add_row(*_cells(out), style="dim" if out is shown.outcomes[-1] else style)
    made_up = [Text("SIMULATED: this grid is made up, and so are the grams.", style="bold yellow")]
    return Group(
        *(made_up if shown.series.simulated else ()),
        Text(shown.headline, style="bold"),
        table,
        Text(SAYS, style="dim"),
    )


def as_page(shown: Simulated) -> Page:
    """As a page."""
    tried = shown.outcomes[1:-1]
    best = max(tried, key=lambda out: out.saving, default=None)
    figures = [
        (format_grams(shown.outcomes[0].gco2), "at once"),
        (f"{shown.outcomes[-1].saving:.1%}", "could be saved"),
    ]
    if best is not None:
        figures.insert(1, (f"{best.saving:.1%}", f"saved by {best.policy}"))
    return Page(
        title="What policies would save",
        lead=shown.headline,
        figures=figures,
        tables=[PageTable("Policies", HEAD, [_cells(out) for out in shown.outcomes])],
        notes=[SAYS, f"Carbon intensity: {shown.series.labels}."],
        simulated=shown.series.simulated,
    )


def as_plot(shown: Simulated) -> ReplayPlot:
    """The plot of it."""
    return ReplayPlot(
        policies=[
            ReplayedPolicy(out.policy, 100 * out.saving, out.wait_h, _is_ours(out))
            for out in shown.outcomes[1:]
        ],
        simulated=shown.series.simulated,
        title=shown.headline,
    )


def _is_ours(out: Outcome) -> bool:
    return out.policy.startswith("ours")


def _cells(out: Outcome) -> list[str]:
    return [
        out.policy,
        format_grams(out.gco2),
        f"{out.saving:.1%}",
        "–" if math.isnan(out.oracle_share) else f"{out.oracle_share:.0%}",
        f"{out.wait_h:.1f} h",
        f"{out.missed:,}",
        f"{out.peak_running:,}",
    ]
