"""The fields that put a source's own time on today's clock."""

from __future__ import annotations

from datetime import timedelta
from typing import Self

from pydantic import Field, model_validator

from carbon_policy.domain.errors import InvalidInputError
from carbon_policy.domain.times import Duration, Moment
from carbon_policy.grid.replay import ReplayClock
from carbon_policy.grid.source import GridSource


class ReplayedSource(GridSource):
    """A source without a clock of its own, which can be shown on today's."""

    trace_start: Moment | None = Field(
        default=None, description="The moment in the source's own time that is shown at `began_at`, UTC."
    )
    began_at: Moment | None = Field(
        default=None, description="The wall-clock moment at which `trace_start` is shown, UTC."
    )
    speed: float = Field(
        default=1.0,
        gt=0,
        allow_inf_nan=False,
        description="Seconds of the source's time that pass in one second.",
    )
    horizon: Duration = Field(
        default=timedelta(hours=96),
        gt=timedelta(0),
        description="How far ahead the forecast reaches, in the source's own time.",
    )

    @model_validator(mode="after")
    def _clock_is_whole(self) -> Self:
        if (self.trace_start is None) != (self.began_at is None):
            raise InvalidInputError("A replay takes both `trace_start` and `began_at`; give both or neither.")
        if self.trace_start is None and self.speed != 1:
            raise InvalidInputError(
                "A speed other than 1 needs a moment to start from; give `trace_start` and `began_at`."
            )
        return self

    @property
    def clock(self) -> ReplayClock:
        """The source's time on the wall's."""
        if self.trace_start is None or self.began_at is None:
            return ReplayClock()
        return ReplayClock(self.began_at, self.trace_start, self.speed)
