"""What a stored decision says it was made from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from carbon_policy.domain.decision import Decision
from carbon_policy.domain.errors import CarbonPolicyError
from carbon_policy.domain.ledger import LedgerEntry


@dataclass(frozen=True)
class OutlookEvidence:
    """The intensities of one zone that a decision saw.

    Attributes:
        zone: Electricity Maps' key.
        source: Who gave them.
        fingerprint: Names exactly these values, times and source.
        issued_at: When the forecast was made, UTC; `None` for history.
        provenance: The steps to it, one sentence each.
    """

    zone: str
    source: str
    fingerprint: str
    issued_at: datetime | None
    provenance: tuple[str, ...]


def evidence_of(entry: LedgerEntry) -> tuple[OutlookEvidence, ...]:
    """The outlooks of an entry's decision; none where it holds no decision that this release can read."""
    try:
        outlook = Decision.model_validate_json(entry.decision_json).evidence.outlook
    except (ValueError, CarbonPolicyError):
        return ()
    return tuple(
        OutlookEvidence(zone, series.source, series.fingerprint, series.issued_at, series.provenance)
        for zone, series in outlook.items()
    )
