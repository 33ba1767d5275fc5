"""The day as it passes: its hour, its intensity, and what becomes of each job."""

from __future__ import annotations

from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from carbon_policy.demo.watch import Watched
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.grid.replay import ReplayClock

_BARS = "▁▂▃▄▅▆▇█"
_STYLES = {
    "due later": "dim",
    "asking": "cyan",
    "deferred": "yellow",
    "starting": "blue",
    "running": "bold blue",
    "done": "green",
}


def picture(
    watched: list[Watched], series: IntensitySeries, clock: ReplayClock, now: datetime
) -> RenderableType:
    """One frame.

    Args:
        watched: The jobs.
        series: The day's intensities on the wall's clock.
        clock: From the wall's clock to the day's.
        now: UTC.
    """
    return Group(_day(series, clock, now), _jobs(watched, clock))


def _day(series: IntensitySeries, clock: ReplayClock, now: datetime) -> Text:
    """The day as bars, green where it is clean, with the present hour marked."""
    low, high = min(series.values_gco2_per_kwh), max(series.values_gco2_per_kwh)
    text = Text()
    present = int((now - series.start) / series.step)
    for index, value in enumerate(series.values_gco2_per_kwh):
        share = (value - low) / (high - low) if high > low else 0.5
        colour = "green" if share < 0.34 else "yellow" if share < 0.67 else "red"
        style = f"reverse {colour}" if index == present else colour if index > present else f"dim {colour}"
        text.append(_BARS[min(7, int(share * 8))] * 2, style=style)
    shown = clock.to_trace(now)
    value_now = f"{series.at(now):.0f} g/kWh" if series.start <= now < series.end else "the day is over"
    text.append(f"  {shown:%H:%M}  {value_now}", style="bold")
    if series.simulated:
        text.append("  simulated grid", style="magenta")
    return text


def _jobs(watched: list[Watched], clock: ReplayClock) -> Table:
    table = Table(box=None, pad_edge=False, expand=False)
    for name in ("due", "job", "urgency", "finish within", "now", "why"):
        table.add_column(name, no_wrap=name != "why", overflow="ellipsis" if name == "why" else "fold")
    day_start = clock.trace_start
    for item in watched:
        job = item.job
        window = f"{job.finish_within.total_seconds() / 3600:.0f} h" if job.finish_within else "–"
        word = item.stage if item.stage in _STYLES else "failed"
        stage = Text(word, style=_STYLES.get(item.stage, "red"))
        if item.until is not None:
            stage.append(f" to {clock.to_trace(item.until):%H:%M}")
        elif item.where:
            stage.append(f" on {item.where}")
        why = item.why if word != "failed" else item.stage
        hour, minute = divmod(round(job.due_hour * 60), 60)
        table.add_row(
            f"{day_start.hour + hour:02d}:{minute:02d}",
            job.name,
            job.urgency,
            window,
            stage,
            Text(why, style="dim"),
        )
    return table
