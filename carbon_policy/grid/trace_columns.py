"""Which columns of a trace mean what, and what their names say of the values."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from carbon_policy.domain.errors import InvalidInputError
from carbon_policy.domain.signal import FactorKind, SignalKind

_TIME_NAMES = frozenset({"time", "timestamp", "datetime", "date_time", "date", "start", "slot_start", "from"})
_ZONE_NAMES = ("zone_id", "zone_key", "zone", "region", "area")
_GRAMS = re.compile(r"gco2|carbon_intensity|^intensity")
_OTHER_UNITS = re.compile(r"lb|kgco2|mwh")


@dataclass(frozen=True)
class TraceLayout:
    """How to read a trace; what is `None` is found out from the column names.

    Attributes:
        time_column: Starts of the slots.
        zone_column: The zones, where a file holds several.
        value_column: The intensities, g/kWh.
        signal: Average or marginal; a column whose name says otherwise is refused.
        factors: Direct or life-cycle; a column whose name says otherwise is refused.
        assume_utc: Whether times without an offset are UTC. A column with `utc` in its name says so itself.
        allow_zero: Whether an intensity of 0 is a value, and not a hole in the data.
    """

    time_column: str | None = None
    zone_column: str | None = None
    value_column: str | None = None
    signal: SignalKind | None = None
    factors: FactorKind | None = None
    assume_utc: bool = False
    allow_zero: bool = False


@dataclass(frozen=True)
class TraceColumns:
    """The columns of one trace, by position, and how its values are labelled.

    Attributes:
        time: Position of the slots' starts.
        zone: Position of the zones; `None` where the file names none.
        value: Position of the intensities.
        value_name: Name of that column.
        times_are_utc: Whether a time without an offset is UTC.
        signal: Average or marginal.
        factors: Direct or life-cycle.
        simulated: Whether the column says that its values are made up.
    """

    time: int
    zone: int | None
    value: int
    value_name: str
    times_are_utc: bool
    signal: SignalKind
    factors: FactorKind
    simulated: bool


@dataclass(frozen=True)
class _Label:
    """What a column's name says of its values."""

    signal: SignalKind | None
    factors: FactorKind | None
    simulated: bool


def value_column_name(signal: SignalKind, factors: FactorKind, *, simulated: bool) -> str:
    """A name for a column of g/kWh that says what its values are: `gco2_per_kwh_direct`."""
    marks = (
        "direct" if factors is FactorKind.DIRECT else "",
        "marginal" if signal is SignalKind.MARGINAL else "",
        "simulated" if simulated else "",
    )
    return "_".join(("gco2_per_kwh", *filter(None, marks)))


def find_columns(header: Sequence[str], layout: TraceLayout) -> TraceColumns:
    """The columns of a trace.

    Args:
        header: Names of the file's columns.
        layout: What the user says of them.

    Raises:
        InvalidInputError: A column is missing, or more than one will do.
    """
    names = [_plain(name) for name in header]
    time = _time_column(header, names, layout)
    zone = _zone_column(header, names, layout)
    value = _value_column(header, names, layout)
    label = _label(names[value])
    return TraceColumns(
        time=time,
        zone=zone,
        value=value,
        value_name=header[value],
        times_are_utc=layout.assume_utc or "utc" in names[time].split("_"),
        signal=layout.signal or label.signal or SignalKind.AVERAGE,
        factors=layout.factors or label.factors or FactorKind.LIFE_CYCLE,
        simulated=label.simulated,
    )


def _plain(name: str) -> str:
    """`Carbon intensity gCO₂eq/kWh (direct)` as `carbon_intensity_gco2eq_kwh_direct`."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    return re.sub(r"[^a-z0-9]+", "_", folded).strip("_")


def _named(header: Sequence[str], wanted: str, option: str) -> int:
    if wanted not in header:
        raise InvalidInputError(
            f"There is no column {wanted!r}; the file has {', '.join(header)}. Set `{option}` to one of them."
        )
    return list(header).index(wanted)


def _only_one(header: Sequence[str], found: Sequence[int], what: str, option: str) -> int:
    if len(found) != 1:
        problem = "No column" if not found else f"Each of {', '.join(header[index] for index in found)}"
        raise InvalidInputError(
            f"{problem} looks like {what}; the file has {', '.join(header)}. Name it with `{option}`."
        )
    return found[0]


def _time_column(header: Sequence[str], names: Sequence[str], layout: TraceLayout) -> int:
    if layout.time_column is not None:
        return _named(header, layout.time_column, "time_column")
    found = [
        index
        for index, name in enumerate(names)
        if "_".join(word for word in name.split("_") if word != "utc") in _TIME_NAMES or name == "utc"
    ]
    return _only_one(header, found, "the time", "time_column")


def _zone_column(header: Sequence[str], names: Sequence[str], layout: TraceLayout) -> int | None:
    if layout.zone_column is not None:
        return _named(header, layout.zone_column, "zone_column")
    return next((names.index(name) for name in _ZONE_NAMES if name in names), None)


def _value_column(header: Sequence[str], names: Sequence[str], layout: TraceLayout) -> int:
    if layout.value_column is not None:
        named = _named(header, layout.value_column, "value_column")
        if not _fits(_label(names[named]), layout):
            raise InvalidInputError(
                f"Column {layout.value_column!r} is not what `signal` and `factors` say;"
                " name another column, or leave them out."
            )
        return named
    candidates = {
        index: _label(name)
        for index, name in enumerate(names)
        if _GRAMS.search(name) and not _OTHER_UNITS.search(name)
    }
    fitting = {index: label for index, label in candidates.items() if _fits(label, layout)}
    best = min((_strangeness(label, layout) for label in fitting.values()), default=0)
    found = [index for index, label in fitting.items() if _strangeness(label, layout) == best]
    return _only_one(header, found, "the intensity in g/kWh that is asked for", "value_column")


def _label(name: str) -> _Label:
    signal = SignalKind.MARGINAL if "marginal" in name else SignalKind.AVERAGE if "average" in name else None
    factors = FactorKind.DIRECT if "direct" in name else FactorKind.LIFE_CYCLE if "life" in name else None
    return _Label(signal, factors, simulated="simulated" in name)


def _fits(label: _Label, layout: TraceLayout) -> bool:
    """Whether the name contradicts nothing that the user says."""
    pairs = ((label.signal, layout.signal), (label.factors, layout.factors))
    return all(said is None or wanted is None or said == wanted for said, wanted in pairs)


def _strangeness(label: _Label, layout: TraceLayout) -> int:
    """0 for a column that says it is the one wanted; more for one that says nothing, or that it is another."""
    wanted = (layout.signal or SignalKind.AVERAGE, layout.factors or FactorKind.LIFE_CYCLE)
    said = (label.signal, label.factors)
    return sum(
        0 if says == want else 1 if says is None else 3 for says, want in zip(said, wanted, strict=True)
    )
