"""A small world to put one case into: zones with given hours, sites, and a flexible job."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from carbon_policy.domain.decision import Evidence
from carbon_policy.domain.job import JobSpec
from carbon_policy.domain.signal import IntensitySeries
from tests.unit.policies.strategies import ECO, FAST, START

HOUR = timedelta(hours=1)
FLEXIBLE: dict[str, Any] = {"urgency": "flexible", "finish_within": "8h", "expected_duration": "1h"}
CLEAN_LATER = (400.0, 400.0, 400.0, 100.0, 100.0, 400.0, 400.0, 400.0)


def hours(values: Sequence[float], zone: str = "DE") -> IntensitySeries:
    """One value an hour from `START` on."""
    return IntensitySeries(
        zone=zone, start=START, step="1h", values_gco2_per_kwh=tuple(map(float, values)), source="test"
    )


def case(
    spec: dict[str, Any] | None = None, zones: dict[str, Sequence[float]] | None = None, **more: Any
) -> Evidence:
    """Evidence at `START` of a flexible job, on `fast` and `eco` in DE unless said otherwise."""
    fields: dict[str, Any] = {
        "job": "job",
        "now": START,
        "submitted_at": START,
        "spec": JobSpec(**FLEXIBLE | (spec or {})),
        "sites": (FAST, ECO),
        "outlook": {zone: hours(values, zone) for zone, values in (zones or {"DE": CLEAN_LATER}).items()},
    }
    return Evidence(**fields | more)
