"""Recent history before an outlook, so that quantiles are of more than the days ahead."""

from __future__ import annotations

from datetime import datetime, timedelta

from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.domain.times import parse_moment
from carbon_policy.grid.chain import MEASURED_LATE, Outlook, actuals, pinned
from carbon_policy.grid.series import saying

RECENT = timedelta(days=7)
"""How much history goes before an outlook."""


def with_recent_history(answer: Outlook, now: datetime) -> IntensitySeries | None:
    """An outlook with up to a week of history before it.

    History is taken of the source of the outlook itself, and only where steps and labels agree. Where
    the latest slots are not measured yet, the last measured value stands for them. Provenance says
    what was done, or why nothing was.

    Args:
        answer: Of the chain.
        now: UTC.
    """
    series, source = answer.series, answer.source
    if series is None or source is None:
        return series
    speed = source.capabilities().speed
    measured = actuals(series.zone, parse_moment(now) - RECENT / speed, series.start, pinned([source]))
    history = measured.series
    if history is None:
        return saying(series, f"No recent history: {measured.notes[0]}")
    if (history.step, history.labels) != (series.step, series.labels):
        return saying(series, "Recent history was left off: its step or its labels are not the outlook's.")
    gap = series.start - history.end
    if gap % series.step or not timedelta(0) <= gap <= MEASURED_LATE / speed:
        return saying(series, f"Recent history was left off: it ends at {history.end.isoformat()}.")
    values = history.values_gco2_per_kwh
    held = (values[-1],) * (gap // series.step)
    says = f"Measured from {history.start.isoformat()} to {history.end.isoformat()}"
    if held:
        says += f", the last value held to {series.start.isoformat()}"
    return saying(
        series,
        f"{says}; forecast after that.",
        start=history.start,
        values_gco2_per_kwh=(*values, *held, *series.values_gco2_per_kwh),
        estimated=(),
    )
