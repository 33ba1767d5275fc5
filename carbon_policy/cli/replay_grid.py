"""The grid as it was for a replay, and what would have been known of it then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from carbon_policy.domain.errors import InvalidInputError, SourceUnavailableError
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.forecasting.features import DAY
from carbon_policy.forecasting.hourly import HOUR, Floats, HourlyHistory
from carbon_policy.grid.trace_file import load_trace
from carbon_policy.outlook.stored import LAST_GOOD
from carbon_policy.outlook.view import GridView
from carbon_policy.simulation.outlook import Outlook, Perfect, knowing_the_hour, own_forecasts

SLOT = timedelta(minutes=5)
"""Length of a slot of the replay."""

SLOTS_PER_HOUR = HOUR // SLOT

HISTORY = timedelta(days=70)
"""So much of what came before is asked for where the grid is asked: our forecaster's best model needs nine weeks."""

Issues = Callable[[datetime], IntensitySeries | None]
"""The forecast that was known at a moment, if one was kept."""


@dataclass(frozen=True)
class PastGrid:
    """One zone's.

    Attributes:
        series: What was measured.
        hourly: The same by full hours; slots count from its first.
        actual: The same by slots, g/kWh, shape (slots,).
    """

    series: IntensitySeries
    hourly: HourlyHistory
    actual: Floats

    @classmethod
    def of(cls, series: IntensitySeries) -> PastGrid:
        """By slots, over its full hours."""
        hourly = HourlyHistory.of(series)
        begin_s = (_start(hourly) - series.start).total_seconds()
        edges_s = begin_s + np.arange(len(hourly) * SLOTS_PER_HOUR + 1) * SLOT.total_seconds()
        integral = np.asarray(series.cumulative_gh_per_kwh)
        bounds_s = np.arange(len(integral)) * series.step.total_seconds()
        actual = np.diff(np.interp(edges_s, bounds_s, integral)) * SLOTS_PER_HOUR
        return cls(series, hourly, actual)

    @property
    def start(self) -> datetime:
        """Of the first slot, UTC."""
        return _start(self.hourly)

    def slot(self, moment: datetime) -> int:
        """The slot in which a moment lies; outside of the grid it is negative, or too high."""
        return (moment - self.start) // SLOT


def past_grid(zone: str, start: datetime, end: datetime, trace: Path | None, grid: GridView) -> PastGrid:
    """The grid as it was: of a file, or else as the zone's sources and the store know it.

    Args:
        zone: Which.
        start: The first job was due, UTC.
        end: The last window closed, UTC.
        trace: A recording.
        grid: The team's view, where there is no recording.

    Raises:
        SignalError: Nothing is known of that time.
        InvalidInputError: The file cannot be made sense of.
    """
    if trace is not None:
        return PastGrid.of(load_trace(trace, zone))
    answer = grid.actuals(zone, start - HISTORY, end)
    if answer.series is None or answer.series.start > end or answer.series.end < start:
        answer = grid.actuals(zone, start, end)
    if answer.series is None:
        raise SourceUnavailableError(
            f"Nothing is known of {zone} from {start:%Y-%m-%d}: {' '.join(answer.notes)}"
        )
    return PastGrid.of(answer.series)


def stored_issues(grid: GridView, past: PastGrid) -> Issues | None:
    """The forecasts that the store kept; `None` where no store is open."""
    history, labels = grid.history, past.series.labels
    if history is None:
        return None

    def at(moment: datetime) -> IntensitySeries | None:
        kept = history.latest_forecast(past.series.zone, moment, labels=labels, not_older_than=LAST_GOOD)
        return kept.series if kept else None

    return at


def known_then(past: PastGrid, first: datetime, last: datetime, issues: Issues | None) -> Outlook:
    """What a scheduler would have known, hour by hour: forecasts as they were kept, and our own of that hour's past.

    Where less than a day is known before the first job there is nothing to forecast from, and it is perfect knowledge;
    its name says so.

    Args:
        past: The grid as it was.
        first: The first job was due, UTC.
        last: The last job had to start, UTC.
        issues: The forecasts that were kept.
    """
    begin = (first - past.start) // HOUR
    # The newest issue is that of the hour after, which knows this one.
    end = min((last - past.start) // HOUR + 2, len(past.hourly))
    if begin < DAY + 1:
        return Perfect(past.actual, "perfect knowledge (too little history for a forecast)")
    said = own_forecasts(past.hourly, begin, end)
    kept = 0
    if issues is not None:
        kept = sum(_overlay(row, past.start + (begin + at) * HOUR, issues) for at, row in enumerate(said))
    if not kept:
        name = "our own forecasts, from what was known then"
    elif kept == len(said):
        name = "the forecasts that were kept"
    else:
        name = f"the forecasts that were kept ({kept / len(said):.0%} of the hours), and our own"
    return knowing_the_hour(said, begin, past.hourly.values_gco2_per_kwh, SLOTS_PER_HOUR, name)


def _overlay(row: Floats, hour: datetime, issues: Issues) -> bool:
    """Put a forecast that was kept in the place of our own, as far as it reaches; whether there is one.

    Our own of an hour knows the hour before, and is used from then on; so the one that was kept is as old.
    """
    series = issues(hour - HOUR)
    if series is None or series.end - hour < HOUR:
        return False
    try:
        kept = HourlyHistory.of(series.between(hour, series.end))
    except InvalidInputError:
        return False
    if _start(kept) != hour:
        return False
    values = kept.values_gco2_per_kwh[: len(row)]
    row[: len(values)] = values
    return True


def _start(hourly: HourlyHistory) -> datetime:
    return hourly.end - len(hourly) * HOUR
