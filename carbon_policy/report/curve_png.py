"""The plot of a curve as a picture, by matplotlib; imported only where one is drawn."""

from __future__ import annotations

from pathlib import Path

from matplotlib import dates
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from carbon_policy.report.curve import CurvePlot, naive, steps_of
from carbon_policy.report.plotted import GOOD, INK, SOFT, WATERMARK_COLOUR

BAND_COLOURS = ("#cfe0ee", "#9dbfdb", "#6f9fc6")
_GRID = "#b9c0bb"
_TICKS = ["%Y", "%b", "%a %d %b", "%H:%M", "%H:%M", "%S"]


def draw_curve_png(plot: CurvePlot, path: Path) -> None:
    """Writes the picture; pyplot's global state is not touched."""
    footer = plot.footer
    figure = Figure(
        figsize=(12.0, 4.6 + 0.19 * len(footer)),
        dpi=144,
        layout=ConstrainedLayoutEngine(h_pad=0.06, w_pad=0.08),
    )
    axes = figure.subplots()
    figure.suptitle(
        plot.title, x=0.01, ha="left", fontsize=15, fontweight="bold", color=INK, parse_math=False
    )
    figure.supxlabel(
        "\n".join(footer), x=0.01, ha="left", fontsize=8.5, color=SOFT, parse_math=False, wrap=True
    )
    _draw(axes, plot)
    _dress(axes, plot)
    figure.savefig(path, format="png")


def _draw(axes: Axes, plot: CurvePlot) -> None:
    for (name, low, high), colour in zip(plot.bands, BAND_COLOURS, strict=False):
        edges, lower = steps_of(plot.first, low)
        upper = steps_of(plot.first, high)[1]
        axes.fill_between(_numbers(edges), lower, upper, step="post", color=colour, linewidth=0, label=name)
    for number, piece in enumerate(plot.pieces):
        edges, values = steps_of(piece, piece.values_gco2_per_kwh)
        label = ("expected" if piece.issued_at else "measured") if not number else "_nolegend_"
        axes.step(_numbers(edges), values, where="post", color=INK, linewidth=1.4, label=label)
    for number, (start, end) in enumerate(plot.estimates()):
        first, last = _numbers([start, end])
        label = "estimated by the source" if not number else "_nolegend_"
        axes.axvspan(first, last, color="#e69f00", alpha=0.18, linewidth=0, label=label)
    for number, window in enumerate(plot.windows):
        first, last = _numbers([naive(window.start), naive(window.end)])
        label = "greenest windows" if not number else "_nolegend_"
        axes.axvspan(first, last, color="#2fa36b", alpha=0.25, linewidth=0, label=label)
        axes.text(
            (first + last) / 2, 1.01, window.label, transform=axes.get_xaxis_transform(), ha="center",
            va="bottom", fontsize=9.5, fontweight="bold", color=GOOD, parse_math=False,
        )  # fmt: skip
    for change in _numbers(plot.changes):
        axes.axvline(change, color=SOFT, linewidth=1, linestyle=(0, (4, 3)))


def _dress(axes: Axes, plot: CurvePlot) -> None:
    axes.set_ylim(0, plot.top * 1.08)
    axes.set_xlim(*_numbers(plot.span))
    axes.set_ylabel(plot.intensity_label, color=SOFT, parse_math=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_GRID)
    axes.tick_params(colors=INK, length=3, color=_GRID)
    axes.grid(color=_GRID, linewidth=0.6, alpha=0.6)
    axes.set_axisbelow(True)
    locator = dates.AutoDateLocator(minticks=5, maxticks=13)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(
        dates.ConciseDateFormatter(  # type: ignore[no-untyped-call]
            locator,
            formats=_TICKS,
            zero_formats=["", "%Y", "%d %b", "%a %d %b", "%H:%M", "%H:%M"],
            show_offset=False,
        )
    )
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1.05), ncols=5, frameon=False, fontsize=9)
    if plot.first.simulated:
        mark = axes.text(0.5, 0.5, "SIMULATED", transform=axes.transAxes, ha="center", va="center", zorder=5)
        mark.set(fontsize=52, fontweight="bold", color=WATERMARK_COLOUR, alpha=0.4)


def _numbers(moments: object) -> list[float]:
    return [float(number) for number in dates.date2num(moments)]  # type: ignore[no-untyped-call]
