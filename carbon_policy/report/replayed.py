"""What policies would have saved, in one plot: the saving of each, and the wait that it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from carbon_policy.report.extra import plot_extra


@dataclass(frozen=True)
class ReplayedPolicy:
    """One policy.

    Attributes:
        name: What it is called.
        saved_percent: Of the grams as it was.
        wait_h: Mean wait, h.
        ours: It is the one that is offered.
    """

    name: str
    saved_percent: float
    wait_h: float
    ours: bool = False


@dataclass(frozen=True)
class ReplayPlot:
    """All of them.

    Attributes:
        policies: In order.
        simulated: The grid is made up.
    """

    policies: Sequence[ReplayedPolicy]
    simulated: bool = False


def replay_html(plot: ReplayPlot) -> str:
    """The plot as a part of a page, its JavaScript inlined.

    Raises:
        SetupError: What draws it is not installed.
    """
    with plot_extra():
        from carbon_policy.report.replayed_html import draw_replay_html

        return draw_replay_html(plot)
