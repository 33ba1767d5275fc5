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
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.domain.site import Site, Tier
from carbon_policy.orchestration.emissions import emissions_markdown, entry_of

START = datetime(2026, 11, 22, 6, tzinfo=UTC)


FLAT = IntensitySeries(
    zone="DE", start=START, step=timedelta(hours=1), values_gco2_per_kwh=(200.0,) * 12, source="by hand"
)
BREAKS = {"interruptible": True, "stop_cost": timedelta(minutes=3), "restart_cost": timedelta(minutes=6)}


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


def entry(
    *readings: EnergyReading,
    spec: dict[str, Any] | None = None,
    due: datetime = START,
    actual: IntensitySeries | None = FLAT,
    **site: Any,
) -> LedgerEntry:
    fast = Site(name="fast", work_pool="fast", tier=Tier.FAST, zone="DE", power_w=300, pue=1.5, **site)
    evidence = Evidence(
        job="a",
        now=START,
        submitted_at=due,
        spec=JobSpec(quantity=40, functional_unit="image", **spec or {}),
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
        actual={"DE": actual} if actual is not None else {},
        state="COMPLETED",
        span=(readings[0].started_at, readings[-1].ended_at),
    )


def test_what_the_run_was_called_with_is_kept() -> None:
    kept = entry(reading(0, 60))
    assert kept.tags == ("a", "research")
    assert kept.parameters == {"epochs": 3}
    assert (kept.quantity, kept.functional_unit) == (40, "image")


def test_the_account_says_that_a_run_did_not_complete() -> None:
    kept = entry(reading(0, 60))
    assert "| End |" not in emissions_markdown(kept)
    crashed = kept.model_copy(update={"state": "CRASHED"})
    assert "| End | crashed: the job did not complete |" in emissions_markdown(crashed)


def test_of_an_interrupted_run_the_breaks_are_no_running_time() -> None:
    kept = entry(reading(0, 30), reading(5, 60))
    assert kept.ended_at - kept.started_at == timedelta(hours=6)
    assert kept.running_s == 5400


def test_at_once_there_would_have_been_no_stops_and_restarts() -> None:
    """Two breaks of 9 minutes in 90 minutes: a fifth of the time, and of the 1.5 kWh, went into them."""
    kept = entry(reading(0, 30), reading(3, 30), reading(6, 30), spec=BREAKS)
    assert kept.energy_kwh == 1.5
    assert kept.counterfactual_energy_kwh == pytest.approx(1.2)
    assert kept.counterfactual_gco2 == pytest.approx(1.2 * 1.5 * 200)
    assert kept.counterfactual_slots[-1].end - START == timedelta(minutes=72)
    assert kept.saved_gco2 == pytest.approx(-0.3 * 1.5 * 200)
    [note] = kept.notes
    assert "80% of the running time and energy" in note
    assert "2 stops and restarts" in note


@pytest.mark.parametrize(
    ("readings", "spec"),
    [
        ((reading(0, 30),), BREAKS),
        ((reading(0, 30), reading(3, 30)), BREAKS | {"interruptible": False}),
    ],
)
def test_without_stops_the_counterfactual_is_of_the_whole_run(
    readings: tuple[EnergyReading, ...], spec: dict[str, Any]
) -> None:
    kept = entry(*readings, spec=spec)
    assert kept.counterfactual_energy_kwh == kept.energy_kwh
    assert kept.notes == ()


def test_where_nothing_but_stops_and_restarts_ran_at_once_it_is_nothing() -> None:
    kept = entry(reading(0, 4), reading(3, 4), spec=BREAKS)
    assert kept.counterfactual_energy_kwh == 0
    assert kept.counterfactual_gco2 == 0


@pytest.mark.parametrize(
    ("prices", "cost"),
    [
        ({}, None),
        ({"price_per_kwh": 0.4}, 0.5 * 1.5 * 0.4),
        ({"price_per_hour": 3.0}, 1.5),
        ({"price_per_kwh": 0.4, "price_per_hour": 3.0}, 1.8),
    ],
)
def test_a_run_costs_what_the_building_draws_and_the_time(prices: dict[str, Any], cost: float | None) -> None:
    assert entry(reading(0, 30), **prices).cost == (None if cost is None else pytest.approx(cost))


class TestEarly:
    """A run that started before it was due is compared with its due time."""

    DUE = START + timedelta(hours=4)
    STEPPED = FLAT.model_copy(update={"values_gco2_per_kwh": (100.0,) * 4 + (300.0,) * 8})

    def test_its_saving_is_against_the_due_time(self) -> None:
        kept = entry(reading(0, 60), due=self.DUE, actual=self.STEPPED)
        assert kept.gco2 == pytest.approx(0.5 * 1.5 * 100)
        assert kept.counterfactual_slots[0].start == self.DUE
        assert kept.saved_gco2 == pytest.approx(0.5 * 1.5 * 200)
        assert kept.settled
        assert kept.wait_s == -4 * 3600
        assert "| Started early | 4h before it was due |" in emissions_markdown(kept)

    def test_it_settles_only_when_the_time_that_it_is_compared_with_is_known(self) -> None:
        kept = entry(reading(0, 60), due=self.DUE, actual=None)
        assert not kept.settled

    @pytest.mark.parametrize(("due", "settled"), [(DUE, False), (START, True)])
    def test_though_its_own_grams_are_known(self, due: datetime, settled: bool) -> None:
        """It ran in another zone, whose intensities are known; nothing is of the reference's."""
        here = Site(name="fr", work_pool="fr", tier=Tier.ECO, zone="FR", power_w=300)
        fast = Site(name="fast", work_pool="fast", tier=Tier.FAST, zone="DE", power_w=300)
        decision = Decision(
            action=Action.RUN,
            site="fr",
            start=START,
            reason=ReasonCode.RELEASED,
            sentence="Now.",
            evidence=Evidence(
                job="a", now=START, submitted_at=due, spec=JobSpec(start_early="4h"), sites=(fast, here)
            ),
        )
        one = reading(0, 60)
        kept = entry_of(
            run=FlowRun(flow_id=uuid4()),
            flow="train",
            deployment="nightly",
            decision=decision,
            readings=[one],
            actual={"FR": FLAT.model_copy(update={"zone": "FR"})},
            state="COMPLETED",
            span=(one.started_at, one.ended_at),
        )
        assert kept.gco2 is not None
        assert kept.counterfactual_gco2 is None
        assert kept.settled is settled
