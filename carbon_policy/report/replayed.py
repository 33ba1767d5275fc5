"""What policies would have saved, in one plot: the saving of each, and the wait that it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from carbon_policy.report.extra import plot_extra
from carbon_policy.report.plotted import GOOD

_OTHER = "#8a8f8c"


@dataclass(frozen=True)
class ReplayedPolicy:
    """One policy.

    Attributes:
        name: What it is called.
        saved_percent: Of the grams that savings are against.
        wait_h: Mean wait, h.
        ours: It is the one that is offered.
    """

    name: str
    saved_percent: float
    wait_h: float
    ours: bool = False

    @property
    def colour(self) -> str:
        """Of its bar."""
        return GOOD if self.ours else _OTHER


@dataclass(frozen=True)
class ReplayPlot:
    """All of them.

    Attributes:
        policies: In order.
        simulated: The grid is made up.
        title: Above the picture; a page has its own.
    """

    policies: Sequence[ReplayedPolicy]
    simulated: bool = False
    title: str = ""


def replay_html(plot: ReplayPlot) -> str:
    """The plot as a part of a page, its JavaScript inlined.

    Raises:
        SetupError: What draws it is not installed.
    """
    with plot_extra():
        from carbon_policy.report.replayed_html import draw_replay_html

        return draw_replay_html(plot)


def write_replay_png(path: Path, plot: ReplayPlot) -> Path:
    """The plot as a picture; its folder is made.

    Raises:
        SetupError: What draws it is not installed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with plot_extra():
        from carbon_policy.report.replayed_png import draw_replay_png

        draw_replay_png(plot, path)
    return path
