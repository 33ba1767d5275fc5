"""What a decision rests on beside the grid, as people read it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from carbon_policy.domain.budget import Budget, BudgetUse
from carbon_policy.domain.decision import Evidence, Plan, Slice
from carbon_policy.domain.estimate import Estimate, EstimateBasis
from carbon_policy.domain.job import JobSpec
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.domain.site import Site, Tier
from carbon_policy.orchestration.grounds import grounds_of
from carbon_policy.orchestration.records import decision_markdown, plan_of
from carbon_policy.policies import decide

NOW = datetime(2026, 11, 22, 6, tzinfo=UTC)
HOUR = timedelta(hours=1)
VALUES = (400.0, 400.0, 400.0, 100.0, 400.0, 400.0)


def evidence(**more: Any) -> Evidence:
    known: dict[str, Any] = {
        "job": "a",
        "now": NOW,
        "submitted_at": NOW,
        "spec": JobSpec(urgency="flexible", finish_within=5 * HOUR, expected_duration=HOUR),
        "sites": (
            Site(name="fast", work_pool="fast", tier=Tier.FAST, zone="DE", power_w=60, price_per_kwh=0.3),
            Site(name="eco", work_pool="eco", tier=Tier.ECO, zone="DE", power_w=60, memory_gb=1),
        ),
        "outlook": {
            "DE": IntensitySeries(zone="DE", start=NOW, step=HOUR, values_gco2_per_kwh=VALUES, source="a")
        },
    }
    return Evidence(**known | more)


def said(**more: Any) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for ground in grounds_of(decide(evidence(**more))):
        found.setdefault(ground.kind, []).append(ground.sentence)
    return found


def test_of_what_is_not_known_nothing_is_said() -> None:
    assert said() == {}


def test_estimates_needs_budgets_and_skill() -> None:
    spec = evidence().spec.model_copy(update={"memory_gb": 4.0})
    estimate = Estimate(
        duration=HOUR,
        duration_high=HOUR,
        basis=EstimateBasis.LEARNT,
        runs=12,
        sentence="Learnt from 12 runs.",
    )
    uses = (
        BudgetUse(budget=Budget(tag="team", gco2=1000), used_gco2=250),
        BudgetUse(budget=Budget(cost=0), used_cost=1.5),
    )
    found = said(spec=spec, estimates={"fast": estimate, "eco": estimate}, budgets=uses, skill={"DE": 0.83})
    # A site that the job cannot take has no estimate worth telling.
    assert found["estimate"] == ["fast: Learnt from 12 runs."]
    [left_out] = found["site"]
    assert left_out.startswith("eco was left out: the job needs 4 GB of memory")
    assert found["budget"] == [
        "tag team: 250 g of 1.00 kg (25%) used this month.",
        "all runs: 1.50 of 0.00 in money used this month.",
    ]
    assert found["skill"] == ["DE: following its forecasts kept 83% of the perfect-foresight saving."]


def test_the_risk_is_the_band_while_the_job_runs() -> None:
    band = {0.1: tuple(0.9 * value for value in VALUES), 0.9: tuple(1.2 * value for value in VALUES)}
    decision = decide(evidence(quantiles={"DE": band}))
    assert decision.chosen is not None
    assert decision.start == NOW + 3 * HOUR
    [risk] = [ground.sentence for ground in grounds_of(decision) if ground.kind == "risk"]
    assert risk == "bold: DE is expected at 100 g/kWh then, and from 90 to 120 in 80% of cases."


def test_the_plan_the_progress_and_the_slices() -> None:
    plan = Plan(site="fast", start=NOW + 2 * HOUR, decided_at=NOW - HOUR)
    decision = decide(evidence(plan=plan, progress=0.5))
    assert decision.chosen is not None
    slices = (Slice(start=NOW, finish=NOW + HOUR), Slice(start=NOW + 3 * HOUR, finish=NOW + 4 * HOUR))
    decision = decision.model_copy(update={"chosen": decision.chosen.model_copy(update={"slices": slices})})
    found = {ground.kind: ground.sentence for ground in grounds_of(decision)}
    assert found["plan"].startswith(
        "It was planned for 2026-11-22 08:00 UTC on fast, as decided 2026-11-22 05:00 UTC"
    )
    assert found["progress"] == "50% of the work is done and saved."
    assert found["slices"] == (
        f"2 slices on {decision.site}: 2026-11-22 06:00 UTC to 07:00, 2026-11-22 09:00 UTC to 10:00."
    )
    page = decision_markdown(decision)
    assert all(sentence in page for sentence in found.values())


def test_only_a_run_that_waits_has_a_plan() -> None:
    waits = decide(evidence())
    assert plan_of(waits) == Plan(site=str(waits.site), start=NOW + 3 * HOUR, decided_at=NOW)
    critical = decide(evidence(spec=JobSpec(urgency="critical", expected_duration=HOUR)))
    assert plan_of(critical) is None
