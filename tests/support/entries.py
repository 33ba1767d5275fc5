"""Entries of the ledger, of which a test says only what it is about."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from carbon_policy.domain.ledger import LedgerEntry


def entry(job_run_id: str, started_at: datetime, **fields: Any) -> LedgerEntry:
    """A run of an hour that was started when it was due; any field by keyword."""
    known: dict[str, Any] = {
        "job_run_id": job_run_id,
        "flow": "train",
        "site": "fast",
        "tier": "fast",
        "zone": "DE",
        "reason": "greenest-now",
        "state": "COMPLETED",
        "submitted_at": started_at,
        "started_at": started_at,
        "ended_at": started_at + timedelta(hours=1),
        "energy_kwh": 0.1,
        "measured_kwh": 0.1,
        "estimated_kwh": 0.0,
        "energy_methods": "rapl",
    }
    return LedgerEntry(**known | fields)
