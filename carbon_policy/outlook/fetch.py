"""Measured history from its source into the store: every run of slots, whatever holes are between them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from carbon_policy.domain.finding import Finding
from carbon_policy.grid.chain import Chain, NormsOf, Outlook, actuals

if TYPE_CHECKING:
    from carbon_policy.store.history import History

_MOST_RUNS = 12
"""Of one range: a source with more holes than this in it is asked again by the next backfill."""


@dataclass(frozen=True)
class Fetched:
    """What was stored of one range.

    Attributes:
        answer: The newest run.
        added: Slots that were new.
        revised: Slots that had another value before.
        unknown: What nobody knew; a single slot between two runs is none of it.
        findings: What was amiss.
    """

    answer: Outlook
    added: int
    revised: int
    unknown: tuple[tuple[datetime, datetime], ...]
    findings: tuple[Finding, ...]


def fetch(
    zone: str, start: datetime, end: datetime, live: Chain, history: History, now: datetime, norms: NormsOf
) -> Fetched:
    """Ask for a range, store what is known of it, and ask again for what lies before a hole.

    Args:
        zone: Electricity Maps' key.
        start: UTC.
        end: UTC.
        live: Whom to ask.
        history: Is filled.
        now: UTC.
        norms: What is normal for the zone.
    """
    newest: Outlook | None = None
    added = revised = 0
    findings: list[Finding] = []
    unknown: list[tuple[datetime, datetime]] = []
    until = end
    for _ in range(_MOST_RUNS):
        answer = actuals(zone, start, until, live, norms, whole=False)
        newest = newest or answer
        findings += answer.findings
        series = answer.series
        if series is None:
            unknown.insert(0, (start, until))
            break
        result = history.record(series, fetched_at=now)
        added, revised = added + result.added, revised + result.updated
        # The slot before the run is the hole; what is asked for next ends with it.
        earlier = series.start - series.step
        if earlier >= until:
            # It answers with the same whatever it is asked for.
            unknown.insert(0, (start, until))
            break
        until = earlier
        if until <= start:
            break
    else:
        unknown.insert(0, (start, until))
    assert newest is not None  # noqa: S101  At least one turn was taken.
    return Fetched(newest, added, revised, tuple(unknown), tuple(dict.fromkeys(findings)))
