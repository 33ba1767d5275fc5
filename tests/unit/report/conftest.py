from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from carbon_policy.domain.decision import Action, Decision, Evidence, ReasonCode
from carbon_policy.domain.job import JobSpec
from carbon_policy.domain.ledger import LedgerEntry, SlotGrams
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.domain.site import Site, Tier

DAY = datetime(2026, 11, 22, tzinfo=UTC)
PUE = 1.2


@pytest.fixture
def series() -> IntensitySeries:
    """A day that is greenest at noon: 400 g/kWh at midnight, 160 at noon."""
    return IntensitySeries(
        zone="DE",
        start=DAY,
        step=timedelta(hours=1),
        values_gco2_per_kwh=tuple(160.0 + 20 * abs(hour - 12) for hour in range(24)),
        source="energy-charts",
        issued_at=DAY,
        provenance=("Fetched once.",),
    )


@pytest.fixture
def make_entry(series: IntensitySeries) -> Callable[..., LedgerEntry]:
    """An entry of a job of `hours` from `start` (hour of the day), due at `due`; any field by keyword.

    Its slots, grams and counterfactual follow from the day's series at 0.3 kW.
    """

    def make(name: str, due: int, start: int, hours: int = 2, **fields: Any) -> LedgerEntry:
        actual = _slots(series, start, hours)
        instead = _slots(series, due, hours)
        submitted_at, started_at = DAY + timedelta(hours=due), DAY + timedelta(hours=start)
        site = Site(name="hall-1", work_pool="fast", tier=Tier.FAST, zone="DE", power_w=300)
        decision = Decision(
            action=Action.RUN,
            site="hall-1",
            start=started_at,
            reason=ReasonCode.GREENER_LATER,
            sentence="x",
            evidence=Evidence(
                job=name,
                now=submitted_at,
                submitted_at=submitted_at,
                spec=JobSpec(),
                sites=(site,),
                outlook={"DE": series},
            ),
        )
        known: dict[str, Any] = {
            "job_run_id": f"run-{name}",
            "flow": name,
            "deployment": "daily",
            "site": "hall-1",
            "tier": "fast",
            "zone": "DE",
            "reason": "greener-later",
            "sentence": "Waited for noon.",
            "decision_json": decision.model_dump_json(),
            "state": "COMPLETED",
            "submitted_at": submitted_at,
            "started_at": started_at,
            "ended_at": started_at + timedelta(hours=hours),
            "deferrals": int(start > due),
            "energy_kwh": 0.3 * hours,
            "measured_kwh": 0.2 * hours,
            "estimated_kwh": 0.1 * hours,
            "energy_methods": "rapl + ram-model",
            "pue": PUE,
            "gco2": sum(slot.gco2 for slot in actual),
            "slots": actual,
            "counterfactual_energy_kwh": 0.3 * hours,
            "counterfactual_gco2": sum(slot.gco2 for slot in instead),
            "counterfactual_slots": instead,
            "intensity_source": "energy-charts",
        }
        return LedgerEntry(**known | fields)

    return make


@pytest.fixture
def entries(make_entry: Callable[..., LedgerEntry]) -> list[LedgerEntry]:
    """One that saved, one at once, one that cost carbon, one without actuals."""
    return [
        make_entry("train", due=2, start=11, predicted_gco2=120.0, predicted_saving_gco2=150.0),
        make_entry("infer", due=9, start=9, tier="eco", reason="greenest-now", predicted_saving_gco2=0.0),
        make_entry("tune", due=13, start=20, state="FAILED"),
        make_entry(
            "etl",
            due=6,
            start=7,
            deployment=None,
            gco2=None,
            counterfactual_gco2=None,
            slots=(),
            counterfactual_slots=(),
        ),
    ]


def _slots(series: IntensitySeries, start: int, hours: int) -> tuple[SlotGrams, ...]:
    return tuple(
        SlotGrams(
            start=DAY + timedelta(hours=hour),
            end=DAY + timedelta(hours=hour + 1),
            energy_kwh=0.3 * PUE,
            gco2_per_kwh=series.values_gco2_per_kwh[hour],
        )
        for hour in range(start, start + hours)
    )
