"""The greenest windows of an outlook."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from carbon_policy.domain.errors import InvalidInputError
from carbon_policy.domain.signal import IntensitySeries


@dataclass(frozen=True)
class Window:
    """A stretch of time in which a job could run.

    Attributes:
        start: UTC.
        end: UTC.
        gco2_per_kwh: Mean intensity over it.
    """

    start: datetime
    end: datetime
    gco2_per_kwh: float


def greenest_windows(
    series: IntensitySeries, start: datetime, end: datetime, length: timedelta, count: int = 1
) -> list[Window]:
    """The windows with the lowest mean intensity, one a dip, the greenest first.

    Candidates start at `start` and at each slot's start after it, and end by `end`.

    Args:
        series: Covers `start` to `end`.
        start: UTC.
        end: UTC.
        length: Of a window.
        count: How many at most.

    Raises:
        InvalidInputError: No such window fits.
    """
    if length <= timedelta(0) or end - start < length:
        raise InvalidInputError(
            f"No window of {length} fits between {start} and {end}; ask for a shorter one."
        )
    first = (start - series.start) // series.step + 1
    slots = (series.slot_start(index) for index in range(first, len(series.values_gco2_per_kwh)))
    starts = [start, *(slot for slot in slots if slot + length <= end)]
    windows = [Window(at, at + length, series.mean(at, at + length)) for at in starts]
    # The earlier of two alike, so that nothing waits for nothing.
    ranked = sorted(windows, key=lambda window: (window.gco2_per_kwh, window.start))
    dips: list[Window] = []
    for rank, window in enumerate(ranked):
        if len(dips) == count:
            break
        # No better one begins so near that the two overlap: it is the bottom of its dip.
        if all(abs(window.start - better.start) >= length for better in ranked[:rank]):
            dips.append(window)
    return dips
