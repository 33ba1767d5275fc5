"""The replayed day: a real one from a trace, or a simulated one; its hours pass in seconds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from carbon_policy.demo.options import DemoOptions
from carbon_policy.domain.errors import InvalidInputError
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.grid.replay import ReplayClock
from carbon_policy.grid.simulated import SimulatedGrid
from carbon_policy.grid.trace import TraceGrid, load_trace, write_trace

# Jobs that are late in the day still need an outlook.
_SHOWN = timedelta(days=1)
_KNOWN = timedelta(days=2)
_DEFAULT_SIMULATED_DAY = date(2026, 6, 10)


@dataclass(frozen=True)
class Day:
    """A day to replay.

    Attributes:
        zone: The grid's zone.
        series: Its intensities in its own time, two days from midnight UTC or what the trace has.
        trace: The file that the placed runs read; `None` where the grid is simulated.
        speed: Seconds of the day that pass in one second.
    """

    zone: str
    series: IntensitySeries
    trace: Path | None
    speed: float

    def clock(self, began_at: datetime) -> ReplayClock:
        """The day's clock, started at a moment (UTC)."""
        return ReplayClock(began_at, self.series.start, self.speed)

    def source(self, began_at: datetime) -> TraceGrid | SimulatedGrid:
        """The grid source that shows the day from a moment (UTC) on."""
        clock = {"trace_start": self.series.start, "began_at": began_at, "speed": self.speed}
        if self.trace is None:
            return SimulatedGrid(**clock)
        return TraceGrid(path=self.trace, zone=self.zone, **clock)

    def shown(self, began_at: datetime) -> IntensitySeries:
        """The day's 24 hours on the wall's clock, for plots."""
        clock = self.clock(began_at)
        day = self.series.between(self.series.start, min(self.series.start + _SHOWN, self.series.end))
        return clock.compress(day)


def load_day(options: DemoOptions, folder: Path) -> Day:
    """Cut the day out of the trace, or take a simulated one.

    Args:
        options: What the user asked for.
        folder: For the cut: the worker reads it every few seconds, and a year would take it a second.

    Raises:
        InvalidInputError: The trace does not hold the day; the message says which days it holds.
        SignalError: The trace cannot be trusted.
    """
    speed = _SHOWN.total_seconds() / options.day_seconds
    if options.trace is None:
        start = _midnight(options.day or _DEFAULT_SIMULATED_DAY)
        series = SimulatedGrid().history(options.zone, start, start + _KNOWN)
        return Day(options.zone, series, None, speed)
    whole = load_trace(options.trace, zone=options.zone)
    start = _midnight(options.day) if options.day else max(whole.start, whole.end - _KNOWN)
    if not whole.covers(start, start + _SHOWN):
        raise InvalidInputError(
            f"{options.trace.name} holds {options.zone} from {whole.start:%Y-%m-%d} to {whole.end:%Y-%m-%d},"
            f" and not all of {start:%Y-%m-%d}; choose another day."
        )
    series = whole.between(start, min(start + _KNOWN, whole.end))
    cut = folder / "day.csv"
    write_trace(series, cut)
    return Day(options.zone, series, cut, speed)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(0), tzinfo=UTC)
