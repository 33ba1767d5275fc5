"""What the history holds, and what retention removes from it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, case, delete, func, select, update

from carbon_policy.domain.signal import Labels
from carbon_policy.store.history_models import ForecastRow, IntensityRow, RevisionRow, SeriesRow
from carbon_policy.store.slots import Kept, kept, moment, read_labels


@dataclass(frozen=True)
class ZoneHistory:
    """What is kept of one zone from one source in one kind of number.

    Attributes:
        zone: Which zone.
        source: Who says so.
        labels: What kind of number it is.
        first_slot: Start of the earliest measured slot; `None` where none is kept.
        last_slot: Start of the latest.
        slots: How many are kept.
        estimated_slots: How many of them the source itself calls estimates.
        last_fetched_at: When measured values were last fetched.
        forecasts: How many issued forecasts are kept.
        last_issued_at: When the latest of them was issued.
    """

    zone: str
    source: str
    labels: Labels
    first_slot: datetime | None = None
    last_slot: datetime | None = None
    slots: int = 0
    estimated_slots: int = 0
    last_fetched_at: datetime | None = None
    forecasts: int = 0
    last_issued_at: datetime | None = None


class Forgotten(NamedTuple):
    """What retention removed."""

    slots: int = 0
    revisions: int = 0
    forecasts: int = 0


def overview(connection: Connection) -> list[ZoneHistory]:
    """One line for each zone, source and kind of number; ordered by zone, source and kind."""
    counted = {
        row.series_id: row
        for row in connection.execute(
            select(
                IntensityRow.series_id,
                func.min(IntensityRow.start_s).label("first_s"),
                func.max(IntensityRow.start_s).label("last_s"),
                func.count().label("slots"),
                func.sum(case((IntensityRow.estimated, 1), else_=0)).label("estimated"),
            ).group_by(IntensityRow.series_id)
        )
    }
    lines: dict[tuple[str, str, Labels], ZoneHistory] = {}
    for series in kept(connection):
        row = counted.get(series.id)
        if row is None:
            continue
        key = series[1:4]
        line = ZoneHistory(
            *key,
            first_slot=moment(row.first_s),
            last_slot=moment(row.last_s),
            slots=row.slots,
            estimated_slots=int(row.estimated),
            last_fetched_at=series.fetched_at,
        )
        lines[key] = _together(lines[key], line) if key in lines else line
    kind = (ForecastRow.signal, ForecastRow.factors, ForecastRow.basis)
    for zone, source, signal, factors, basis, count, issued_at in connection.execute(
        select(
            ForecastRow.zone, ForecastRow.source, *kind, func.count(), func.max(ForecastRow.issued_at)
        ).group_by(ForecastRow.zone, ForecastRow.source, *kind)
    ):
        key = (zone, source, read_labels(signal, factors, basis))
        line = lines.get(key) or ZoneHistory(*key)
        lines[key] = replace(line, forecasts=count, last_issued_at=issued_at)
    return [lines[key] for key in sorted(lines, key=lambda key: (key[0], key[1], str(key[2])))]


def _together(one: ZoneHistory, other: ZoneHistory) -> ZoneHistory:
    """Two lengths of slot, in one line."""

    def known(*moments: datetime | None) -> list[datetime]:
        return [moment for moment in moments if moment is not None]

    return replace(
        one,
        first_slot=min(known(one.first_slot, other.first_slot)),
        last_slot=max(known(one.last_slot, other.last_slot)),
        slots=one.slots + other.slots,
        estimated_slots=one.estimated_slots + other.estimated_slots,
        last_fetched_at=max(known(one.last_fetched_at, other.last_fetched_at)),
    )


def forget_slots(connection: Connection, series: Kept, before: datetime) -> Forgotten:
    """Removes the slots of a series that ended by then, and their revisions."""
    # Takes the row that every writer of the series takes first, so that none waits for this one and it for them.
    connection.execute(update(SeriesRow).where(SeriesRow.id == series.id).values(step_s=series.step_s))
    last_s = math.floor(before.timestamp()) - series.step_s
    removed = [
        connection.execute(
            delete(table).where(table.series_id == series.id, table.start_s <= last_s)
        ).rowcount
        for table in (IntensityRow, RevisionRow)
    ]
    return Forgotten(slots=removed[0], revisions=removed[1])


def forget_forecasts(connection: Connection, zone: str | None, before: datetime) -> Forgotten:
    """Removes the forecasts that were issued before."""
    issued_before = delete(ForecastRow).where(ForecastRow.issued_at < before)
    if zone is not None:
        issued_before = issued_before.where(ForecastRow.zone == zone)
    return Forgotten(forecasts=connection.execute(issued_before).rowcount)
