"""Replay of a recorded day, year or experiment."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from carbon_policy.domain.errors import HorizonError
from carbon_policy.domain.signal import FactorKind, IntensitySeries, SignalKind
from carbon_policy.domain.times import parse_moment
from carbon_policy.grid.replay import ReplayClock
from carbon_policy.grid.replayed import ReplayedSource
from carbon_policy.grid.series import saying
from carbon_policy.grid.source import Capabilities, checked_range
from carbon_policy.grid.trace_columns import TraceLayout
from carbon_policy.grid.trace_file import load_trace, write_trace

__all__ = ["TraceGrid", "TraceLayout", "load_trace", "write_trace"]


class TraceGrid(ReplayedSource):
    """Recorded carbon intensity from a CSV or Parquet file, at the time it was recorded or on today's clock.

    The forecast is the recording itself. That is perfect knowledge, which no real forecast has, and its
    provenance says so.

    Example:
        ```python
        from carbon_policy.grid.trace import TraceGrid

        TraceGrid(
            path="traces/de-2023.csv.gz",
            trace_start="2023-06-01T06:00:00Z",
            began_at="2026-11-22T09:00:00Z",
            speed=1200,
        ).save("replay")
        trace_grid = TraceGrid.load("BLOCK_NAME")
        ```
    """

    _block_type_name: ClassVar[str] = "Carbon Trace Grid"
    _block_type_slug: ClassVar[str] = "carbon-trace-grid"
    _description: ClassVar[str] = (
        "Recorded carbon intensity from a CSV or Parquet file, replayed at any speed."
    )

    path: Path = Field(
        description="A .csv, .csv.gz or .parquet file that whoever places the jobs can read, best as an absolute path."
    )
    zone: str | None = Field(
        default=None, description="The only zone that this trace serves; empty for any it holds."
    )
    time_column: str | None = Field(
        default=None, description="Column of the slots' starts; by its name if empty."
    )
    zone_column: str | None = Field(default=None, description="Column of the zones; by its name if empty.")
    value_column: str | None = Field(default=None, description="Column of g/kWh; by its name if empty.")
    signal: SignalKind | None = Field(
        default=None, description="Average or marginal; as the column's name says, or average, if empty."
    )
    factors: FactorKind | None = Field(
        default=None, description="Direct or life-cycle; as the column's name says, or life-cycle, if empty."
    )
    assume_utc: bool = Field(default=False, description="Take times without a time zone as UTC.")
    allow_zero: bool = Field(
        default=False, description="Take an intensity of 0 as a value, not as a hole in the data."
    )
    allow_flat: bool = Field(
        default=False,
        description="Take hours of identical values as the grid's own, not as a frozen recording.",
    )

    def capabilities(self) -> Capabilities:
        """What this source can be asked; `factors` is the field's, where the file is not to be opened for it."""
        return Capabilities(
            name=f"trace {self.path.name}",
            zones=None if self.zone is None else (self.zone,),
            horizon=self.horizon / self.speed,
            speed=self.speed,
            signal=self.signal or SignalKind.AVERAGE,
            factors=self.factors,
            flat=self.allow_flat,
            zeros=self.allow_zero,
            attribution="As the file's origin says.",
        )

    def history(self, zone: str, start: datetime, end: datetime) -> IntensitySeries:
        """What was recorded in the slots that overlap `start` to `end`, UTC."""
        start, end = checked_range(start, end)
        return self._on_the_wall(zone).between(start, end)

    def forecast(self, zone: str, now: datetime) -> IntensitySeries:
        """What was recorded from the slot that contains `now`, UTC, to the horizon."""
        now = parse_moment(now)
        recorded = self._on_the_wall(zone)
        if not recorded.start <= now < recorded.end:
            raise HorizonError(
                f"{recorded.source} is shown from {recorded.start.isoformat()} to {recorded.end.isoformat()}, and"
                f" {now.isoformat()} is outside; set `trace_start` and `began_at` to replay it on today's clock."
            )
        cut = recorded.between(now, now + self.horizon / self.speed)
        says = "Forecast is the trace itself: perfect knowledge, which no real forecast has."
        return saying(cut, says, issued_at=now)

    def _on_the_wall(self, zone: str) -> IntensitySeries:
        self._refuse_other_zones(zone)
        layout = TraceLayout(
            time_column=self.time_column,
            zone_column=self.zone_column,
            value_column=self.value_column,
            signal=self.signal,
            factors=self.factors,
            assume_utc=self.assume_utc,
            allow_zero=self.allow_zero,
        )
        return _compressed(load_trace(self.path, zone, layout), self.clock)


@lru_cache(maxsize=8)
def _compressed(series: IntensitySeries, clock: ReplayClock) -> IntensitySeries:
    """A whole trace in wall time, once: three years of hours take a while to check again."""
    return clock.compress(series)
