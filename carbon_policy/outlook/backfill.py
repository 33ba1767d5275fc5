"""Filling a zone's history: what is missing of a range, asked for piece by piece."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from carbon_policy.domain.finding import Finding
from carbon_policy.grid.chain import Chain, actuals
from carbon_policy.outlook.expected import norms_of
from carbon_policy.outlook.fetch import fetch

if TYPE_CHECKING:
    from carbon_policy.store.history import History

PIECE = timedelta(days=14)
"""What is asked for at once: no source gives more in one answer, and a failure loses no more."""

_PROBED = timedelta(days=1)


@dataclass(frozen=True)
class Backfilled:
    """What a backfill came to.

    Attributes:
        added: Slots that were new.
        updated: Slots that had another value before.
        unknown: Ranges of which no source knew anything.
        findings: What was amiss.
    """

    added: int
    updated: int
    unknown: tuple[tuple[datetime, datetime], ...]
    findings: tuple[Finding, ...]


def backfill(
    zone: str,
    start: datetime,
    end: datetime,
    live: Chain,
    history: History,
    now: datetime,
    progress: Callable[[float], object] | None = None,
) -> Backfilled:
    """Fetch what is missing, the oldest first; begun again, it goes on where it was.

    What is missing is told by the slots of the source that answers for the newest day: what another source, or
    another kind of number, has stored of the zone does not stand in for it.

    Args:
        zone: Electricity Maps' key.
        start: UTC.
        end: UTC.
        live: The sources to ask.
        history: Is filled.
        now: UTC.
        progress: Is told how much is done, 0 to 1.
    """
    added = updated = 0
    unknown: list[tuple[datetime, datetime]] = []
    norms = norms_of(history, zone, now)
    probe = actuals(zone, max(start, end - _PROBED), end, live, norms)
    findings = list(probe.findings)
    if probe.series is None:
        return Backfilled(0, 0, ((start, end),), tuple(dict.fromkeys(findings)))
    source, labels = probe.series.source, probe.series.labels
    first = start
    while first < end:
        last = min(first + PIECE, end)
        for begins, ends in history.gaps(zone, first, last, source=source, labels=labels):
            piece = fetch(zone, begins, ends, live, history, now, norms)
            added, updated = added + piece.added, updated + piece.revised
            unknown += piece.unknown
            findings += piece.findings
        first = last
        if progress is not None:
            progress((first - start) / (end - start))
    return Backfilled(added, updated, tuple(unknown), tuple(dict.fromkeys(findings)))
