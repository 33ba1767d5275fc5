"""Near a budget the policy tightens; over one the user's choice is done, and a deadline still beats carbon."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from carbon_policy.domain.budget import Budget, BudgetUse
from carbon_policy.domain.decision import Action, Evidence, ReasonCode
from carbon_policy.policies import decide
from tests.unit.policies.cases import HOUR, case
from tests.unit.policies.strategies import FAST, START

_NOW = {"finish_within": None, "urgency": "normal"}
_FLAT = {"DE": (300.0,) * 8}
APRIL = datetime(2026, 4, 1, tzinfo=UTC)


def _used(gco2: float, of: float = 1000.0, tag: str = "team-x") -> dict[str, Any]:
    return {"budgets": (BudgetUse(budget=Budget(tag=tag, gco2=of), used_gco2=gco2),)}


def _decided(spec: dict[str, Any], zones: Any = None, **more: Any) -> tuple[Action, str | None, ReasonCode]:
    decision = decide(case(spec, zones, **more))
    return decision.action, decision.site, decision.reason


def test_far_from_a_budget_nothing_changes() -> None:
    assert decide(case(**_used(700))).chosen == decide(case()).chosen


def test_near_a_budget_any_saving_is_enough() -> None:
    slightly = {"DE": (300.0, 300.0, 290.0, *(300.0,) * 5)}
    spec = {"allowed_sites": ["fast"], "minimum_saving": 0.2}
    assert _decided(spec, slightly)[2] is ReasonCode.SAVING_TOO_SMALL
    assert _decided(spec, slightly, **_used(790)) == (Action.DEFER, "fast", ReasonCode.GREENER_LATER)


def test_near_a_budget_the_greenest_site_is_taken_though_the_rules_say_fast() -> None:
    spec = _NOW | {"policy": "threshold", "expected_duration": "1h"}
    assert _decided(spec, _FLAT, **_used(100))[1] == "fast"
    assert _decided(spec, _FLAT, **_used(790))[1] == "eco"


def test_near_a_budget_of_money_the_cheapest_site_is_taken() -> None:
    cheap = FAST.model_copy(update={"name": "cheap", "power_w": 90, "price_per_hour": 1.0})
    dear = FAST.model_copy(update={"price_per_hour": 3.0})
    budgets = (BudgetUse(budget=Budget(cost=100), used_cost=90),)
    assert _decided(_NOW, _FLAT, sites=(dear, cheap))[1] == "fast"
    assert _decided(_NOW, _FLAT, sites=(dear, cheap), budgets=budgets)[1] == "cheap"


@pytest.mark.parametrize(
    ("choice", "action", "site", "reason"),
    [
        ("defer", Action.DEFER, "fast", ReasonCode.OVER_BUDGET_DEFERRED),
        ("eco", Action.RUN, "fast", ReasonCode.OVER_BUDGET_ECO),
        ("release", Action.DEFER, "fast", ReasonCode.OVER_BUDGET_HELD),
        ("refuse", Action.FAIL, None, ReasonCode.OVER_BUDGET_REFUSED),
    ],
)
def test_over_a_budget_the_users_choice_is_done(
    choice: str, action: Action, site: str | None, reason: ReasonCode
) -> None:
    spec = {"over_budget": choice, "allowed_sites": ["fast"]}
    assert _decided(spec, **_used(999)) == (action, site, reason)


def test_eco_takes_the_fewest_grams_of_now() -> None:
    assert _decided({"over_budget": "eco"}, **_used(999))[1:] == ("eco", ReasonCode.OVER_BUDGET_ECO)


def test_the_sentence_names_the_budget_its_use_and_its_limit() -> None:
    says = decide(case({"over_budget": "refuse"}, **_used(999))).sentence
    assert "The budget of team-x allows 1.00 kg a month; 999 g are used" in says
    assert "expected to add 4.80 g" in says


def test_a_run_of_its_own_budget() -> None:
    spec = _NOW | {"allowed_sites": ["fast"], "over_budget": "refuse"}
    assert _decided(spec | {"budget_gco2": 18.1}, _FLAT)[0] is Action.RUN
    assert _decided(spec | {"budget_gco2": 17.9}, _FLAT)[0] is Action.FAIL
    priced = (FAST.model_copy(update={"price_per_hour": 3.0}),)
    assert _decided(spec | {"budget_cost": 2.9}, _FLAT, sites=priced)[0] is Action.FAIL
    assert _decided(spec | {"budget_cost": 3.0}, _FLAT, sites=priced)[0] is Action.RUN


def test_a_greener_site_may_keep_a_run_within_its_budget() -> None:
    spec = _NOW | {"budget_gco2": 15.0, "over_budget": "refuse", "minimum_saving": 0.5}
    assert _decided(spec, _FLAT)[:2] == (Action.RUN, "eco")


def test_where_there_is_nothing_greener_to_wait_for_it_runs_and_says_so() -> None:
    decision = decide(case({"over_budget": "defer"}, _FLAT, **_used(999)))
    assert decision.action is Action.RUN
    assert "999 g are used" in decision.sentence


def test_released_and_critical_runs_go_all_the_same() -> None:
    refuse = {"over_budget": "refuse"}
    assert _decided(refuse, **_used(5000))[0] is Action.FAIL
    assert _decided(refuse, released=True, **_used(5000))[0] is Action.RUN
    assert _decided(refuse | {"urgency": "critical"}, **_used(5000))[0] is Action.RUN


def _held(now: datetime, **spec: Any) -> Evidence:
    spec = {"over_budget": "release", "allowed_sites": ["fast"], **spec}
    return case(spec, now=now, submitted_at=START, **_used(5000))


def test_a_held_run_is_asked_again_at_its_latest_start_or_when_the_month_ends() -> None:
    latest = START + 7 * HOUR - timedelta(minutes=2)
    assert decide(_held(START)).ask_again_at == latest
    assert decide(_held(START, finish_within="14d")).ask_again_at == APRIL
    assert decide(_held(START, finish_within=None)).ask_again_at == APRIL


@pytest.mark.parametrize(
    ("on_missed", "action"), [("run", Action.RUN), ("skip", Action.SKIP), ("fail", Action.FAIL)]
)
def test_at_its_latest_start_a_held_run_does_what_on_missed_says_and_in_time(
    on_missed: str, action: Action
) -> None:
    woken = decide(_held(START)).ask_again_at
    assert woken is not None
    decision = decide(_held(woken, on_missed=on_missed))
    assert decision.action is action
    assert "Nobody released it by its latest start" in decision.sentence
    assert decision.start + HOUR <= START + 8 * HOUR


def test_what_starts_next_month_is_charged_to_that_month() -> None:
    last_hours = APRIL - 2 * HOUR
    values = (400.0,) * 5 + (100.0,) * 3
    series = {"DE": case(zones={"DE": values}).outlook["DE"].model_copy(update={"start": last_hours})}
    spec = {"over_budget": "refuse", "allowed_sites": ["fast"]}
    decision = decide(case(spec, now=last_hours, submitted_at=last_hours, outlook=series, **_used(5000)))
    assert decision.action is Action.DEFER
    assert decision.start >= APRIL


def test_without_a_signal_what_is_used_already_still_counts() -> None:
    assert _decided({"over_budget": "refuse"}, outlook={}, **_used(999))[0] is Action.RUN
    assert _decided({"over_budget": "refuse"}, outlook={}, **_used(1001))[0] is Action.FAIL
