"""What a plot of a day shows, whichever library draws it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from itertools import pairwise

from carbon_policy.domain.ledger import LedgerEntry
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.domain.site import Tier
from carbon_policy.domain.units import format_grams, sign
from carbon_policy.report.summary import deployment_of

# Green to brown gets darker all the way, so that it reads without seeing either hue.
INTENSITY_COLOURS = ("#a9dcb5", "#c3cf7c", "#c9a24a", "#94602a", "#4f2d14")
# Blue and orange are far apart for every kind of colour blindness; eco is hatched as well.
TIER_COLOURS = {Tier.FAST: "#0b5fa5", Tier.ECO: "#e69f00"}
WAITING_COLOUR = "#4a4f4c"
# A grey that shows on the lightest and on the darkest intensity.
WATERMARK_COLOUR = "#8a8f8c"
INK = "#1d2520"
SOFT = "#5c6761"
GOOD = "#00694e"
BAD = "#b3261e"

LONGEST_NAME = 34
_NARROWEST_BAR = 0.006
"""Of the time axis: a job of seconds in a plot of a day is still to be seen."""


@dataclass(frozen=True)
class PlottedJob:
    """One job as a bar.

    Attributes:
        name: What it is called.
        submitted_at: When it was due, UTC.
        started_at: When it began, UTC.
        ended_at: When it ended, UTC.
        tier: `fast` or `eco`.
        label: A word on why; shown at the end of its row.
        saved_gco2: Against at once on fast; `None` while it is not known.
        deferred: It was told to wait.
    """

    name: str
    submitted_at: datetime
    started_at: datetime
    ended_at: datetime
    tier: str
    label: str = ""
    saved_gco2: float | None = None
    deferred: bool = False


def plotted_jobs(entries: Iterable[LedgerEntry]) -> list[PlottedJob]:
    """The bars of these entries."""
    return [
        PlottedJob(
            name=entry.run_name or deployment_of(entry),
            submitted_at=entry.submitted_at,
            started_at=entry.started_at,
            ended_at=entry.ended_at,
            tier=entry.tier,
            label=entry.reason,
            saved_gco2=entry.saved_gco2,
            deferred=entry.deferrals > 0,
        )
        for entry in entries
    ]


@dataclass(frozen=True)
class Row:
    """One job on the plot's time axis: naive times in the axis' zone, texts cut to fit.

    Attributes:
        name: Cut to `LONGEST_NAME`.
        submitted: Start of the wait.
        started: End of the wait, start of the bar.
        ended: End of the bar; a little later than the job's, if the bar were too narrow to be seen.
        tier: Which colour.
        label: A word on why.
        saved: What it saved, for people.
        colour: Of that: red where it is negative.
        deferred: Whether to mark it.
    """

    name: str
    submitted: datetime
    started: datetime
    ended: datetime
    tier: Tier
    label: str
    saved: str
    colour: str
    deferred: bool


@dataclass(frozen=True)
class DayPlot:
    """One day's intensity with its jobs.

    Attributes:
        series: The intensity.
        jobs: From the top row down.
        title: Above it.
        to_display: From a moment of `series` or of a job to the moment that the axis shows.
        licence: Of the intensity data; a sentence.
    """

    series: IntensitySeries
    jobs: Sequence[PlottedJob]
    title: str
    to_display: Callable[[datetime], datetime] | None = None
    licence: str = ""

    @cached_property
    def edges(self) -> list[datetime]:
        """The slots' boundaries on the axis."""
        count = len(self.series.values_gco2_per_kwh)
        return [self._shown(self.series.slot_start(index)) for index in range(count + 1)]

    @cached_property
    def widths(self) -> list[timedelta]:
        """The slots' lengths on the axis."""
        return [end - start for start, end in pairwise(self.edges)]

    @cached_property
    def span(self) -> tuple[datetime, datetime]:
        """From the first to the last thing that is shown."""
        moments = [self.edges[0], self.edges[-1]]
        moments += [self._shown(job.submitted_at) for job in self.jobs]
        moments += [self._shown(job.ended_at) for job in self.jobs]
        return min(moments), max(moments)

    @cached_property
    def rows(self) -> list[Row]:
        """The jobs on the axis."""
        return [self._row(job) for job in self.jobs]

    @property
    def colour_range(self) -> tuple[float, float]:
        """The intensities of the first and the last colour, gCO2e/kWh; a flat day stays in the light ones."""
        values = self.series.values_gco2_per_kwh
        return min(values), max(max(values), 1.2 * min(values), 1.0)

    @property
    def time_label(self) -> str:
        """What the time axis shows."""
        shown = self._moment(self.series.start)
        replayed = "" if shown == self.series.start else " of the replayed day"
        return f"Time{replayed}, {shown.tzname() or 'UTC'}, from {self.span[0]:%Y-%m-%d}"

    @property
    def intensity_label(self) -> str:
        """What the intensity axis shows."""
        return f"{self.series.zone}, gCO2e/kWh"

    @property
    def caption(self) -> list[str]:
        """Where the intensity comes from, and under which licence; a line each."""
        kind = f"{self.series.signal.value} signal, {self.series.factors.value} factors"
        simulated = " (simulated: no claim may be built on it)" if self.series.simulated else ""
        return [f"Carbon intensity: {self.series.source}{simulated}; {kind}.", *filter(None, [self.licence])]

    def _row(self, job: PlottedJob) -> Row:
        started = self._shown(job.started_at)
        narrowest = _NARROWEST_BAR * (self.span[1] - self.span[0])
        return Row(
            name=job.name if len(job.name) <= LONGEST_NAME else f"{job.name[: LONGEST_NAME - 1]}…",
            submitted=self._shown(job.submitted_at),
            started=started,
            ended=max(self._shown(job.ended_at), started + narrowest),
            tier=Tier(job.tier),
            label=job.label,
            saved=format_grams(job.saved_gco2),
            colour=(SOFT, GOOD, BAD)[sign(job.saved_gco2)],
            deferred=job.deferred,
        )

    def _moment(self, moment: datetime) -> datetime:
        return self.to_display(moment) if self.to_display else moment

    def _shown(self, moment: datetime) -> datetime:
        # Without its zone: both libraries would otherwise move it to UTC, or to the reader's own zone.
        return self._moment(moment).replace(tzinfo=None)
