"""A plan on the forecast in one plot: the intensity of each zone, and below it each job's wait and run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.report.extra import plot_extra

MOST_JOBS = 60
"""A plot with more rows is read by nobody; the table has them all."""

COLOURS = ("#0b5fa5", "#e69f00", "#00694e", "#b35c9e", "#7a5230", "#56b4e9")
"""One for each site or zone; far apart for every kind of colour blindness."""


@dataclass(frozen=True)
class ScheduledJob:
    """A job as a row.

    Attributes:
        name: What it is called.
        due_at: From when it waits, UTC.
        stretches: Start and end of each stretch in which it runs, UTC, in order.
        site: Where.
        label: Said at the end of its row.
    """

    name: str
    due_at: datetime
    stretches: Sequence[tuple[datetime, datetime]]
    site: str
    label: str = ""


@dataclass(frozen=True)
class SchedulePlot:
    """A plan.

    Attributes:
        title: Above it.
        curves: The expected intensity of each zone.
        jobs: In the order of the rows.
        sites: Names of the sites, each with the colour of its place in this order.
        start: Left edge, UTC.
        end: Right edge, UTC.
    """

    title: str
    curves: Sequence[IntensitySeries]
    jobs: Sequence[ScheduledJob]
    sites: Sequence[str]
    start: datetime
    end: datetime

    @property
    def shown(self) -> Sequence[ScheduledJob]:
        """The rows that are drawn."""
        return self.jobs[:MOST_JOBS]


def schedule_html(plot: SchedulePlot) -> str:
    """The plot as a part of a page, its JavaScript inlined.

    Raises:
        SetupError: What draws it is not installed.
    """
    with plot_extra():
        from carbon_policy.report.schedule_html import draw_schedule_html

        return draw_schedule_html(plot)
