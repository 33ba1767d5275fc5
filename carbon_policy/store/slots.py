"""Measured intensities, slot by slot: whose they are, and how they are written and revised."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ARRAY, Connection, Select, bindparam, case, func, insert, literal, select, update

from carbon_policy.domain.errors import InvalidInputError
from carbon_policy.domain.signal import BasisKind, FactorKind, IntensitySeries, Labels, SignalKind
from carbon_policy.store.dialects import INSERT
from carbon_policy.store.history_models import IntensityRow, RevisionRow, SeriesRow
from carbon_policy.store.models import UtcDateTime
from carbon_policy.store.result import RecordResult

_AT_A_TIME = 500
"""Rows; Python's garbage collector looks at what is young after 700 new objects."""


class Kept(NamedTuple):
    """One `SeriesRow`, read."""

    id: int
    zone: str
    source: str
    labels: Labels
    step_s: int
    fetched_at: datetime


class _Slot(NamedTuple):
    start_s: int
    gco2_per_kwh: float
    estimated: bool
    fetched_at_s: int
    revision: int


def moment(seconds: int) -> datetime:
    """Seconds since 1970 as a moment, UTC."""
    return datetime.fromtimestamp(seconds, UTC)


def label_columns(labels: Labels) -> dict[str, str]:
    """The columns that hold labels; of made-up numbers there are none."""
    return {
        "signal": str(labels.signal),
        "factors": str(labels.factors),
        "basis": str(labels.basis or ""),
    }


def kind_columns(labels: Labels | None, signal: SignalKind | None) -> dict[str, str] | None:
    """What the columns must hold for these labels and this signal; `None` where nothing kept can be both."""
    if labels is None:
        return {} if signal is None else {"signal": str(signal)}
    if labels.simulated or signal not in (None, labels.signal):
        return None
    return label_columns(labels)


def read_labels(signal: str, factors: str, basis: str) -> Labels:
    """The labels that columns hold."""
    return Labels(
        SignalKind(signal), FactorKind(factors), BasisKind(basis) if basis else None, simulated=False
    )


def record(connection: Connection, series: IntensitySeries, fetched_at: datetime) -> RecordResult:
    """Writes the slots of one series, in the transaction that the caller began."""
    series_id = _lock_series(connection, series, fetched_at)
    first_s, step_s = _whole_slots(series)
    fetched_at_s = int(fetched_at.timestamp())
    last_s = first_s + step_s * (len(series.values_gco2_per_kwh) - 1)
    known = {slot.start_s: slot for slot in _read(connection, series_id, first_s, last_s)}
    added: list[_Slot] = []
    replaced: list[_Slot] = []
    by_start: list[dict[str, Any]] = []
    for index, value in enumerate(series.values_gco2_per_kwh):
        start_s = first_s + index * step_s
        estimated = bool(series.estimated) and series.estimated[index]
        new = _Slot(start_s, value, estimated, fetched_at_s, 1)
        old = known.get(start_s)
        if old is None:
            added.append(new)
        elif _replaces(new, old):
            replaced.append(old)
            by_start.append({f"new_{name}": item for name, item in new._asdict().items()})
    if added:
        _add(connection, series_id, added)
    if replaced:
        connection.execute(
            insert(RevisionRow),
            [{"series_id": series_id, **old._asdict(), "replaced_at_s": fetched_at_s} for old in replaced],
        )
        connection.execute(_replace(series_id), by_start)
    unchanged = len(series.values_gco2_per_kwh) - len(added) - len(replaced)
    return RecordResult(len(added), len(replaced), unchanged)


def _add(connection: Connection, series_id: int, added: list[_Slot]) -> None:
    if connection.dialect.name != "postgresql":
        connection.execute(
            insert(IntensityRow), [{"series_id": series_id, **slot._asdict()} for slot in added]
        )
        return
    # One statement and a list for each column: row by row it takes several times as long.
    table = IntensityRow.__table__
    lists = [
        func.unnest(literal(list(values), ARRAY(table.c[name].type)))
        for name, values in zip(_Slot._fields, zip(*added, strict=True), strict=True)
    ]
    rows = select(literal(series_id), *lists)
    connection.execute(insert(IntensityRow).from_select(["series_id", *_Slot._fields], rows))


def _replaces(new: _Slot, old: _Slot) -> bool:
    """An estimate never takes a measured value's place, nor an answer that of one fetched later."""
    changed = (new.gco2_per_kwh, new.estimated) != (old.gco2_per_kwh, old.estimated)
    return changed and old.estimated >= new.estimated and new.fetched_at_s >= old.fetched_at_s


def _replace(series_id: int) -> Any:
    table = IntensityRow.__table__
    return (
        update(IntensityRow)
        .where(table.c.series_id == series_id, table.c.start_s == bindparam("new_start_s"))
        .values(
            gco2_per_kwh=bindparam("new_gco2_per_kwh"),
            estimated=bindparam("new_estimated"),
            fetched_at_s=bindparam("new_fetched_at_s"),
            revision=table.c.revision + 1,
        )
    )


def _lock_series(connection: Connection, series: IntensitySeries, fetched_at: datetime) -> int:
    """The series' id, made if need be; until the transaction ends no one else writes to the series.

    The first statement writes: a transaction that had read first could be refused by SQLite instead of waiting.
    """
    _, step_s = _whole_slots(series)
    key = {
        "zone": series.zone,
        "source": series.source,
        **label_columns(series.labels),
        "step_s": step_s,
    }
    now = literal(fetched_at, UtcDateTime())
    touch = (
        update(SeriesRow)
        .filter_by(**key)
        .values(fetched_at=case((SeriesRow.fetched_at < now, now), else_=SeriesRow.fetched_at))
        .returning(SeriesRow.id)
    )
    series_id = connection.scalar(touch)
    if series_id is None:
        new = INSERT[connection.dialect.name](SeriesRow).values(**key, fetched_at=fetched_at)
        connection.execute(new.on_conflict_do_nothing())
        # If another writer made it at this moment, this waits for it.
        series_id = connection.scalar(touch)
    return int(series_id or 0)


def _whole_slots(series: IntensitySeries) -> tuple[int, int]:
    """The first slot's start and the slots' length, both in whole seconds."""
    if series.start.microsecond or series.step % timedelta(seconds=1):
        raise InvalidInputError(
            f"Slots of {series.step} from {series.start.isoformat()} are not whole seconds, as {series.source}'s"
            " must be to be kept; round them."
        )
    return int(series.start.timestamp()), int(series.step.total_seconds())


def series_columns(
    zone: str | None, source: str | None, labels: Labels | None, signal: SignalKind | None
) -> dict[str, str] | None:
    """What the columns of a series must hold to be of these; `None` where nothing kept can be."""
    conditions = kind_columns(labels, signal)
    if conditions is None:
        return None
    wanted = {"zone": zone, "source": source}
    return conditions | {name: value for name, value in wanted.items() if value is not None}


def kept(
    connection: Connection,
    zone: str | None = None,
    source: str | None = None,
    labels: Labels | None = None,
    signal: SignalKind | None = None,
) -> list[Kept]:
    """Every series of these; one for each source, kind of number and length of slot."""
    conditions = series_columns(zone, source, labels, signal)
    if conditions is None:
        return []
    rows = connection.execute(
        select(*SeriesRow.__table__.columns)
        .filter_by(**conditions)
        .order_by(SeriesRow.zone, SeriesRow.source)
    ).mappings()
    return [
        Kept(
            row["id"],
            row["zone"],
            row["source"],
            read_labels(row["signal"], row["factors"], row["basis"]),
            row["step_s"],
            row["fetched_at"],
        )
        for row in rows
    ]


def _read(connection: Connection, series_id: int, first_s: int, last_s: int) -> list[_Slot]:
    columns = IntensityRow.__table__.columns
    in_range = select(*(columns[name] for name in _Slot._fields)).where(
        columns.series_id == series_id, columns.start_s.between(first_s, last_s)
    )
    return [_Slot(*row) for row in zip(*fetch_columns(connection, in_range), strict=True)]


def fetch_columns(connection: Connection, statement: Select[Any]) -> list[list[Any]]:
    """What a statement finds, column by column and as the driver gives it: a flag is a number perhaps.

    For a year of slots, SQLAlchemy's rows take several times as long. So do all of the driver's at once: the
    garbage collector looks again and again at those that are there. A few hundred at a time it never looks at.
    """
    columns: list[list[Any]] = [[] for _ in statement.selected_columns]
    with connection.execute(statement) as result:
        cursor = result.cursor
        while cursor is not None and (rows := cursor.fetchmany(_AT_A_TIME)):
            for column, values in zip(columns, zip(*rows, strict=True), strict=True):
                column.extend(values)
    return columns
