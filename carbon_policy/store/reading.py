"""Measured intensities as they are read: as a series, as gaps in it, and as what was there before."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select

from carbon_policy.domain.finding import Finding, FindingKind, Treatment
from carbon_policy.domain.signal import IntensitySeries, Labels, SignalKind
from carbon_policy.store.history_models import IntensityRow, RevisionRow, SeriesRow
from carbon_policy.store.slots import Kept, fetch_columns, moment, series_columns

Range = tuple[datetime, datetime]


@dataclass(frozen=True)
class Revision:
    """A value that a slot had before another took its place.

    Attributes:
        source: Who said so.
        labels: What kind of number it is.
        slot_start: Of which slot, UTC.
        gco2_per_kwh: What the value was.
        estimated: Whether the source called it an estimate.
        fetched_at: When it was fetched.
        replaced_at: When the value was fetched that took its place.
    """

    source: str
    labels: Labels
    slot_start: datetime
    gco2_per_kwh: float
    estimated: bool
    fetched_at: datetime
    replaced_at: datetime


def measured(
    connection: Connection,
    candidates: Iterable[Kept],
    start: datetime,
    end: datetime,
    bridge: timedelta = timedelta(0),
) -> IntensitySeries | None:
    """The best candidate's slots that overlap the range, up to the last known one; `None` where none does.

    Holes of up to `bridge` are filled by a straight line.
    """
    best = _most_recent(connection, list(candidates), start, end)
    if best is None:
        return None
    columns = IntensityRow.__table__.columns
    starts, values, estimated = fetch_columns(
        connection,
        select(columns.start_s, columns.gco2_per_kwh, columns.estimated)
        .where(*_overlaps(best, start, end))
        .order_by(columns.start_s),
    )
    holes, first = _holes_of_last_run(starts, best.step_s, bridge.total_seconds())
    findings = [_left_out(best, starts, first)] if first else []
    flags = list(map(bool, estimated[first:]))
    series_values = values[first:]
    if holes:
        findings.append(_bridged(best, starts, holes))
        series_values, flags = _fill(starts, values, estimated, first, holes, best.step_s)
    return IntensitySeries(
        zone=best.zone,
        start=moment(starts[first]),
        step=timedelta(seconds=best.step_s),
        values_gco2_per_kwh=tuple(series_values),
        source=best.source,
        signal=best.labels.signal,
        factors=best.labels.factors,
        basis=best.labels.basis,
        estimated=tuple(flags) if any(flags) else (),
        provenance=(f"Kept in the history, as {best.source} answered.",),
        findings=tuple(findings),
    )


def _most_recent(
    connection: Connection, candidates: Sequence[Kept], start: datetime, end: datetime
) -> Kept | None:
    """The candidate that reaches furthest towards the end of the range; of several, the one that covers most."""
    end_s = math.ceil(end.timestamp())
    reached: list[tuple[int, Kept]] = []
    for series in candidates:
        last_s = connection.scalar(
            select(func.max(IntensityRow.start_s)).where(*_overlaps(series, start, end))
        )
        if last_s is not None:
            reached.append((min(last_s + series.step_s, end_s), series))
    furthest = max((end_s for end_s, _ in reached), default=0)
    equal = [series for end_s, series in reached if end_s == furthest]
    if len(equal) < 2:
        return equal[0] if equal else None

    def covered_s(series: Kept) -> int:
        count = select(func.count()).select_from(IntensityRow).where(*_overlaps(series, start, end))
        return series.step_s * int(connection.scalar(count) or 0)

    return max(equal, key=covered_s)


def _overlaps(series: Kept, start: datetime, end: datetime) -> tuple[ColumnElement[bool], ...]:
    return (
        IntensityRow.series_id == series.id,
        IntensityRow.start_s > math.floor(start.timestamp()) - series.step_s,
        IntensityRow.start_s < math.ceil(end.timestamp()),
    )


def _holes_of_last_run(starts: list[int], step_s: int, bridge_s: float) -> tuple[list[int], int]:
    """Where the last run begins that has no hole longer than the bridge, and which slots follow a hole in it."""
    if starts == list(range(starts[0], starts[-1] + 1, step_s)):
        return [], 0
    breaks = [index for index in range(1, len(starts)) if starts[index] - starts[index - 1] != step_s]
    holes: list[int] = []
    for index in reversed(breaks):
        apart_s = starts[index] - starts[index - 1]
        # Slots that are shifted against each other cannot be in one series.
        if apart_s % step_s or apart_s - step_s > bridge_s:
            return holes[::-1], index
        holes.append(index)
    return holes[::-1], 0


def _fill(
    starts: list[int], values: list[float], estimated: list[Any], first: int, holes: list[int], step_s: int
) -> tuple[list[float], list[bool]]:
    """The values from `first` on with a straight line over each hole, and flags that call those estimates."""
    filled: list[float] = []
    flags: list[bool] = []
    for index in holes:
        filled += values[first:index]
        flags += map(bool, estimated[first:index])
        slots = (starts[index] - starts[index - 1]) // step_s
        before, after = values[index - 1], values[index]
        filled += [before + (after - before) * slot / slots for slot in range(1, slots)]
        flags += [True] * (slots - 1)
        first = index
    return filled + values[first:], flags + list(map(bool, estimated[first:]))


def _left_out(series: Kept, starts: Sequence[int], first: int) -> Finding:
    gap_start, gap_end = moment(starts[first - 1] + series.step_s), moment(starts[first])
    return Finding(
        kind=FindingKind.GAP,
        treatment=Treatment.LEFT_OUT,
        source=series.source,
        sentence=(
            f"The history of {series.zone} has nothing from {gap_start.isoformat()} to {gap_end.isoformat()};"
            f" the {first} slots before are left out."
        ),
    )


def _bridged(series: Kept, starts: Sequence[int], holes: Sequence[int]) -> Finding:
    slots = sum((starts[index] - starts[index - 1]) // series.step_s - 1 for index in holes)
    first, last = moment(starts[holes[0] - 1] + series.step_s), moment(starts[holes[-1]])
    return Finding(
        kind=FindingKind.GAP,
        treatment=Treatment.NOTED,
        source=series.source,
        sentence=(
            f"The history of {series.zone} lacks {slots} slots between {first.isoformat()} and"
            f" {last.isoformat()}; they are bridged by a straight line and count as estimates."
        ),
    )


def newest(
    connection: Connection, zone: str, source: str | None, labels: Labels | None, signal: SignalKind | None
) -> datetime | None:
    """The start of the newest slot of these; `None` where there is none."""
    conditions = series_columns(zone, source, labels, signal)
    if conditions is None:
        return None
    # A question for each series: of a join, SQLite would read every slot.
    last_s = select(func.max(IntensityRow.start_s)).where(IntensityRow.series_id == SeriesRow.id)
    found = connection.scalars(
        select(last_s.scalar_subquery()).select_from(SeriesRow).filter_by(**conditions)
    )
    known = [start_s for start_s in found if start_s is not None]
    return moment(max(known)) if known else None


def gaps(connection: Connection, candidates: Iterable[Kept], start: datetime, end: datetime) -> list[Range]:
    """The parts of the range of which no candidate knows anything, in order."""
    covered: list[tuple[int, int]] = []
    for series in candidates:
        known = select(IntensityRow.start_s).where(*_overlaps(series, start, end))
        [starts] = fetch_columns(connection, known)
        covered += ((start_s, start_s + series.step_s) for start_s in starts)
    missing: list[Range] = []
    known_until, known_until_s = start, start.timestamp()
    for start_s, end_s in sorted(covered):
        if start_s > known_until_s:
            missing.append((known_until, moment(start_s)))
        if end_s > known_until_s:
            known_until, known_until_s = moment(end_s), end_s
    if known_until < end:
        missing.append((known_until, end))
    return missing


def revisions(
    connection: Connection, candidates: Iterable[Kept], start: datetime, end: datetime
) -> list[Revision]:
    """The values of these slots that others took the place of, by slot and in the order in which they came."""
    found = []
    for series in candidates:
        rows = connection.execute(
            select(*RevisionRow.__table__.columns).where(
                RevisionRow.series_id == series.id,
                RevisionRow.start_s > math.floor(start.timestamp()) - series.step_s,
                RevisionRow.start_s < math.ceil(end.timestamp()),
            )
        ).mappings()
        found += [(row["start_s"], row["revision"], series, row) for row in rows]
    return [
        Revision(
            series.source,
            series.labels,
            moment(start_s),
            row["gco2_per_kwh"],
            row["estimated"],
            moment(row["fetched_at_s"]),
            moment(row["replaced_at_s"]),
        )
        for start_s, _, series, row in sorted(found, key=lambda item: (item[0], item[2].id, item[1]))
    ]
