"""The plot of a back-test as a picture, by matplotlib; imported only where one is drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import PercentFormatter

from carbon_policy.report.plotted import INK, SOFT
from carbon_policy.report.skill import COLOURS, SkillPlot, medians

_GRID = "#b9c0bb"


def draw_skill_png(plot: SkillPlot, path: Path) -> None:
    """Writes the picture; pyplot's global state is not touched."""
    figure = Figure(figsize=(12.0, 5.2), dpi=144, layout=ConstrainedLayoutEngine(h_pad=0.06, w_pad=0.12))
    errors, once, again = figure.subplots(1, 3, width_ratios=[1.1, 1, 1])
    again.sharey(once)
    figure.suptitle(
        plot.title, x=0.01, ha="left", fontsize=15, fontweight="bold", color=INK, parse_math=False
    )
    figure.supxlabel(
        "\n".join(plot.caption), x=0.01, ha="left", fontsize=8.5, color=SOFT, parse_math=False, wrap=True
    )
    _draw_errors(errors, plot)
    _draw_kept(once, plot, [method.once for method in plot.methods], "planned once")
    _draw_kept(again, plot, [method.replanned for method in plot.methods], "re-planned hourly")
    for axes in (errors, once, again):
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(_GRID)
        axes.tick_params(colors=INK, length=3, color=_GRID)
        axes.grid(axis="y", color=_GRID, linewidth=0.6, alpha=0.6)
        axes.set_axisbelow(True)
        axes.yaxis.set_major_formatter(PercentFormatter(decimals=0))
    figure.savefig(path, format="png")


def _draw_errors(axes: Axes, plot: SkillPlot) -> None:
    own = plot.methods[0]
    days = list(range(1, len(own.mape_by_day[0]) + 1))
    if len(plot.zones) > 1:
        for row in own.mape_by_day:
            axes.plot(days, [100 * value for value in row], color=COLOURS[0], linewidth=0.6, alpha=0.35)
    for method, colour in zip(plot.methods, COLOURS, strict=False):
        axes.plot(
            days, medians(method.mape_by_day), color=colour, marker="o", markersize=4,
            linewidth=2.2 if method is own else 1.4, label=method.name,
        )  # fmt: skip
    axes.set_ylim(bottom=0)
    axes.set_title(f"Error (MAPE), {plot.of_zones}", loc="left", fontsize=11, color=INK, parse_math=False)
    axes.set_xlabel("Day ahead", color=SOFT)
    axes.legend(frameon=False, fontsize=9, loc="lower right")


def _draw_kept(axes: Axes, plot: SkillPlot, shares: Sequence[Sequence[Sequence[float]]], how: str) -> None:
    """Bars of the share that is kept of each task's saving, a colour for each method."""
    width = 0.84 / len(plot.methods)
    for number, (rows, colour) in enumerate(zip(shares, COLOURS, strict=False)):
        places = [task + (number - (len(plot.methods) - 1) / 2) * width for task in range(len(plot.tasks))]
        kept = medians(rows)
        axes.bar(places, kept, width * 0.92, color=colour)
        for place, share in zip(places, kept, strict=True):
            if not math.isnan(share):
                above = max(share, 0) + 1
                axes.text(place, above, f"{share:.0f}", ha="center", va="bottom", fontsize=7.5, color=SOFT)
    axes.axhline(100, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.axhline(0, color=_GRID, linewidth=0.8)
    axes.set_xticks(range(len(plot.tasks)), list(plot.tasks))
    axes.set_ylim(top=108)
    axes.set_title(f"Saving kept, {how}", loc="left", fontsize=11, color=INK)
