"""A day in one plot: intensity as a step curve from green to brown, and the jobs below it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.report.extra import plot_extra
from carbon_policy.report.plotted import DayPlot, PlottedJob, plotted_jobs

__all__ = ["PlottedJob", "day_plot_html", "day_plot_png", "plotted_jobs"]


def day_plot_png(
    path: Path | str,
    series: IntensitySeries,
    jobs: Sequence[PlottedJob],
    title: str,
    to_display: Callable[[datetime], datetime] | None = None,
    *,
    licence: str = "",
) -> Path:
    """Writes the plot as a PNG; its folder is made.

    Args:
        path: Where to.
        series: The intensity, in the same time as the jobs.
        jobs: From the top row down.
        title: Above the plot.
        to_display: From a moment to the one that the axis shows, in the zone of its answer: a replayed
            day's own time, or a local zone. UTC as it is where there is none.
        licence: Of the intensity data; a sentence for the foot of the plot.

    Returns:
        The path.

    Raises:
        SetupError: matplotlib is not installed.
    """
    with plot_extra():
        from carbon_policy.report.plot_png import draw_png
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    draw_png(DayPlot(series, jobs, title, to_display, licence), file)
    return file


def day_plot_html(
    series: IntensitySeries,
    jobs: Sequence[PlottedJob],
    title: str,
    to_display: Callable[[datetime], datetime] | None = None,
    *,
    licence: str = "",
    full_page: bool = False,
) -> str:
    """The same plot for a browser, its JavaScript inlined: a fragment for `to_html`, or a page of its own.

    The arguments are those of `day_plot_png`.

    Raises:
        SetupError: plotly is not installed.
    """
    with plot_extra():
        from carbon_policy.report.plot_html import draw_html
    return draw_html(DayPlot(series, jobs, title, to_display, licence), full_page=full_page)
