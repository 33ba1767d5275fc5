"""A back-test as a person reads it in a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from carbon_policy.cli.backtest_shown import Scored, kept_of, median_days, task_name
from carbon_policy.cli.words import counted
from carbon_policy.forecasting.backtest import OWN, YESTERDAY, Backtest
from carbon_policy.forecasting.capture import Task


def backtest_view(done: Scored) -> RenderableType:
    """MAPE by day, the band, the savings; with several zones their median, and a row each."""
    each: list[RenderableType] = []
    if len(done.zones) > 1:
        each = [_zones(done), Text("Median of the zones:", style="bold")]
    return Group(
        _headline(done),
        *each,
        _mape(done),
        _kept(done),
        *_bands(done),
        Text(
            "Kept: the share of what perfect foresight saves against starting at once; the start planned once,"
            " and looked at again every hour.",
            style="dim",
        ),
    )


def _headline(done: Scored) -> Text:
    one = done.zones[0]
    refitted = f", fitted anew every {done.refit_every_h} h" if done.refit_every_h else ""
    name = one.zone if len(done.zones) == 1 else counted(len(done.zones), "zone")
    alike = len({(zone.tested_from, zone.scores.trained_h, zone.scores.tested_h) for zone in done.zones}) == 1
    return Text.assemble(
        (f"{name} of {done.source}: ", "bold"),
        f"{'' if alike else 'the first '}fitted to {one.scores.trained_h:,} h, tested from"
        f" {one.tested_from:%Y-%m-%d %H:%M} UTC on ({one.scores.tested_h:,} h,"
        f" {one.scores.submissions:,} submissions of each job){refitted}.",
    )


def _mape(done: Scored) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("Error (MAPE) on day", no_wrap=True)
    days = median_days(done, OWN)
    for day in range(1, len(days) + 1):
        table.add_column(str(day), justify="right", no_wrap=True)
    table.add_column("1 to 4", justify="right", no_wrap=True)
    for method in done.methods:
        over = done.median(lambda scores, method=method: scores.method(method).mape_96h)  # type: ignore[misc]
        cells = [*median_days(done, method), over]
        table.add_row(method, *(f"{cell:.1%}" for cell in cells), style="bold green" if method == OWN else "")
    return table


def _kept(done: Scored) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("Saving kept, once / re-planned", no_wrap=True)
    for task in done.tasks:
        table.add_column(task_name(task), justify="right", no_wrap=True)
    for method in done.methods:
        style = "bold green" if method == OWN else ""
        table.add_row(method, *(_pair(done, method, task) for task in done.tasks), style=style)
    oracle = [
        done.median(lambda scores, task=task: kept_of(scores, OWN, task).oracle_saving)  # type: ignore[misc]
        for task in done.tasks
    ]
    table.add_row("perfect foresight saves", *map(_share, oracle), style="dim")
    return table


def _pair(done: Scored, method: str, task: Task) -> str:
    once = done.median(lambda scores: kept_of(scores, method, task).once)
    replanned = done.median(lambda scores: kept_of(scores, method, task).replanned)
    return f"{_share(once)} / {_share(replanned)}"


def _bands(done: Scored) -> Iterator[Text]:
    banded = [zone.scores.bands for zone in done.zones if zone.scores.bands is not None]
    if not banded:
        yield Text("There is too little history for bands.", style="yellow")
        return

    def of(name: str) -> float:
        return done.median(lambda scores: getattr(scores.bands, name) if scores.bands else math.nan)

    yield Text(
        f"The {banded[0].promised:.0%} band held {of('coverage_24h'):.0%} of the hours of the first day,"
        f" {of('coverage_96h'):.0%} of four days and {of('coverage_168h'):.0%} of the week;"
        f" pinball loss over four days {of('pinball_96h_gco2_per_kwh'):.1f} g/kWh."
    )


def _zones(done: Scored) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("Zone", no_wrap=True)
    table.add_column("MAPE\nday 1", justify="right")
    table.add_column("4 days\n(naive)", justify="right", no_wrap=True)
    table.add_column("Band\n4 days", justify="right")
    table.add_column("Pinball\ng/kWh", justify="right")
    for task in done.tasks:
        table.add_column(f"{task_name(task)}\nkept, of", justify="right", no_wrap=True)
    for zone in done.zones:
        table.add_row(zone.zone, *_cells(zone.scores, done))
    return table


def _cells(scores: Backtest, done: Scored) -> Iterator[str]:
    own, naive = scores.method(OWN), scores.method(YESTERDAY)
    yield f"{own.mape_by_day[0]:.1%}"
    yield f"{own.mape_96h:.1%} ({naive.mape_96h:.1%})"
    yield f"{scores.bands.coverage_96h:.0%}" if scores.bands else "–"
    yield f"{scores.bands.pinball_96h_gco2_per_kwh:.1f}" if scores.bands else "–"
    for task in done.tasks:
        kept = kept_of(scores, OWN, task)
        yield f"{_share(kept.once)} / {_share(kept.replanned)}, {_share(kept.oracle_saving)}"


def _share(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.0%}"
