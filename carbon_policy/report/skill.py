"""How good forecasts were, in one plot: errors by day ahead, and what following them kept of the possible saving."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from carbon_policy.report.extra import plot_extra

COLOURS = ("#00694e", "#0b5fa5", "#e69f00", "#8a8f8c")
"""One for each method, ours first."""


@dataclass(frozen=True)
class Method:
    """One way to forecast, zone by zone.

    Attributes:
        name: What it is called.
        mape_by_day: Of each zone, for each day ahead, as shares.
        once: Of each zone, for each task, the share kept; NaN where there was nothing to keep.
        replanned: The same, re-planned hourly.
    """

    name: str
    mape_by_day: Sequence[Sequence[float]]
    once: Sequence[Sequence[float]]
    replanned: Sequence[Sequence[float]]


@dataclass(frozen=True)
class SkillPlot:
    """The scores of some zones.

    Attributes:
        title: Above it.
        zones: In order.
        tasks: Kinds of job.
        methods: Ours first.
        caption: Below it, a line each.
    """

    title: str
    zones: Sequence[str]
    tasks: Sequence[str]
    methods: Sequence[Method]
    caption: Sequence[str]

    @property
    def of_zones(self) -> str:
        """What a curve stands for."""
        return "median zone" if len(self.zones) > 1 else self.zones[0]


def medians(rows: Iterable[Sequence[float]]) -> list[float]:
    """Over the zones, in percent; NaN where no zone has a value."""
    columns = ([value for value in column if not math.isnan(value)] for column in zip(*rows, strict=True))
    return [100 * median(column) if column else math.nan for column in columns]


def write_skill(path: Path, plot: SkillPlot) -> Path:
    """Draw it, as .png or .html by the file's name; its folder is made.

    Raises:
        SetupError: What draws it is not installed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with plot_extra():
        if path.suffix.lower() == ".png":
            from carbon_policy.report.skill_png import draw_skill_png

            draw_skill_png(plot, path)
        else:
            from carbon_policy.report.skill_html import draw_skill_html

            path.write_text(draw_skill_html(plot), encoding="utf-8")
    return path
