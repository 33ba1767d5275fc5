"""What `carbon-policy history` shows, however it is shown: dense pieces, the gaps between them, and what changed."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carbon_policy.cli.words import counted, iso
from carbon_policy.domain.errors import SourceUnavailableError
from carbon_policy.domain.finding import Finding
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.domain.times import format_duration
from carbon_policy.grid.chain import Outlook
from carbon_policy.grid.trace_columns import value_column_name
from carbon_policy.grid.trace_table import open_text

if TYPE_CHECKING:
    from carbon_policy.report.curve import CurvePlot
    from carbon_policy.store.history import History
    from carbon_policy.store.reading import Revision

JSON_SCHEMA = "carbon-policy-history/1"
"""Named in the JSON; raised when a field changes its meaning."""

_MOST_NAMED = 5
_DAY = timedelta(days=1)

Range = tuple[datetime, datetime]


@dataclass(frozen=True)
class Day:
    """One day of it, UTC.

    Attributes:
        day: Which.
        mean: g/kWh, of the time that is known.
        lowest: g/kWh.
        lowest_at: When; the first, of several.
        highest: g/kWh.
        known: Share (0 to 1) of the day, as far as it was asked for, that is known.
        estimated: Slots that the source calls estimates.
        revised: Slots that had another value before.
    """

    day: date
    mean: float
    lowest: float
    lowest_at: datetime
    highest: float
    known: float
    estimated: int
    revised: int


@dataclass(frozen=True)
class ShownHistory:
    """What is known of a stretch of time.

    Attributes:
        zone: Which.
        start: That was asked for, UTC.
        end: That was asked for, UTC.
        pieces: Dense, of one source and one kind of number, in order.
        gaps: Of what nothing is known, in order.
        revisions: Values that slots had before.
        findings: What was amiss.
        others: Sources that are stored for the zone as well.
    """

    zone: str
    start: datetime
    end: datetime
    pieces: tuple[IntensitySeries, ...]
    gaps: tuple[Range, ...]
    revisions: tuple[Revision, ...] = ()
    findings: tuple[Finding, ...] = ()
    others: tuple[str, ...] = ()

    @property
    def first(self) -> IntensitySeries:
        """The piece that says what kind of numbers they all are."""
        return self.pieces[0]

    @property
    def slots(self) -> Iterator[tuple[datetime, float, bool, IntensitySeries]]:
        """Start, value, whether it is an estimate, and the piece of each slot."""
        for piece in self.pieces:
            flags = piece.estimated or (False,) * len(piece.values_gco2_per_kwh)
            for index, (value, estimated) in enumerate(zip(piece.values_gco2_per_kwh, flags, strict=True)):
                yield piece.slot_start(index), value, estimated, piece

    @property
    def days(self) -> Iterator[Day]:
        """Each day of which something is known."""
        revised = Counter(start.date() for start in {one.slot_start for one in self.revisions})
        by_day: dict[date, list[tuple[datetime, float, bool, timedelta]]] = {}
        for start, value, estimated, piece in self.slots:
            by_day.setdefault(start.date(), []).append((start, value, estimated, piece.step))
        for day, slots in by_day.items():
            midnight = datetime.combine(day, time.min, self.start.tzinfo)
            asked = min(midnight + _DAY, self.end) - max(midnight, self.start)
            known = sum((step for *_, step in slots), timedelta(0))
            lowest_at, lowest = min(((start, value) for start, value, *_ in slots), key=lambda slot: slot[1])
            yield Day(
                day=day,
                mean=sum(value * (step / known) for _, value, _, step in slots),
                lowest=lowest,
                lowest_at=lowest_at,
                highest=max(value for _, value, *_ in slots),
                known=min(1.0, known / asked) if asked > timedelta(0) else 1.0,
                estimated=sum(estimated for _, _, estimated, _ in slots),
                revised=revised[day],
            )

    @property
    def mean(self) -> float:
        """Over all that is known, g/kWh."""
        hours = sum((piece.end - piece.start).total_seconds() for piece in self.pieces) / 3600
        return sum(piece.integral(piece.start, piece.end) for piece in self.pieces) / hours

    @property
    def estimated(self) -> int:
        """How many slots the source calls estimates."""
        return sum(estimated for _, _, estimated, _ in self.slots)

    @property
    def remarks(self) -> list[str]:
        """What a reader must know."""
        said = []
        if self.others:
            said.append(
                f"{self.first.source} is shown; stored as well: {', '.join(self.others)}. Name one with --source."
            )
        return said


def of_store(
    history: History, zone: str, start: datetime, end: datetime, source: str | None = None
) -> ShownHistory:
    """What the store holds.

    Args:
        history: The store.
        zone: Electricity Maps' key.
        start: UTC.
        end: UTC.
        source: Only this one's.

    Raises:
        SourceUnavailableError: Nothing is stored; the message says how to fetch it.
    """
    newest = history.measured(zone, start, end, source=source)
    if newest is None:
        raise SourceUnavailableError(_nothing(history, zone, start, end, source))
    labels, name = newest.labels, newest.source
    gaps = history.gaps(zone, start, end, source=name, labels=labels)
    found = (
        history.measured(zone, begins, ends, source=name, labels=labels)
        for begins, ends in _between(gaps, start, end)
    )
    others = {entry.source for entry in history.zones() if entry.zone == zone and entry.slots} - {name}
    return ShownHistory(
        zone=zone,
        start=start,
        end=end,
        pieces=tuple(piece for piece in found if piece is not None),
        gaps=tuple(gaps),
        revisions=tuple(history.revisions(zone, start, end, source=name, labels=labels)),
        others=tuple(sorted(others)) if source is None else (),
    )


def of_answer(answer: Outlook, zone: str, start: datetime, end: datetime) -> ShownHistory:
    """What the sources answered.

    Raises:
        SourceUnavailableError: None of them knows.
    """
    if answer.series is None:
        raise SourceUnavailableError(f"Nothing was measured of {zone} then: {' '.join(answer.notes)}")
    series = answer.series
    edges = ((start, series.start), (series.end, end))
    gaps = tuple((begins, ends) for begins, ends in edges if ends > begins)
    findings = tuple(dict.fromkeys((*answer.findings, *series.findings)))
    return ShownHistory(zone, start, end, (series,), gaps, findings=findings)


def as_document(shown: ShownHistory) -> dict[str, Any]:
    """The JSON."""
    return {
        "schema": JSON_SCHEMA,
        "zone": shown.zone,
        "start": iso(shown.start),
        "end": iso(shown.end),
        "source": shown.first.source,
        "kind": str(shown.first.labels),
        "mean_gco2_per_kwh": round(shown.mean, 3),
        "slots": [
            {"start": iso(start), "gco2_per_kwh": value, "estimated": estimated}
            for start, value, estimated, _ in shown.slots
        ],
        "gaps": [{"start": iso(start), "end": iso(end)} for start, end in shown.gaps],
        "revisions": [
            {
                "slot": iso(one.slot_start),
                "gco2_per_kwh": one.gco2_per_kwh,
                "estimated": one.estimated,
                "replaced_at": iso(one.replaced_at),
            }
            for one in shown.revisions
        ],
        "findings": [finding.model_dump(mode="json") for finding in shown.findings],
    }


def as_plot(shown: ShownHistory) -> CurvePlot:
    """The plot of it."""
    from carbon_policy.report.curve import CurvePlot

    return CurvePlot(
        title=f"Carbon intensity of {shown.zone}, measured",
        pieces=shown.pieces,
        caption=[f"Source: {shown.first.source}. Mean {shown.mean:.0f} g/kWh.", *amiss(shown)],
    )


def amiss(shown: ShownHistory) -> Iterator[str]:
    """Gaps, estimates and revisions, a sentence each."""
    for start, end in shown.gaps[:_MOST_NAMED]:
        yield f"Nothing is known from {iso(start)} to {iso(end)} ({format_duration(end - start)})."
    if len(shown.gaps) > _MOST_NAMED:
        yield f"Nor of {counted(len(shown.gaps) - _MOST_NAMED, 'other gap')}."
    if shown.estimated:
        yield f"{counted(shown.estimated, 'slot')} are estimates, as the source itself says."
    if shown.revisions:
        slots = len({one.slot_start for one in shown.revisions})
        last = shown.revisions[-1]
        yield (
            f"{counted(slots, 'slot')} had another value before; the last is {iso(last.slot_start)},"
            f" {last.gco2_per_kwh:.0f} g/kWh until {iso(last.replaced_at)}."
        )


def write_csv(shown: ShownHistory, path: Path) -> str:
    """The slots as `carbon_policy.grid.trace_file` reads them, where there is no gap; returns how many."""
    labels = shown.first.labels
    column = value_column_name(labels.signal, labels.factors, simulated=labels.simulated)
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with open_text(path, "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("time_utc", "zone", column, "estimated", "source"))
        for start, value, estimated, piece in shown.slots:
            writer.writerow((iso(start), shown.zone, value, str(estimated).lower(), piece.source))
            count += 1
    return counted(count, "slot")


def _between(gaps: list[Range], start: datetime, end: datetime) -> Iterator[Range]:
    """What lies between the gaps."""
    known = start
    for begins, ends in gaps:
        if known < begins:
            yield known, begins
        known = ends
    if known < end:
        yield known, end


def _nothing(history: History, zone: str, start: datetime, end: datetime, source: str | None) -> str:
    kept = [entry for entry in history.zones() if entry.zone == zone and entry.slots]
    if source is not None and source not in {entry.source for entry in kept}:
        names = ", ".join(sorted({entry.source for entry in kept})) or "no source"
        return f"Nothing of {zone} is stored from {source!r}; there is {names}."
    spans = "; ".join(f"{one.source} {one.first_slot:%Y-%m-%d} to {one.last_slot:%Y-%m-%d}" for one in kept)
    instead = f" There is: {spans}." if spans else ""
    return (
        f"Nothing of {zone} is stored from {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC.{instead}"
        f" `carbon-policy backfill {zone}` fetches it; --ask asks the sources instead."
    )
