"""History as a person reads it in a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from carbon_policy.cli.chart import bar, intensity_chart
from carbon_policy.cli.explained import finding_line
from carbon_policy.cli.history_shown import ShownHistory, amiss
from carbon_policy.cli.words import moment

_WIDEST, _HEIGHT = 120, 7
_MOST_CHARTS, _NARROWEST_BAR = 3, 4


def history_view(shown: ShownHistory, width: int) -> RenderableType:
    """The chart, the days, and what is amiss.

    Args:
        shown: What to show.
        width: Columns of the terminal.
    """
    return Group(
        *_charts(shown, min(width, _WIDEST)),
        _days(shown, min(width, _WIDEST)),
        Text(
            f"{shown.first.source}, {shown.first.labels}; mean {shown.mean:.0f} g/kWh.",
            style="bold",
        ),
        *(Text(sentence, style="yellow") for sentence in amiss(shown)),
        *map(finding_line, shown.findings),
    )


def _charts(shown: ShownHistory, width: int) -> Iterator[RenderableType]:
    """One for each piece: a gap is no value, and a chart has no way to leave one out."""
    yield Text(f"Carbon intensity of {shown.zone}, measured, gCO2e/kWh; times are UTC", style="bold")
    longest = sorted(shown.pieces, key=lambda piece: piece.end - piece.start)[-_MOST_CHARTS:]
    for piece in shown.pieces:
        if piece not in longest:
            continue
        if len(shown.pieces) > 1:
            yield Text(f"{moment(piece.start)} to {moment(piece.end)}", style="dim")
        yield intensity_chart(piece, piece.start, piece.end, width, height=_HEIGHT)


def _days(shown: ShownHistory, width: int) -> Table:
    days = list(shown.days)
    top = max(day.mean for day in days)
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("Day (UTC)", no_wrap=True)
    for name in ("Mean", "Lowest", "Highest", "Known"):
        table.add_column(name, justify="right", no_wrap=True)
    optional = [
        (name, [getattr(day, name.lower()) for day in days])
        for name in ("Estimated", "Revised")
        if any(getattr(day, name.lower()) for day in days)
    ]
    for name, _ in optional:
        table.add_column(name, justify="right", no_wrap=True)
    room = width - 58 - 12 * len(optional)
    if room >= _NARROWEST_BAR:
        table.add_column("", no_wrap=True)
    for index, day in enumerate(days):
        table.add_row(
            f"{day.day}",
            f"{day.mean:.0f}",
            f"{day.lowest:.0f} at {day.lowest_at:%H:%M}",
            f"{day.highest:.0f}",
            Text(f"{day.known:.0%}", style="" if day.known > 0.995 else "yellow"),
            *(f"{counts[index]:,}" for _, counts in optional),
            *(
                [Text(bar(day.mean / top if top else 0, room), style="bright_black")]
                if room >= _NARROWEST_BAR
                else []
            ),
        )
    return table
