"""Carbon intensity in a terminal: columns over time, with their band, and windows marked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from rich.text import Text

from carbon_policy.domain.signal import IntensitySeries

_EIGHTHS = " ▁▂▃▄▅▆▇█"
_CHOSEN, _OTHER, _BAND = "green", "bright_black", "cyan"
_ABOVE, _BELOW = "░", "▒"
"""Of a band: what may come on top of what is expected, and what may stay away of it."""
_TICKS = tuple(
    timedelta(seconds=seconds)
    for seconds in (1, 5, 15, 60, 300, 900, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800)
)
_HEIGHT = 5
_TICK_ROOM = 9
"""Columns that a time of day takes, with the space around it."""


@dataclass(frozen=True)
class Mark:
    """A window to be marked.

    Attributes:
        start: UTC.
        end: UTC.
        label: What it is.
    """

    start: datetime
    end: datetime
    label: str


def bar(share: float, width: int) -> str:
    """A horizontal bar of `share` (0 to 1) of `width` columns; what is not nothing is to be seen."""
    return "█" * max(round(share * width), 1 if share > 0 else 0)


@dataclass(frozen=True)
class Band:
    """Between which values the intensity is likely to be.

    Attributes:
        low: At the same slots as what is expected.
        high: At the same slots.
    """

    low: IntensitySeries
    high: IntensitySeries


def intensity_chart(
    series: IntensitySeries,
    start: datetime,
    end: datetime,
    width: int,
    marks: Sequence[Mark] = (),
    band: Band | None = None,
    height: int = _HEIGHT,
) -> Text:
    """The intensity over time. The lowest line is not nought: what is looked for is the dip.

    Args:
        series: Covers all of the time.
        start: Left edge, UTC.
        end: Right edge, UTC.
        width: Columns in all.
        marks: Windows to be set off.
        band: Drawn around the intensity.
        height: Lines of the columns.
    """
    scale = _Scale.of(series, band, start, end, height)
    labels = [f"{scale.top:.0f} ", *[""] * (height - 1), f"{scale.base:.0f} "]
    gutter = max(map(len, labels))
    axis = _Axis(start, end, width - gutter - 1)
    text = Text(no_wrap=True)
    columns = [_Column.of(series, band, scale, *axis.column(index)) for index in range(axis.width)]
    for line in range(height):
        text.append(f"{labels[line]:>{gutter}}│", style="dim")
        for index, column in enumerate(columns):
            chosen = any(axis.within(index, mark) for mark in marks)
            shape, style = column.cell(height - 1 - line)
            text.append(shape, style=_CHOSEN if chosen and style == _OTHER else style)
        text.append("\n")
    text.append(f"{labels[-1]:>{gutter}}└{axis.ruler()}\n{'':>{gutter}} {axis.tick_labels()}", style="dim")
    seen = [mark for mark in marks if any(axis.within(column, mark) for column in range(axis.width))]
    if seen:
        text.append(f"\n{'':>{gutter}} ")
        text.append(axis.underline(seen), style=f"bold {_CHOSEN}")
    return text


@dataclass(frozen=True)
class _Scale:
    """From an intensity to eighths of a line above the lowest."""

    base: float
    top: float
    height: int

    @classmethod
    def of(
        cls, series: IntensitySeries, band: Band | None, start: datetime, end: datetime, height: int
    ) -> _Scale:
        drawn = [series, band.low, band.high] if band else [series]
        shown = [value for one in drawn for value in one.between(start, end).values_gco2_per_kwh]
        top = max(shown) or 1.0
        # A flat day stays flat: its noise is not drawn large.
        return cls(max(0.0, min(shown) - max(top - min(shown), top / 20) / 4), top, height)

    def level(self, gco2_per_kwh: float) -> int:
        return round((gco2_per_kwh - self.base) * 8 * self.height / (self.top - self.base))


@dataclass(frozen=True)
class _Column:
    """One column's levels, in eighths of a line."""

    low: int
    expected: int
    high: int

    @classmethod
    def of(
        cls, series: IntensitySeries, band: Band | None, scale: _Scale, begins: datetime, ends: datetime
    ) -> _Column:
        low, high = (band.low, band.high) if band else (series, series)
        return cls(*(scale.level(one.mean(begins, ends)) for one in (low, series, high)))

    def cell(self, line: int) -> tuple[str, str]:
        """The character of a line, counted from below, and its style."""
        filled = min(max(self.expected - 8 * line, 0), 8)
        middle = 8 * line + 4
        if filled == 0 and middle <= self.high:
            return _ABOVE, _BAND
        if filled == 8 and middle >= self.low < self.expected:
            return _BELOW, _OTHER
        return _EIGHTHS[filled], _OTHER


@dataclass(frozen=True)
class _Axis:
    """Time from left to right."""

    start: datetime
    end: datetime
    width: int

    def column(self, index: int) -> tuple[datetime, datetime]:
        """What one column stands for."""
        span = self.end - self.start
        return self.start + span * index / self.width, min(
            self.start + span * (index + 1) / self.width, self.end
        )

    def within(self, index: int, mark: Mark) -> bool:
        """Whether a column's middle lies in a window; a window narrower than a column still has one."""
        begins, ends = self.column(index)
        return begins <= mark.start < ends or mark.start <= begins + (ends - begins) / 2 < mark.end

    def underline(self, marks: Sequence[Mark]) -> str:
        """A line below each window; one alone has its label on the side that has room, several have them within."""
        line = [" "] * self.width
        for mark in marks:
            columns = [index for index in range(self.width) if self.within(index, mark)]
            first, after, label = columns[0], columns[-1] + 1, mark.label
            line[first:after] = "━" * (after - first)
            if len(marks) == 1:
                if after + 1 + len(label) <= self.width:
                    line[after + 1 : after + 1 + len(label)] = label
                elif len(label) < first:
                    line[first - 1 - len(label) : first - 1] = label
            elif len(label) <= after - first:
                label = f" {label} " if len(label) + 4 <= after - first else label
                middle = (first + after - len(label)) // 2
                line[middle : middle + len(label)] = label
        return "".join(line).rstrip()

    def ruler(self) -> str:
        """The axis itself, with its ticks."""
        line = ["─"] * self.width
        for column, _ in self._ticks():
            line[column] = "┬"
        return "".join(line)

    def tick_labels(self) -> str:
        """A time below each tick; the date where a day begins."""
        line = ""
        for column, moment in self._ticks():
            shape = "%d %b" if moment.hour == moment.minute == moment.second == 0 else "%H:%M"
            label = moment.strftime("%H:%M:%S" if self._step() < timedelta(minutes=1) else shape)
            if column + len(label) <= self.width:
                line = f"{line:<{column}}{label}"
        return line

    def _step(self) -> timedelta:
        narrowest = (self.end - self.start) * _TICK_ROOM / self.width
        return next((step for step in _TICKS if step >= narrowest), _TICKS[-1])

    def _ticks(self) -> Iterator[tuple[int, datetime]]:
        step = self._step()
        midnight = self.start.replace(hour=0, minute=0, second=0, microsecond=0)
        moment = midnight + -(-(self.start - midnight) // step) * step
        while moment < self.end:
            yield int((moment - self.start) / (self.end - self.start) * self.width), moment
            moment += step
