"""An entry of the ledger says what is learnt from and what budgets count."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun

from carbon_policy.domain.decision import Action, Decision, Evidence, ReasonCode
from carbon_policy.domain.energy import EnergyMethod, EnergyPart, EnergyReading, EnergySegment
from carbon_policy.domain.job import JobSpec
from carbon_policy.domain.ledger import LedgerEntry
from carbon_policy.domain.site import Site, Tier
from carbon_policy.orchestration.emissions import entry_of

START = datetime(2026, 11, 22, 6, tzinfo=UTC)


def reading(hour: float, minutes: float) -> EnergyReading:
    started_at = START + timedelta(hours=hour)
    ended_at = started_at + timedelta(minutes=minutes)
    return EnergyReading(
        started_at=started_at,
        ended_at=ended_at,
        parts=(EnergyPart(component="cpu", method=EnergyMethod.RAPL, energy_kwh=0.5),),
        segments=(EnergySegment(start=started_at, end=ended_at, energy_kwh=0.5),),
        tool="test",
    )


def entry(*readings: EnergyReading, **site: Any) -> LedgerEntry:
    fast = Site(name="fast", work_pool="fast", tier=Tier.FAST, zone="DE", power_w=300, pue=1.5, **site)
    evidence = Evidence(
        job="a",
        now=START,
        submitted_at=START,
        spec=JobSpec(quantity=40, functional_unit="image"),
        sites=(fast,),
    )
    return entry_of(
        run=FlowRun(
            flow_id=uuid4(),
            tags=["research", "carbon-placed", "a"],
            parameters={"epochs": 3, "password": "hunter2", "layers": [1, 2]},
        ),
        flow="train",
        deployment="nightly",
        decision=Decision(
            action=Action.RUN,
            site="fast",
            start=START,
            reason=ReasonCode.NO_SIGNAL,
            sentence="Now.",
            evidence=evidence,
        ),
        readings=readings,
        actual={},
        state="COMPLETED",
        span=(readings[0].started_at, readings[-1].ended_at),
    )


def test_what_the_run_was_called_with_is_kept() -> None:
    kept = entry(reading(0, 60))
    assert kept.tags == ("a", "research")
    assert kept.parameters == {"epochs": 3}
    assert (kept.quantity, kept.functional_unit) == (40, "image")


def test_of_an_interrupted_run_the_breaks_are_no_running_time() -> None:
    kept = entry(reading(0, 30), reading(5, 60))
    assert kept.ended_at - kept.started_at == timedelta(hours=6)
    assert kept.running_s == 5400


@pytest.mark.parametrize(
    ("prices", "cost"),
    [
        ({}, None),
        ({"price_per_kwh": 0.4}, 0.5 * 1.5 * 0.4),
        ({"price_per_hour": 3.0}, 1.5),
        ({"price_per_kwh": 0.4, "price_per_hour": 3.0}, 1.8),
    ],
)
def test_a_run_costs_what_the_building_draws_and_the_time(
    prices: dict[str, float], cost: float | None
) -> None:
    assert entry(reading(0, 30), **prices).cost == (None if cost is None else pytest.approx(cost))
