"""The gate that every answer passes before anything is decided, stored or accounted with it.

What a source's rows look like is seen to where they are assembled (`grid/rows.py`); here is judged what a dense
series says: whether it is of the zone and the time, of the right kind, and whether the zone can be like that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile
from typing import Literal

from carbon_policy.domain.errors import SignalError
from carbon_policy.domain.finding import Finding, FindingKind, Treatment
from carbon_policy.domain.signal import IntensitySeries, Labels, SignalKind
from carbon_policy.domain.times import format_duration
from carbon_policy.grid.norms import Norms, longest_flat
from carbon_policy.grid.rows import MOST_BAD, Row, assemble
from carbon_policy.grid.series import changed
from carbon_policy.grid.source import Capabilities

OLDEST_ISSUE = timedelta(hours=6)
"""A forecast older than this is stale."""

LONGEST_FLAT = timedelta(hours=6)
"""Slots of an hour or less that hold one value for longer than this are a frozen feed."""

_CLOCKS_DIFFER = timedelta(hours=1)


@dataclass(frozen=True)
class Expected:
    """What an answer is measured by.

    Attributes:
        zone: That was asked for.
        now: For a forecast, UTC; `None` for history.
        signal: Average or marginal.
        norms: Of the zone and this kind of number, where its history is known.
        labels: The kind of number that it has to fit to; `None` where it stands alone.
        oldest_issue: A forecast older than this is stale.
    """

    zone: str
    now: datetime | None = None
    signal: SignalKind = SignalKind.AVERAGE
    norms: Callable[[IntensitySeries], Norms | None] | None = None
    labels: Labels | None = None
    oldest_issue: timedelta = OLDEST_ISSUE


@dataclass(frozen=True)
class Examined:
    """What the gate let through.

    Attributes:
        series: `None` where nothing.
        findings: All that was amiss, the answer's own findings first.
    """

    series: IntensitySeries | None
    findings: tuple[Finding, ...]


class _RefusedError(Exception):
    def __init__(self, kind: FindingKind, sentence: str) -> None:
        super().__init__(sentence)
        self.kind = kind


def examine(series: IntensitySeries, known: Capabilities, expected: Expected) -> Examined:
    """Let an answer through, in whole or in part, or refuse it.

    Args:
        series: The answer.
        known: Of its source.
        expected: What it is measured by.
    """
    found = list(series.findings)
    try:
        _is_of(series, expected)
        _is_of_its_kind(series, expected.labels)
        _is_of_the_time(series, expected)
        norms = expected.norms(series) if expected.norms else None
        norms = norms or Norms.without_history(series.zone, series.labels)
        series = _believable(series, known, norms, expected, found)
        series = _not_frozen(series, known, norms, expected, found)
    except (_RefusedError, SignalError) as error:
        refusal = Finding(
            kind=error.kind, treatment=Treatment.REFUSED, source=known.name, sentence=str(error)
        )
        return Examined(None, (*found, refusal))
    if any(series.estimated):
        found.append(_estimated(series, known))
    return Examined(series, tuple(found))


def _is_of(series: IntensitySeries, expected: Expected) -> None:
    if series.zone != expected.zone:
        raise _RefusedError(FindingKind.WRONG_ZONE, f"it answered for {series.zone}.")
    if series.signal is not expected.signal:
        raise _RefusedError(
            FindingKind.SIGNAL_MIXED,
            f"its signal is {series.signal}, which does not mix with {expected.signal} ones.",
        )


def _is_of_its_kind(series: IntensitySeries, labels: Labels | None) -> None:
    kind = differing(series.labels, labels) if labels else None
    if kind is not None:
        raise _RefusedError(
            kind, f"it gives {series.labels} intensities, which do not mix with {labels} ones."
        )


def differing(left: Labels, right: Labels) -> FindingKind | None:
    """Why two kinds of number cannot be compared; `None` where they can. An unknown basis fits to any."""
    if left.signal is not right.signal:
        return FindingKind.SIGNAL_MIXED
    if left.factors is not right.factors:
        return FindingKind.FACTORS_MIXED
    if left.simulated is not right.simulated:
        return FindingKind.SIMULATED
    if left.basis and right.basis and left.basis is not right.basis:
        return FindingKind.BASIS_MIXED
    return None


def _is_of_the_time(series: IntensitySeries, expected: Expected) -> None:
    now = expected.now
    if now is None:
        if series.issued_at is not None:
            raise _RefusedError(FindingKind.NOT_NOW, "it is a forecast and no measurement.")
        return
    if not series.start <= now < series.end:
        raise _RefusedError(
            FindingKind.NOT_NOW,
            f"its forecast is of {series.start.isoformat()} to {series.end.isoformat()}, and not of now.",
        )
    if series.issued_at is None:
        raise _RefusedError(FindingKind.STALE, "its forecast does not say when it was issued.")
    age = now - series.issued_at
    if age > expected.oldest_issue:
        raise _RefusedError(FindingKind.STALE, f"its forecast is stale, {format_duration(age)} old.")
    if -age > _CLOCKS_DIFFER:
        raise _RefusedError(
            FindingKind.STALE,
            f"its forecast was issued {format_duration(-age)} from now; is this machine's clock right?",
        )


def _believable(
    series: IntensitySeries,
    known: Capabilities,
    norms: Norms | None,
    expected: Expected,
    found: list[Finding],
) -> IntensitySeries:
    """The series up to its first value that the zone cannot have; of history, from the last one on."""
    if norms is None or known.simulated or series.simulated:
        return series
    keep: Literal["first", "last"] = "first" if expected.now else "last"
    zero_is_a_value = known.zeros or norms.can_be_zero

    def amiss(value: float) -> FindingKind | None:
        if value == 0:
            return None if zero_is_a_value else FindingKind.ZERO
        inside = norms.lowest_gco2_per_kwh <= value <= norms.highest_gco2_per_kwh
        return None if inside else FindingKind.SPIKE

    for kind, what in (
        (FindingKind.ZERO, "0 g/kWh"),
        (FindingKind.SPIKE, "a value far outside the zone's range"),
    ):
        values = series.values_gco2_per_kwh
        bad = [index for index, value in enumerate(values) if amiss(value) is kind]
        if not bad:
            continue
        first = f"{values[bad[0]]:.0f} g/kWh at {series.slot_start(bad[0]):%Y-%m-%dT%H:%MZ}"
        says = f"it says {what} of {len(bad)} of {len(values)} slots ({first}), and {norms.says}"
        nothing_left = bad[0] == 0 if keep == "first" else len(bad) == len(values)
        if len(bad) > MOST_BAD * len(values) or nothing_left:
            raise _RefusedError(kind, f"{says}.")
        series = _without(series, set(bad), keep)
        found.append(
            Finding(
                kind=kind,
                treatment=Treatment.LEFT_OUT,
                source=known.name,
                sentence=f"{says}; only what comes {'before' if keep == 'first' else 'after'} was taken.",
            )
        )
    return series


def _without(series: IntensitySeries, bad: set[int], keep: Literal["first", "last"]) -> IntensitySeries:
    flags = series.estimated or (False,) * len(series.values_gco2_per_kwh)
    rows = [
        Row(series.slot_start(index), None if index in bad else value, flags[index])
        for index, value in enumerate(series.values_gco2_per_kwh)
    ]
    slots = assemble(rows, series.step, series.source, keep)
    return changed(
        series,
        start=slots.start,
        values_gco2_per_kwh=slots.values_gco2_per_kwh,
        estimated=slots.estimated,
    )


def _not_frozen(
    series: IntensitySeries,
    known: Capabilities,
    norms: Norms | None,
    expected: Expected,
    found: list[Finding],
) -> IntensitySeries:
    """A forecast that holds one value is refused; of history, the end that stands still is left out.

    A zone of steady water or rounded figures is flat for hours as well. So it takes a run longer than twice the
    longest of its history, and one that is most of a forecast, or the end of a history that was not flat before.
    """
    if known.flat or series.step * known.speed > timedelta(hours=1):
        return series
    allowed = max(LONGEST_FLAT, 2 * norms.longest_flat if norms else LONGEST_FLAT) / known.speed
    whole = series.end - series.start
    if expected.now is not None:
        longest = longest_flat(series)
        if longest > allowed and 2 * longest >= whole:
            raise _RefusedError(
                FindingKind.FROZEN,
                f"it holds one value for {format_duration(longest)}, as a frozen feed does;"
                " if its values are right, declare the source flat (a trace: `allow_flat`).",
            )
        return series
    values = series.values_gco2_per_kwh
    still = len(list(takewhile(lambda value: value == values[-1], reversed(values)))) * series.step
    # Flat from its beginning, where nobody knows what is normal for it: then that is what is known of it.
    if still <= allowed or (2 * still >= whole and not (norms and norms.longest_flat)):
        return series
    says = f"it held one value for its last {format_duration(still)}, as a frozen feed does"
    if still >= whole:
        raise _RefusedError(FindingKind.FROZEN, f"{says}.")
    found.append(
        Finding(
            kind=FindingKind.FROZEN,
            treatment=Treatment.LEFT_OUT,
            source=known.name,
            sentence=f"{says}; only what comes before was taken.",
        )
    )
    return series.between(series.start, series.end - still)


def _estimated(series: IntensitySeries, known: Capabilities) -> Finding:
    count = sum(series.estimated)
    return Finding(
        kind=FindingKind.ESTIMATED,
        treatment=Treatment.NOTED,
        source=known.name,
        sentence=f"it calls {count} of {len(series.estimated)} values estimates; they may be revised.",
    )
