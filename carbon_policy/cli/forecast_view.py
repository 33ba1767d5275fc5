"""A forecast as a person reads it in a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from carbon_policy.cli.chart import Band, Mark, bar, intensity_chart
from carbon_policy.cli.explained import finding_line, source_line, step_line
from carbon_policy.cli.forecast_shown import ShownForecast
from carbon_policy.domain.times import format_duration

_WIDEST, _HEIGHT = 120, 9
_HOUR = timedelta(hours=1)


def forecast_view(shown: ShownForecast, width: int, *, table: bool) -> RenderableType:
    """The chart, the windows, each hour if asked for, and where it all comes from.

    Args:
        shown: What to show.
        width: Columns of the terminal.
        table: Each hour, too.
    """
    return Group(
        *_chart(shown, min(width, _WIDEST)),
        *([_windows(shown)] if shown.windows else []),
        *([_hours(shown, min(width, _WIDEST))] if table else []),
        *_origin(shown),
    )


def _chart(shown: ShownForecast, width: int) -> Iterator[RenderableType]:
    heading = Text(f"{shown.title}, gCO2e/kWh; times are UTC", style="bold")
    band = None
    if shown.outer is not None:
        low, high = shown.outer
        band = Band(shown.at_level(low), shown.at_level(high))
        heading.append(f"  ▒ ░ band of {high - low:.0%} around what is expected", style="not bold dim")
    yield heading
    alone = f"greenest {format_duration(shown.length)}"
    marks = [
        Mark(window.start, window.end, str(rank) if len(shown.windows) > 1 else alone)
        for rank, window in enumerate(shown.windows, start=1)
    ]
    start = max(shown.now, shown.series.start)
    yield intensity_chart(shown.series, start, shown.series.end, width, marks, band, _HEIGHT)


def _windows(shown: ShownForecast) -> Table:
    now = shown.at_once_gco2_per_kwh
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("", justify="right")
    table.add_column(f"Greenest {format_duration(shown.length)} from", no_wrap=True)
    table.add_column("To", no_wrap=True)
    table.add_column("g/kWh", justify="right", no_wrap=True)
    if shown.outer:
        table.add_column(f"{shown.outer[1] - shown.outer[0]:.0%} band", justify="right", no_wrap=True)
    table.add_column("Than at once", justify="right", no_wrap=True)
    table.add_column("Wait", justify="right", no_wrap=True)
    for rank, window in enumerate(shown.windows, start=1):
        change = window.gco2_per_kwh / now - 1 if now else 0.0
        wait = window.start - shown.now
        table.add_row(
            str(rank),
            *_means(shown, window.start, window.end),
            f"{change:+.0%}".replace("-", "−") if round(change, 2) else "the same",
            format_duration(wait) if wait >= timedelta(minutes=1) else "none",
            style="bold green" if rank == 1 else "",
        )
    at_once = _means(shown, shown.now, shown.now + shown.length)
    table.add_row("", *at_once, "at once", "none", style="dim")
    return table


def _means(shown: ShownForecast, start: datetime, end: datetime) -> list[str]:
    """A window's cells: from, to, and what it is expected to come to."""
    cells = [_moment(start), f"{end:%H:%M}", f"{shown.series.mean(start, end):.0f}"]
    if shown.outer:
        cells.append(" to ".join(f"{shown.at_level(level).mean(start, end):.0f}" for level in shown.outer))
    return cells


def _origin(shown: ShownForecast) -> Iterator[RenderableType]:
    yield source_line(shown.series, shown.fingerprint)
    if shown.step is not None:
        yield step_line(shown.step)
    if len(shown.parts) > 1:
        for part in shown.parts:
            yield Text(f"  {_moment(part.start)} to {_moment(part.end)}: {part.source}")
    for step in shown.series.provenance:
        yield Text(f"  {step}", style="dim")
    yield from map(finding_line, shown.findings)


def _hours(shown: ShownForecast, width: int) -> Table:
    rows = list(_rows(shown))
    outer = shown.outer
    edges = [shown.at_level(level) for level in outer] if outer else []
    top, lowest = max(value for *_, value in rows), min(value for *_, value in rows)
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("From (UTC)", no_wrap=True)
    table.add_column("g/kWh", justify="right", no_wrap=True)
    if outer:
        table.add_column(f"{outer[1] - outer[0]:.0%} band", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for start, end, value in rows:
        style = "green" if value == lowest else ""
        drawn = Text(bar(value / top if top else 0, width - 45), style=style or "bright_black")
        band = [" to ".join(f"{edge.mean(start, end):.0f}" for edge in edges)] if outer else []
        table.add_row(_moment(start), f"{value:.0f}", *band, drawn, style=style)
    return table


def _rows(shown: ShownForecast) -> Iterator[tuple[datetime, datetime, float]]:
    """The mean of each hour, beginning with this one; of each slot, where the whole is but a few hours."""
    series = shown.series
    step = max(series.step, _HOUR) if series.end - shown.now > 3 * _HOUR else series.step
    start = series.start
    while start < series.end:
        end = start + step
        if step == _HOUR:
            # The first row ends on the hour, whatever the slot that it begins with.
            end = end.replace(minute=0, second=0, microsecond=0)
        end = min(end, series.end)
        yield start, end, series.mean(start, end)
        start = end


def _moment(moment: datetime) -> str:
    return f"{moment:%a %d %b %H:%M}"
