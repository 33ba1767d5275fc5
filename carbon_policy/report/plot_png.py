"""The plot of a day as a picture, by matplotlib; imported only where one is drawn."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from matplotlib import dates
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from carbon_policy.domain.site import Tier
from carbon_policy.report.plotted import (
    INK,
    INTENSITY_COLOURS,
    SOFT,
    TIER_COLOURS,
    WAITING_COLOUR,
    WATERMARK_COLOUR,
    DayPlot,
    Row,
)

_DPI = 144
_WIDTH_IN = 12.0
_CURVE_IN = 2.7
_ROW_IN = 0.3
_TALLEST_IN = 200.0
_TICKS = ["%Y", "%b", "%d %b", "%H:%M", "%H:%M", "%S"]
_HATCHES = {Tier.FAST: "", Tier.ECO: "////"}


def draw_png(day: DayPlot, path: Path) -> None:
    """Writes the picture; pyplot's global state is not touched."""
    rows_in = min(max(1, len(day.rows)) * _ROW_IN + 0.3, _TALLEST_IN)
    figure = Figure(
        figsize=(_WIDTH_IN, _CURVE_IN + rows_in + 1.5),
        dpi=_DPI,
        layout=ConstrainedLayoutEngine(h_pad=0.06, w_pad=0.08),
    )
    curve, gantt = figure.subplots(2, 1, sharex=True, height_ratios=[_CURVE_IN, rows_in])
    figure.suptitle(day.title, x=0.01, ha="left", fontsize=15, fontweight="bold", color=INK, parse_math=False)
    figure.supxlabel(
        "\n".join(day.caption), x=0.01, ha="left", fontsize=8.5, color=SOFT, parse_math=False, wrap=True
    )
    _draw_intensity(curve, day)
    _draw_jobs(gantt, day)
    _dress(curve, gantt, day)
    with warnings.catch_warnings():
        # A job may be named in a script that the font lacks: boxes in a picture are no reason to fail.
        warnings.filterwarnings("ignore", message="Glyph")
        figure.savefig(path, format="png")


def _draw_intensity(axes: Axes, day: DayPlot) -> None:
    values = day.series.values_gco2_per_kwh
    _fill(axes, day, values)
    axes.step(_numbers(*day.edges), [*values, values[-1]], where="post", color=INK, linewidth=1.3)
    axes.set_ylim(0, max(values) * 1.08 or 1)
    axes.set_ylabel(day.intensity_label, color=SOFT, parse_math=False)


def _fill(axes: Axes, day: DayPlot, heights: Sequence[float], **style: Any) -> None:
    """Every slot in its intensity's colour, `heights` tall."""
    shade = LinearSegmentedColormap.from_list("intensity", INTENSITY_COLOURS)
    colours = shade(Normalize(*day.colour_range)(day.series.values_gco2_per_kwh))
    widths = [width.total_seconds() / 86400 for width in day.widths]
    # An edge of the same colour, or thin lines of the background shine through between the slots.
    style = {"align": "edge", "color": colours, "edgecolor": colours, "linewidth": 0.3} | style
    axes.bar(_numbers(*day.edges[:-1]), heights, width=widths, **style)


def _draw_jobs(axes: Axes, day: DayPlot) -> None:
    bottom = max(1, len(day.rows)) - 0.4
    # The same colours, faint, behind the jobs: where a bar lies is what it emitted.
    _fill(axes, day, [bottom + 0.6] * len(day.widths), bottom=-0.6, linewidth=0, alpha=0.2)
    for y, row in enumerate(day.rows):
        submitted, started, ended = _numbers(row.submitted, row.started, row.ended)
        axes.plot([submitted, started], [y, y], color=WAITING_COLOUR, linewidth=1.4, solid_capstyle="butt")
        axes.plot(submitted, y, "|", color=WAITING_COLOUR, markersize=7, markeredgewidth=1.4)
        if row.deferred:
            axes.plot(submitted, y, "D", color="white", markeredgecolor=WAITING_COLOUR, markersize=6)
        axes.barh(
            y,
            ended - started,
            left=started,
            height=0.62,
            color=TIER_COLOURS[row.tier],
            edgecolor="white",
            linewidth=0.8,
            hatch=_HATCHES[row.tier],
            zorder=3,
        )
        _write_result(axes, y, row)
    axes.set_ylim(bottom, -0.6)
    axes.set_yticks(range(len(day.rows)), [row.name for row in day.rows], fontsize=9.5, parse_math=False)


def _write_result(axes: Axes, y: int, row: Row) -> None:
    """At the right of the row, outside the axes, where no bar can be."""
    place: dict[str, Any] = {
        "transform": axes.get_yaxis_transform(),
        "va": "center",
        "clip_on": False,
        "parse_math": False,
    }
    axes.text(1.085, y, row.saved, ha="right", fontsize=9.5, fontweight="bold", color=row.colour, **place)
    axes.text(1.095, y, row.label, ha="left", fontsize=8.5, color=SOFT, **place)


def _dress(curve: Axes, gantt: Axes, day: DayPlot) -> None:
    for axes in (curve, gantt):
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color("#b9c0bb")
        axes.tick_params(colors=INK, length=3, color="#b9c0bb")
        axes.grid(axis="x", color="#b9c0bb", linewidth=0.6, alpha=0.6)
        axes.set_axisbelow(True)
    curve.grid(axis="y", color="#b9c0bb", linewidth=0.6, alpha=0.6)
    gantt.tick_params(axis="y", length=0)
    start, end = _numbers(*day.span)
    gantt.set_xlim(start, end)
    locator = dates.AutoDateLocator(minticks=6, maxticks=13)  # type: ignore[no-untyped-call]
    gantt.xaxis.set_major_locator(locator)
    gantt.xaxis.set_major_formatter(
        dates.ConciseDateFormatter(  # type: ignore[no-untyped-call]
            locator, formats=_TICKS, zero_formats=["", *_TICKS[:-1]], show_offset=False
        )
    )
    gantt.set_xlabel(day.time_label, color=SOFT, parse_math=False)
    if day.rows:
        gantt.text(
            1.085, -0.75, "saved", ha="right", fontsize=8.5, color=SOFT, transform=gantt.get_yaxis_transform()
        )
    curve.legend(
        handles=_legend(), loc="lower right", bbox_to_anchor=(1, 1), ncols=4, frameon=False, fontsize=9
    )
    if day.series.simulated:
        for axes in (curve, gantt):
            mark = axes.text(
                0.5, 0.5, "SIMULATED", transform=axes.transAxes, ha="center", va="center", zorder=5
            )
            mark.set(fontsize=52, fontweight="bold", color=WATERMARK_COLOUR, alpha=0.4)


def _numbers(*moments: datetime) -> list[float]:
    return [float(number) for number in dates.date2num(moments)]  # type: ignore[no-untyped-call]


def _legend() -> list[Patch | Line2D]:
    return [
        *(
            Patch(facecolor=colour, edgecolor="white", hatch=_HATCHES[tier], label=f"ran on {tier.value}")
            for tier, colour in TIER_COLOURS.items()
        ),
        Line2D([], [], color=WAITING_COLOUR, linewidth=1.4, label="waited"),
        Line2D(
            [], [], color="white", marker="D", markeredgecolor=WAITING_COLOUR, markersize=6, label="deferred"
        ),
    ]
