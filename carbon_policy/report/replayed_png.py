"""The plot of what policies would have saved as a picture, by matplotlib; imported only where one is drawn."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from carbon_policy.report.plotted import WATERMARK_COLOUR
from carbon_policy.report.replayed import ReplayPlot


def draw_replay_png(plot: ReplayPlot, path: Path) -> None:
    """Writes the picture: a bar for each policy's saving, and its wait in words."""
    figure = Figure(figsize=(9, 1.4 + 0.36 * len(plot.policies)), dpi=144, layout="constrained")
    axes = figure.subplots()
    bars = axes.barh(
        [policy.name for policy in plot.policies],
        [policy.saved_percent for policy in plot.policies],
        0.7,
        color=[policy.colour for policy in plot.policies],
    )
    says = [f"{policy.saved_percent:.1f}%, waits {policy.wait_h:.1f} h" for policy in plot.policies]
    axes.bar_label(bars, says, padding=4, fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.25)
    axes.set_xlabel("saved against running at once, %")
    axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(plot.title, x=0.01, ha="left", fontsize=9, parse_math=False)
    if plot.simulated:
        mark = axes.text(0.5, 0.5, "SIMULATED", transform=axes.transAxes, ha="center", va="center", zorder=5)
        mark.set(fontsize=40, fontweight="bold", color=WATERMARK_COLOUR, alpha=0.4)
    figure.savefig(path, format="png")
