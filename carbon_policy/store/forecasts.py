"""Issued forecasts: each is kept as it was issued, so that its skill can be told afterwards."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Row, false, select, update

from carbon_policy.domain.errors import InvalidInputError
from carbon_policy.domain.signal import IntensitySeries, Labels, SignalKind
from carbon_policy.store.dialects import INSERT, begin_to_change
from carbon_policy.store.history_models import ForecastRow
from carbon_policy.store.slots import kind_columns, label_columns

_T = TypeVar("_T")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_AT_A_TIME = 500
"""Ids a query: SQLite takes a limited number of them."""


@dataclass(frozen=True)
class StoredForecast:
    """A forecast as it was issued.

    Attributes:
        series: The point forecast; its `issued_at` is set.
        quantiles: For each level between 0 and 1 one value a slot, gCO2e/kWh; empty where none were issued.
        fetched_at: When it was fetched.
        revision: How many versions of this issue there were; this is the newest.
    """

    series: IntensitySeries
    quantiles: Mapping[float, tuple[float, ...]] = field(default_factory=dict)
    fetched_at: datetime | None = None
    revision: int = 1


def record(
    connection: Connection,
    series: IntensitySeries,
    quantiles: Mapping[float, Sequence[float]],
    fetched_at: datetime,
) -> bool:
    """Writes one issue; of one that is there already only what has changed or is more. True where it is new."""
    new = StoredForecast(series, _checked(series, quantiles), fetched_at)
    known_by = {"zone": series.zone, "source": series.source, "issued_at": series.issued_at}
    known_by |= label_columns(series.labels)
    insert = INSERT[connection.dialect.name](ForecastRow).values(**known_by, **_columns(new), revision=1)
    insert = insert.on_conflict_do_nothing(index_elements=list(known_by)).returning(ForecastRow.id)
    same_issue = select(ForecastRow.id, ForecastRow.fingerprint, *_SELECT.selected_columns)
    begin_to_change(connection)
    row = None
    while row is None:
        if connection.scalar(insert) is not None:
            return True
        # There is none only where it was forgotten at this very moment.
        row = connection.execute(same_issue.filter_by(**known_by).with_for_update()).first()
    old = _to_forecast(row)
    later = (old.fetched_at or fetched_at) <= fetched_at
    changed = _columns(together(old, new) if later else together(new, old))
    this = update(ForecastRow).where(ForecastRow.id == row.id)
    if changed["fingerprint"] != row.fingerprint:
        connection.execute(this.values(**changed, revision=ForecastRow.revision + 1))
    elif later:
        # Nothing new was said, and that is known as of now.
        connection.execute(this.values(fetched_at=fetched_at))
    return False


def together(old: StoredForecast, new: StoredForecast) -> StoredForecast:
    """Two versions of one issue as one: the new one's values, and the old one's where the new says nothing.

    A provider cuts what it issued at the time of asking: an hour later the first hour is missing. Where the
    slots do not fit together, it is the new version as it is.
    """
    first, second = old.series, new.series
    start, step = min(first.start, second.start), second.step
    if first.step != step or (first.start - second.start) % step:
        return new
    if first.start > second.end or second.start > first.end:
        return new
    before = max(0, (second.start - start) // step)
    after = max(0, (second.end - first.start) // step)

    def joined(old_values: Sequence[_T], new_values: Sequence[_T]) -> tuple[_T, ...]:
        return (*old_values[:before], *new_values, *old_values[after:])

    estimated: tuple[bool, ...] = ()
    if first.estimated or second.estimated:
        estimated = joined(*(series.estimated or (False,) * _slots(series) for series in (first, second)))
    fields = {name: getattr(second, name) for name in type(second).model_fields}
    fields |= {
        "start": start,
        "values_gco2_per_kwh": joined(first.values_gco2_per_kwh, second.values_gco2_per_kwh),
        "estimated": estimated,
    }
    series = IntensitySeries(**fields)
    if set(old.quantiles) == set(new.quantiles):
        quantiles = {level: joined(old.quantiles[level], new.quantiles[level]) for level in new.quantiles}
    else:
        # Of one version only they are kept where they are of these very values, slot for slot.
        said = (start, series.values_gco2_per_kwh)
        fitting = (
            dict(version.quantiles)
            for version in (new, old)
            if version.quantiles and (version.series.start, version.series.values_gco2_per_kwh) == said
        )
        quantiles = next(fitting, {})
    return replace(new, series=series, quantiles=quantiles)


def _slots(series: IntensitySeries) -> int:
    return len(series.values_gco2_per_kwh)


def _columns(forecast: StoredForecast) -> dict[str, Any]:
    """What a row says of one version, apart from which issue it is."""
    series = forecast.series
    quantiles_json = json.dumps(
        {str(level): forecast.quantiles[level] for level in sorted(forecast.quantiles)}
    )
    # Provenance is no part of it: told differently, the same numbers are no other version.
    said = f"{series.start.isoformat()} {series.step} {series.values_gco2_per_kwh} {quantiles_json}"
    return {
        "starts_at": series.start,
        "ends_at": series.end,
        "series_json": series.model_dump_json(),
        "quantiles_json": quantiles_json,
        "fetched_at": forecast.fetched_at,
        "fingerprint": hashlib.sha256(said.encode()).hexdigest(),
    }


def _checked(
    series: IntensitySeries, quantiles: Mapping[float, Sequence[float]]
) -> dict[float, tuple[float, ...]]:
    slots = _slots(series)
    for level, values in quantiles.items():
        if not 0 < level < 1 or len(values) != slots or not all(map(math.isfinite, values)):
            raise InvalidInputError(
                f"The quantile {level} of {series.source}'s forecast needs a level between 0 and 1"
                f" and {slots} numbers."
            )
    # float(): what numpy's are called is not JSON.
    return {float(level): tuple(map(float, values)) for level, values in quantiles.items()}


def latest(
    connection: Connection,
    zone: str,
    now: datetime,
    *,
    sources: Sequence[str] | None,
    not_sources: Sequence[str],
    labels: Labels | None,
    signal: SignalKind | None,
    not_older_than: timedelta,
) -> StoredForecast | None:
    """The forecast issued last, at or before `now`, that says something of `now`."""
    conditions = [
        *_of(zone, labels, signal),
        ForecastRow.issued_at <= now,
        ForecastRow.issued_at >= now - not_older_than,
        ForecastRow.starts_at <= now,
        ForecastRow.ends_at > now,
    ]
    if sources is not None:
        conditions.append(ForecastRow.source.in_(sources))
    if not_sources:
        conditions.append(ForecastRow.source.not_in(not_sources))
    row = connection.execute(
        _SELECT.where(*conditions)
        .order_by(ForecastRow.issued_at.desc(), ForecastRow.fetched_at.desc(), ForecastRow.id.desc())
        .limit(1)
    ).first()
    return None if row is None else _to_forecast(row)


def between(
    connection: Connection,
    zone: str,
    start: datetime,
    end: datetime,
    *,
    source: str,
    labels: Labels | None,
    signal: SignalKind | None,
    every: timedelta | None,
) -> list[StoredForecast]:
    """The source's forecasts that were issued in the range, in the order of their issue.

    With `every` only the first of each kind in each such stretch of time; the others' JSON is not even fetched.
    """
    conditions = [
        *_of(zone, labels, signal),
        ForecastRow.source == source,
        ForecastRow.issued_at >= start,
        ForecastRow.issued_at < end,
    ]
    in_order = (ForecastRow.issued_at, ForecastRow.id)
    if every is None:
        return [
            _to_forecast(row) for row in connection.execute(_SELECT.where(*conditions).order_by(*in_order))
        ]
    first: dict[tuple[Any, ...], int] = {}
    kind = (ForecastRow.signal, ForecastRow.factors, ForecastRow.basis)
    issues = select(ForecastRow.id, ForecastRow.issued_at, *kind).where(*conditions).order_by(*in_order)
    for id_, issued_at, *of_kind in connection.execute(issues):
        # Counted from 1970, so that whatever the range is, the same are picked.
        first.setdefault(((issued_at - _EPOCH) // every, *of_kind), id_)
    picked = list(first.values())
    found: list[StoredForecast] = []
    for index in range(0, len(picked), _AT_A_TIME):
        some = _SELECT.where(ForecastRow.id.in_(picked[index : index + _AT_A_TIME])).order_by(*in_order)
        found += map(_to_forecast, connection.execute(some))
    return found


_SELECT = select(
    ForecastRow.series_json, ForecastRow.quantiles_json, ForecastRow.fetched_at, ForecastRow.revision
)


def _of(zone: str, labels: Labels | None, signal: SignalKind | None) -> list[ColumnElement[bool]]:
    kind = kind_columns(labels, signal)
    if kind is None:
        return [false()]
    columns = ForecastRow.__table__.columns
    return [ForecastRow.zone == zone, *(columns[name] == value for name, value in kind.items())]


def _to_forecast(row: Row[Any]) -> StoredForecast:
    return StoredForecast(
        series=IntensitySeries.model_validate_json(row.series_json),
        quantiles={float(level): tuple(values) for level, values in json.loads(row.quantiles_json).items()},
        fetched_at=row.fetched_at,
        revision=row.revision,
    )
