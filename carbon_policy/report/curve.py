"""Intensity over days in one plot: the curve, the band around it, windows in it, and who says so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from itertools import pairwise
from pathlib import Path

from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.report.extra import plot_extra


@dataclass(frozen=True)
class Stretch:
    """A part of the time axis.

    Attributes:
        start: UTC.
        end: UTC.
        label: What it is.
    """

    start: datetime
    end: datetime
    label: str


@dataclass(frozen=True)
class CurvePlot:
    """One zone's intensity.

    Attributes:
        title: Above it.
        pieces: Dense, in the order of time; between two of them nothing is known.
        quantiles: Of the first piece, level (0 to 1) to g/kWh, one value a slot.
        windows: To be set off, the best first.
        parts: Who speaks for what.
        caption: Below it, a line each.
    """

    title: str
    pieces: Sequence[IntensitySeries]
    quantiles: Mapping[float, Sequence[float]] = field(default_factory=dict)
    windows: Sequence[Stretch] = ()
    parts: Sequence[Stretch] = ()
    caption: Sequence[str] = ()

    @property
    def first(self) -> IntensitySeries:
        """The piece that says what kind of numbers they all are."""
        return self.pieces[0]

    @property
    def span(self) -> tuple[datetime, datetime]:
        """From the first to the last thing that is known."""
        return naive(self.first.start), naive(self.pieces[-1].end)

    @property
    def intensity_label(self) -> str:
        """What the intensity axis shows."""
        return f"{self.first.zone}, gCO2e/kWh"

    @property
    def top(self) -> float:
        """The highest value that is drawn."""
        highest = max(max(piece.values_gco2_per_kwh) for piece in self.pieces)
        return max([highest, *(max(values) for values in self.quantiles.values())]) or 1.0

    @cached_property
    def bands(self) -> list[tuple[str, Sequence[float], Sequence[float]]]:
        """Name, lower and upper edge of each band, the widest first."""
        levels = sorted(self.quantiles)
        pairs = [(low, high) for low, high in zip(levels, reversed(levels), strict=True) if low < high]
        return [(f"{high - low:.0%} band", self.quantiles[low], self.quantiles[high]) for low, high in pairs]

    @property
    def changes(self) -> list[datetime]:
        """Where another begins to speak."""
        return [naive(after.start) for _, after in pairwise(self.parts)]

    def estimates(self) -> Iterator[tuple[datetime, datetime]]:
        """The runs of slots that the source itself calls estimates."""
        for piece in self.pieces:
            begins = None
            for index, estimated in enumerate((*piece.estimated, False)):
                if estimated and begins is None:
                    begins = index
                elif not estimated and begins is not None:
                    yield naive(piece.slot_start(begins)), naive(piece.slot_start(index))
                    begins = None

    @property
    def footer(self) -> list[str]:
        """Where the intensity comes from, and what else is to be said."""
        kind = f"{self.first.labels}"
        said = [f"{_moment(part.start)} to {_moment(part.end)}: {part.label}." for part in self.parts]
        return [f"Times are UTC. {kind[0].upper()}{kind[1:]}.", *said, *self.caption]


def steps_of(piece: IntensitySeries, values: Sequence[float]) -> tuple[list[datetime], list[float]]:
    """The corners of a step curve: each slot's edges, and the last value once more."""
    edges = [naive(piece.slot_start(index)) for index in range(len(values) + 1)]
    return edges, [*values, values[-1]]


def naive(moment: datetime) -> datetime:
    """Without its zone: both libraries would otherwise move it."""
    return moment.replace(tzinfo=None)


def write_curve(path: Path, plot: CurvePlot) -> Path:
    """Draw it, as .png or .html by the file's name; its folder is made.

    Raises:
        SetupError: What draws it is not installed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with plot_extra():
        if path.suffix.lower() == ".png":
            from carbon_policy.report.curve_png import draw_curve_png

            draw_curve_png(plot, path)
        else:
            from carbon_policy.report.curve_html import draw_curve_html

            path.write_text(draw_curve_html(plot), encoding="utf-8")
    return path


def _moment(moment: datetime) -> str:
    return f"{moment:%a %d %b %H:%M}"
