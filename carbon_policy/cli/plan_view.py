"""The planned queue as a person reads it in a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from carbon_policy.cli.chart import Mark, intensity_chart
from carbon_policy.cli.plan_page import as_plot
from carbon_policy.cli.plan_shown import (
    ASSUMED,
    SITE_HEAD,
    PlannedJob,
    ShownPlan,
    capacity_sentence,
    headline,
    site_cells,
    slices_text,
)
from carbon_policy.domain.units import format_grams

_WIDEST, _HEIGHT = 120, 6
_MOST_ZONES = 3


def plan_view(shown: ShownPlan, width: int) -> RenderableType:
    """The forecast with the runs marked on it, the jobs, the sites, and what was sacrificed.

    Args:
        shown: What to show.
        width: Columns of the terminal.
    """
    if not shown.jobs:
        return Text("No run is waiting that the policy will be asked about.")
    if not shown.sites:
        return Group(_jobs(shown, width), Text(ASSUMED, style="dim"))
    return Group(
        *_charts(shown, min(width, _WIDEST)),
        _jobs(shown, width),
        _sites(shown),
        *_sacrificed(shown),
        Text(headline(shown), style="bold"),
        Text(capacity_sentence(shown)),
        Text(ASSUMED, style="dim"),
    )


def _charts(shown: ShownPlan, width: int) -> Iterator[RenderableType]:
    """A chart for each zone in which jobs run; else for the first."""
    zones = {site.name: site.zone for site in shown.queue.sites}
    used = {zones[one.site] for one in shown.jobs if one.site}
    plot = as_plot(shown)
    curves = [series for series in plot.curves if series.zone in used] or list(plot.curves)
    for series in curves[:_MOST_ZONES]:
        simulated = "  SIMULATED" if series.simulated else ""
        yield Text.assemble(
            (f"{series.zone}, gCO2e/kWh; times are UTC", "bold"),
            (f"  from {series.source}", "dim"),
            (simulated, "bold yellow"),
        )
        marks = [
            Mark(part.start, part.finish, str(number))
            for number, one in enumerate(shown.jobs, start=1)
            if one.site and zones[one.site] == series.zone
            for part in one.slices
        ]
        yield intensity_chart(series, plot.start, series.end, width, marks, None, _HEIGHT)


def _jobs(shown: ShownPlan, width: int) -> Table:
    columns = {
        name: cell
        for name, cell in _COLUMNS.items()
        if width >= _ALL_COLUMNS_FROM or name not in _LEFT_OUT_FIRST
    }
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("", justify="right")
    for name in columns:
        # What a run is called is never cut off.
        table.add_column(
            name,
            justify="right" if name in _NUMBERS else "left",
            no_wrap=name != "Run",
            overflow="fold" if name == "Run" else "ellipsis",
        )
    for number, one in enumerate(shown.jobs, start=1):
        cells = (cell(one) for cell in columns.values())
        table.add_row(str(number), *cells, style="yellow" if one.sacrificed else "")
    return table


_COLUMNS: dict[str, Callable[[PlannedJob], str]] = {
    "Run": lambda one: f"{one.job.name} ({one.job.deployment})",
    "Urgency": lambda one: one.job.evidence.spec.urgency.value,
    "Site": lambda one: one.site or "no place",
    "Due": lambda one: f"{one.job.due_at:%a %H:%M}",
    "Starts": lambda one: f"{one.start:%a %d %b %H:%M}" if one.start else "–",
    "Runs": slices_text,
    "Plan": lambda one: format_grams(one.gco2),
    "At once": lambda one: format_grams(one.at_once_gco2),
    "Saves": lambda one: format_grams(one.saved_gco2),
}
_NUMBERS = {"Plan", "At once", "Saves"}
_LEFT_OUT_FIRST, _ALL_COLUMNS_FROM = {"Urgency", "Due", "Runs", "At once"}, 110
"""What a narrow terminal has no room for; the page and the JSON have it all."""


def _sites(shown: ShownPlan) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for number, name in enumerate(SITE_HEAD):
        # The heads are wider than what stands under them.
        table.add_column(name, justify="right" if number else "left", no_wrap=not number)
    for site in shown.sites:
        table.add_row(*site_cells(site))
    return table


def _sacrificed(shown: ShownPlan) -> Iterator[Text]:
    for one in shown.sacrificed:
        yield Text(f"Sacrificed: {one.sacrificed}", style="yellow")
