"""A trace of the past shown on today's clock, at any speed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from carbon_policy.domain.errors import InvalidInputError
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.domain.times import format_duration
from carbon_policy.grid.series import saying

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class ReplayClock:
    """Two clocks that run together: the wall's, and the trace's that was started on it.

    All that leaves a source is in wall time, compressed by `speed`: an hourly trace at speed 1200
    has 3 s slots. So policies, deadlines and energy know one time only. The default is the
    identity: trace times are wall times.

    Attributes:
        began_at: The wall-clock moment, UTC, at which ...
        trace_start: ... this moment of the trace, UTC, is shown.
        speed: Seconds of trace that pass in one second.
    """

    began_at: datetime = EPOCH
    trace_start: datetime = EPOCH
    speed: float = 1.0

    def to_trace(self, wall: datetime) -> datetime:
        """The moment of the trace that is shown at a wall-clock moment, UTC."""
        return self.trace_start + (wall - self.began_at) * self.speed

    def to_wall(self, trace: datetime) -> datetime:
        """The wall-clock moment at which a moment of the trace is shown, UTC."""
        return self.began_at + (trace - self.trace_start) / self.speed

    def on_the_wall(self, start: datetime, step: timedelta) -> tuple[datetime, timedelta]:
        """Start and length of the first slot of a series in wall time, from those in trace time.

        A compressed slot is rounded to the microsecond. The lattice of slots is pinned where the
        replay begins, so that the error is nothing there and 1 s at most two million slots away.
        """
        wall_step = step / self.speed
        if wall_step <= timedelta(0):
            raise InvalidInputError(
                f"At speed {self.speed:g} a slot of {format_duration(step)} takes no time; lower the speed."
            )
        slots = (self.trace_start - start) // step
        return self.to_wall(start + slots * step) - slots * wall_step, wall_step

    def compress(self, series: IntensitySeries) -> IntensitySeries:
        """A series of trace time in wall time, its provenance saying so."""
        if self == ReplayClock():
            return series
        start, step = self.on_the_wall(series.start, series.step)
        return saying(series, self.sentence(), start=start, step=step)

    def sentence(self) -> str:
        """What provenance says of a replay."""
        return (
            f"Replayed at {self.speed:g} times real speed: {self.trace_start.isoformat()} is shown"
            f" at {self.began_at.isoformat()}."
        )
