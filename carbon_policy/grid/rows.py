"""From the rows of a source's answer to a dense run of slots, with a finding for all that was amiss.

Nothing is put where a value is missing: a run ends at the gap.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from carbon_policy.domain.errors import AbsurdSignalError, GapInSignalError, SourceUnavailableError
from carbon_policy.domain.finding import Finding, FindingKind, Treatment
from carbon_policy.domain.signal import MAX_GCO2_PER_KWH

MOST_BAD = 0.1
"""With a larger share of impossible values, the rest is not believed either."""

_SHOWN = 3


@dataclass(frozen=True)
class Row:
    """One slot as a source gave it.

    Attributes:
        start: The slot's start, UTC.
        gco2_per_kwh: `None` where the source says that it does not know.
        estimated: Whether the source calls the value an estimate.
    """

    start: datetime
    gco2_per_kwh: float | None
    estimated: bool = False


@dataclass(frozen=True)
class Slots:
    """A dense run.

    Attributes:
        start: Of the first slot, UTC.
        values_gco2_per_kwh: One a slot, possible values all.
        estimated: One flag a slot; empty where none is set.
        findings: What was amiss.
    """

    start: datetime
    values_gco2_per_kwh: tuple[float, ...]
    estimated: tuple[bool, ...] = ()
    findings: tuple[Finding, ...] = ()

    def as_fields(self) -> dict[str, Any]:
        """For an `IntensitySeries`."""
        return {
            "start": self.start,
            "values_gco2_per_kwh": self.values_gco2_per_kwh,
            "estimated": self.estimated,
            "findings": self.findings,
        }


def within(rows: Iterable[Row], step: timedelta, start: datetime, end: datetime) -> list[Row]:
    """The rows whose slots overlap `start` to `end`."""
    return [row for row in rows if start < row.start + step and row.start < end]


def from_slot(rows: Iterable[Row], first: datetime, source: str) -> list[Row]:
    """The rows of a forecast from one slot on, which must be among them and known.

    Args:
        rows: In any order.
        first: The slot that contains now, UTC.
        source: Names the source.

    Raises:
        GapInSignalError: It says nothing of that slot.
    """
    ahead = [row for row in rows if row.start >= first]
    if not any(row.start == first and row.gco2_per_kwh is not None for row in ahead):
        raise GapInSignalError(f"{source} forecasts nothing for {first.isoformat()}; try later.")
    return ahead


def assemble(
    rows: Iterable[Row], step: timedelta, source: str, keep: Literal["first", "last"] = "first"
) -> Slots:
    """The rows in order, without what cannot be, up to the first hole (or from the last one on).

    Slots that are not known at either end are simply not there yet: that is no finding.

    Args:
        rows: In any order.
        step: The length of every slot.
        source: Names the source in findings.
        keep: Which run, where there are holes: the first for a forecast, the last for history.

    Raises:
        SourceUnavailableError: No slot is known.
        AbsurdSignalError: More than `MOST_BAD` of the values cannot be.
    """
    found: list[Finding] = []
    values = _one_each(_in_order(list(rows), source, found), source, found)
    values = _possible(values, source, found)
    known = [start for start, row in values.items() if row.gco2_per_kwh is not None]
    if not known:
        raise SourceUnavailableError(
            f"{source} knows none of these slots yet; ask for earlier ones, or later."
        )
    run = _run(values, known[0], known[-1], step, source, keep, found)
    return Slots(
        start=run[0].start,
        values_gco2_per_kwh=tuple(row.gco2_per_kwh for row in run if row.gco2_per_kwh is not None),
        estimated=tuple(row.estimated for row in run) if any(row.estimated for row in run) else (),
        findings=tuple(found),
    )


def _in_order(rows: list[Row], source: str, found: list[Finding]) -> list[Row]:
    ordered = sorted(rows, key=lambda row: row.start)
    if ordered != rows:
        found.append(
            Finding(
                kind=FindingKind.OUT_OF_ORDER,
                treatment=Treatment.CORRECTED,
                source=source,
                sentence="its slots came out of order, and were sorted.",
            )
        )
    return ordered


def _one_each(rows: list[Row], source: str, found: list[Finding]) -> dict[datetime, Row]:
    """Slot to row; of a slot with several values none is known to be right."""
    by_start: dict[datetime, list[Row]] = {}
    for row in rows:
        same = by_start.setdefault(row.start, [])
        if row not in same:
            same.append(row)
    twice = [start for start, same in by_start.items() if len(same) > 1]
    if twice:
        found.append(_left_out(FindingKind.OVERLAP, source, "said two things of", twice))
    return {start: same[0] if len(same) == 1 else Row(start, None) for start, same in by_start.items()}


def _possible(values: dict[datetime, Row], source: str, found: list[Finding]) -> dict[datetime, Row]:
    bad: dict[FindingKind, list[datetime]] = {}
    for start, row in values.items():
        kind = _impossible(row.gco2_per_kwh)
        if kind is not None:
            bad.setdefault(kind, []).append(start)
    count = sum(map(len, bad.values()))
    told = sum(row.gco2_per_kwh is not None for row in values.values())
    if count > MOST_BAD * told:
        worst = ", ".join(f"{kind} at {starts[0].isoformat()}" for kind, starts in bad.items())
        raise AbsurdSignalError(
            f"{source} gives {count} of {told} values that no grid has (0 to {MAX_GCO2_PER_KWH:.0f} g/kWh):"
            f" {worst}; name another source until it is mended."
        )
    for kind, starts in bad.items():
        found.append(_left_out(kind, source, "gave values that no grid has of", starts))
    refused = {start for starts in bad.values() for start in starts}
    return {start: Row(start, None) if start in refused else row for start, row in values.items()}


def _impossible(value: float | None) -> FindingKind | None:
    if value is None:
        return None
    if not math.isfinite(value):
        return FindingKind.NOT_A_NUMBER
    if value < 0:
        return FindingKind.NEGATIVE
    return FindingKind.ABSURD if value > MAX_GCO2_PER_KWH else None


def _run(
    values: dict[datetime, Row],
    first: datetime,
    last: datetime,
    step: timedelta,
    source: str,
    keep: Literal["first", "last"],
    found: list[Finding],
) -> list[Row]:
    runs: list[list[Row]] = [[]]
    holes: list[datetime] = []
    for index in range((last - first) // step + 1):
        start = first + index * step
        row = values.get(start)
        if row is not None and row.gco2_per_kwh is not None:
            runs[-1].append(row)
            continue
        holes.append(start)
        if runs[-1]:
            runs.append([])
    if holes:
        told_null = all(start in values for start in holes)
        kind = FindingKind.NULL if told_null else FindingKind.GAP
        taken = f"only what comes {'before' if keep == 'first' else 'after'} was taken"
        found.append(_left_out(kind, source, "knows nothing of", holes, f"; {taken}"))
    return runs[0] if keep == "first" else runs[-1]


def _left_out(kind: FindingKind, source: str, what: str, slots: list[datetime], more: str = "") -> Finding:
    shown = ", ".join(f"{slot:%Y-%m-%dT%H:%MZ}" for slot in slots[:_SHOWN])
    rest = f" and {len(slots) - _SHOWN} more" if len(slots) > _SHOWN else ""
    return Finding(
        kind=kind,
        treatment=Treatment.LEFT_OUT,
        source=source,
        sentence=f"it {what} {shown}{rest}{more or ', which were left out'}.",
    )
