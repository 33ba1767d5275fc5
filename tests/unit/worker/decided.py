"""A decision of which a test says only what it is about."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from carbon_policy.domain.decision import Action, Decision, Evidence, Option, ReasonCode
from carbon_policy.domain.job import JobSpec
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.domain.site import Site, Tier

NOW = datetime(2026, 11, 22, 18, tzinfo=UTC)
LATER = NOW + timedelta(hours=3)


def outlook(*values: float) -> dict[str, IntensitySeries]:
    """What is expected of the zone DE."""
    series = IntensitySeries(
        zone="DE", start=NOW, step=timedelta(hours=1), values_gco2_per_kwh=values or (400.0, 120.0),
        source="a test", issued_at=NOW,
    )  # fmt: skip
    return {"DE": series}


def deferral(
    saved_gco2: float | None = 12.3, *, evidence: dict[str, Any] | None = None, **fields: Any
) -> Decision:
    """A wait of three hours on fast."""

    def option(start: datetime, gco2: float | None) -> Option:
        finish = start + timedelta(hours=1)
        return Option(site="fast", tier="fast", start=start, finish=finish, energy_kwh=0.1, gco2=gco2)

    known: dict[str, Any] = {
        "job": "a run",
        "now": NOW,
        "submitted_at": NOW,
        "spec": JobSpec(urgency="flexible", finish_within="12h", expected_duration="1h"),
        "sites": (Site(name="fast", work_pool="fast", tier=Tier.FAST, zone="DE", power_w=60),),
        "outlook": outlook(),
    }
    decided: dict[str, Any] = {
        "action": Action.DEFER,
        "site": "fast",
        "start": LATER,
        "reason": ReasonCode.GREENER_LATER,
        "sentence": "Waits for a greener hour.",
        "chosen": option(LATER, None if saved_gco2 is None else 100 - saved_gco2),
        "counterfactual": option(NOW, 100.0),
        "evidence": Evidence(**known | (evidence or {})),
    }
    return Decision(**decided | fields)
