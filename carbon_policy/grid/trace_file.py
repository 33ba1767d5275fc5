"""Recorded intensity from and to files. What is missing or absurd is refused by name, never mended."""

from __future__ import annotations

import csv
import math
from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from carbon_policy.domain.errors import (
    AbsurdSignalError,
    GapInSignalError,
    InvalidInputError,
    SourceUnavailableError,
    UnknownZoneError,
)
from carbon_policy.domain.signal import MAX_GCO2_PER_KWH, IntensitySeries
from carbon_policy.domain.times import format_duration
from carbon_policy.grid.trace_columns import TraceColumns, TraceLayout, find_columns, value_column_name
from carbon_policy.grid.trace_table import Table, open_table, open_text
from carbon_policy.grid.zones import suggest_zones


class _FileState(NamedTuple):
    """A file as it is now; another state is read anew."""

    path: Path
    changed_ns: int
    size_bytes: int


class _Slot(NamedTuple):
    where: str
    start: datetime
    gco2_per_kwh: float


def load_trace(
    path: str | Path, zone: str | None = None, layout: TraceLayout | None = None
) -> IntensitySeries:
    """A recorded series from a CSV (`.csv`, `.csv.gz`) or Parquet (`.parquet`) file.

    A file is read once a process, until it changes.

    Args:
        path: The file; a relative one counts from the working directory.
        zone: The zone to take from a file that names its zones, or to label a file that does not.
        layout: How to read the file, where its column names do not say it.

    Raises:
        SourceUnavailableError: There is no such file, or it is damaged.
        UnknownZoneError: The zone is not in the file.
        GapInSignalError: A slot is missing.
        AbsurdSignalError: A value is missing, not a number, or one that no grid has.
        InvalidInputError: The columns, times or steps cannot be made sense of.
    """
    place = Path(path).expanduser().absolute()
    try:
        status = place.stat()
    except OSError as error:
        raise SourceUnavailableError(f"There is no trace at {place}; correct the path.") from error
    return _load(_FileState(place, status.st_mtime_ns, status.st_size), zone, layout or TraceLayout())


def write_trace(series: IntensitySeries, path: str | Path) -> None:
    """Write a series as the two-column CSV that `load_trace` reads back; gzipped if `path` ends in `.gz`.

    The value column's name keeps what the values are: direct, marginal, simulated. Zone, issue time
    and provenance are not kept.
    """
    column = value_column_name(series.signal, series.factors, simulated=series.simulated)
    with open_text(Path(path), "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("time_utc", column))
        for index, value in enumerate(series.values_gco2_per_kwh):
            writer.writerow((series.slot_start(index).isoformat().replace("+00:00", "Z"), value))


@lru_cache(maxsize=32)
def _load(file: _FileState, zone: str | None, layout: TraceLayout) -> IntensitySeries:
    path = file.path
    with open_table(path) as table:
        columns = find_columns(table.header, layout)
        zone, slots = _slots_of(table, columns, zone, layout)
    step = _step_of(path.name, slots)
    simulated = ("The values are simulated, as the column says.",) if columns.simulated else ()
    unnamed = (f"The file names no zone; it was taken as {zone}'s.",) if columns.zone is None else ()
    return IntensitySeries(
        zone=zone,
        start=slots[0].start,
        step=step,
        values_gco2_per_kwh=tuple(slot.gco2_per_kwh for slot in slots),
        source=f"trace {path.name}",
        signal=columns.signal,
        factors=columns.factors,
        simulated=columns.simulated,
        provenance=(f"Read from {path.name}, column {columns.value_name}.", *simulated, *unnamed),
    )


def _slots_of(
    table: Table, columns: TraceColumns, zone: str | None, layout: TraceLayout
) -> tuple[str, list[_Slot]]:
    """The zone that was meant, and its slots in the file's order."""
    width, zone_column = len(table.header), columns.zone
    zones: set[str] = set()
    slots = []
    for number, cells in table.rows:
        if len(cells) != width:
            raise InvalidInputError(
                f"{table.name}, {table.unit} {number}: {len(cells)} cells under {width} columns; correct the row."
            )
        if zone_column is not None:
            zones.add(cells[zone_column])
            ambiguous = zone is None and len(zones) > 1
            if ambiguous or (zone is not None and cells[zone_column] != zone):
                continue
        where = f"{table.name}, {table.unit} {number}"
        start = _moment(where, cells[columns.time], columns)
        slots.append(_Slot(where, start, _grams(where, cells[columns.value], layout)))
    return _zone_meant(table.name, zone, zones), slots


def _zone_meant(name: str, zone: str | None, zones: set[str]) -> str:
    if zone is None and len(zones) == 1:
        return zones.pop()
    if zone is None:
        holds = f"holds {len(zones)} zones ({', '.join(sorted(zones))})" if zones else "names no zone"
        raise InvalidInputError(f"{name} {holds}; say which with `zone`.")
    if zones and zone not in zones:
        near = suggest_zones(zone, tuple(sorted(zones))) or sorted(zones)
        raise UnknownZoneError(f"{name} has no zone {zone!r}; did you mean {' or '.join(near)}?")
    return zone


def _moment(where: str, text: str, columns: TraceColumns) -> datetime:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise InvalidInputError(f"{where}: {text!r} is not a time; write 2026-11-22T06:00:00Z.") from error
    if moment.utcoffset() is not None:
        return moment.astimezone(UTC)
    if not columns.times_are_utc:
        raise InvalidInputError(
            f"{where}: {text!r} has no time zone; write 2026-11-22T06:00:00Z, name the column time_utc,"
            " or set `assume_utc` if the times are UTC."
        )
    return moment.replace(tzinfo=UTC)


def _grams(where: str, cell: str, layout: TraceLayout) -> float:
    try:
        value = float(cell)
    except ValueError as error:
        raise AbsurdSignalError(
            f"{where}: {cell!r} is not an intensity; give g/kWh, or cut the trace there."
        ) from error
    if not math.isfinite(value) or value < 0 or value > MAX_GCO2_PER_KWH:
        raise AbsurdSignalError(
            f"{where}: {value:g} g/kWh is nothing that a grid has (0 to {MAX_GCO2_PER_KWH:.0f});"
            " correct it, or cut the trace there."
        )
    if value == 0 and not layout.allow_zero:
        raise AbsurdSignalError(
            f"{where}: 0 g/kWh is more likely a hole in the data; correct it, or set `allow_zero` if it is meant."
        )
    return value


def _step_of(name: str, slots: list[_Slot]) -> timedelta:
    """The length of the slots, after a look at each."""
    if len(slots) < 2:
        raise InvalidInputError(
            f"{name} has {len(slots)} slots to read; it takes two to know how long one is."
        )
    for before, after in pairwise(slots):
        if after.start <= before.start:
            how = "twice" if after.start == before.start else f"after {before.start.isoformat()}"
            raise InvalidInputError(
                f"{after.where}: {after.start.isoformat()} comes {how}; sort the rows by time, one for each slot"
                " (and name `zone_column` if there are several zones)."
            )
    lengths = Counter(after.start - before.start for before, after in pairwise(slots))
    step = lengths.most_common(1)[0][0]
    for before, after in pairwise(slots):
        length = after.start - before.start
        if length == step:
            continue
        if length % step:
            raise InvalidInputError(
                f"{after.where}: a step of {format_duration(length)} among steps of {format_duration(step)};"
                " bring all slots to one length."
            )
        missing = length // step - 1
        raise GapInSignalError(
            f"{after.where}: {missing} slot{'s' if missing > 1 else ''} missing from"
            f" {(before.start + step).isoformat()} to {after.start.isoformat()}; fill them from the source,"
            " or cut the trace there."
        )
    return step
