"""The rolling re-plan: a plan is kept against noise, changed for a saving, and dropped where it cannot be kept."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_policy.domain.decision import Action, Evidence, Plan, PolicySettings, ReasonCode
from carbon_policy.domain.estimate import Estimate
from carbon_policy.policies import decide
from tests.unit.policies.cases import CLEAN_LATER, HOUR, case
from tests.unit.policies.strategies import START, evidence

_ONLY_FAST = {"allowed_sites": ["fast"]}
PLANNED = Plan(site="fast", start=START + 3 * HOUR, decided_at=START - HOUR)


def _waiting(values: tuple[float, ...], spec: dict[str, Any] | None = None, **more: Any) -> Evidence:
    return case(_ONLY_FAST | (spec or {}), {"DE": values}, plan=PLANNED, deferrals=1, **more)


def _at(hour: int, value: float, values: tuple[float, ...] = CLEAN_LATER) -> tuple[float, ...]:
    return (*values[:hour], value, *values[hour + 1 :])


def test_a_plan_that_is_still_good_is_kept() -> None:
    decision = decide(_waiting(CLEAN_LATER))
    assert (decision.action, decision.reason) == (Action.DEFER, ReasonCode.KEPT_PLAN)
    assert decision.start == decision.ask_again_at == PLANNED.start
    assert decision.chosen is not None
    assert decision.chosen.gco2 == pytest.approx(6.0)


@pytest.mark.parametrize(
    ("value", "start"), [(99.0, PLANNED.start), (98.5, PLANNED.start), (97.0, START + 5 * HOUR)]
)
def test_it_is_changed_for_the_margin_and_not_for_less(value: float, start: Any) -> None:
    decision = decide(_waiting(_at(5, value, (400.0,) * 3 + (100.0,) + (400.0,) * 4)))
    assert decision.start == start


def test_a_start_now_that_turns_out_greener_is_taken() -> None:
    assert decide(_waiting(_at(0, 50.0))).action is Action.RUN
    assert decide(_waiting(_at(0, 99.5))).reason is ReasonCode.KEPT_PLAN


def test_a_plan_that_the_outlook_has_spoilt_is_left() -> None:
    spoilt = decide(_waiting((200.0, 400.0, 400.0, 390.0, 380.0, 400.0, 400.0, 400.0)))
    assert (spoilt.action, spoilt.start) == (Action.RUN, START)


@pytest.mark.parametrize(
    ("skill", "value", "changed"),
    [(1.0, 97.0, True), (0.5, 97.0, False), (0.5, 95.0, True), (0.0, 10.0, False), (-0.5, 10.0, False)],
)
def test_a_change_is_believed_as_far_as_the_zones_forecasts_deserve(
    skill: float, value: float, changed: bool
) -> None:
    values = _at(5, value, (400.0,) * 3 + (100.0,) + (400.0,) * 4)
    decision = decide(_waiting(values, skill={"DE": skill}))
    assert (decision.reason is not ReasonCode.KEPT_PLAN) is changed


def test_a_misleading_forecast_does_not_keep_a_job_from_a_green_now() -> None:
    assert decide(_waiting(_at(0, 50.0), skill={"DE": -1.0})).action is Action.RUN


def test_a_deadline_that_a_plan_would_break_drops_it() -> None:
    longer = {
        "fast": Estimate(duration="1h", duration_high="6h", basis="learnt"),
    }
    decision = decide(_waiting(CLEAN_LATER, estimates=longer))
    assert decision.start <= START + 2 * HOUR


@pytest.mark.parametrize(
    "spec", [{"allowed_sites": ["eco"]}, {"allowed_hours": "04:00-06:00"}, {"finish_within": "3h"}]
)
def test_a_plan_that_is_no_longer_allowed_is_dropped(spec: dict[str, Any]) -> None:
    decision = decide(_waiting(CLEAN_LATER, spec))
    assert decision.reason is not ReasonCode.KEPT_PLAN
    assert (decision.site, decision.start) != (PLANNED.site, PLANNED.start)


def test_when_the_planned_start_has_come_it_is_decided_anew() -> None:
    decision = decide(_waiting(CLEAN_LATER, now=PLANNED.start))
    assert (decision.action, decision.start) == (Action.RUN, PLANNED.start)


def test_without_a_signal_a_plan_is_kept_as_it_keeps_the_deadline() -> None:
    decision = decide(case(_ONLY_FAST, outlook={}, plan=PLANNED))
    assert (decision.reason, decision.start) == (ReasonCode.KEPT_PLAN, PLANNED.start)
    late = Plan(site="fast", start=START + 8 * HOUR, decided_at=START)
    assert decide(case(_ONLY_FAST, outlook={}, plan=late)).reason is ReasonCode.NO_SIGNAL


def test_a_plan_outlives_the_cap_on_deferrals() -> None:
    assert decide(_waiting(CLEAN_LATER, {"max_deferrals": 1})).reason is ReasonCode.KEPT_PLAN


@given(evidence(), st.data())
def test_noise_below_half_of_the_margin_changes_no_plan(known: Evidence, data: st.DataObject) -> None:
    margin = 0.1
    settings = PolicySettings(replan_margin=margin)
    known = known.model_copy(update={"settings": settings})
    first = decide(known)
    if first.action is not Action.DEFER:
        return
    assert first.site is not None
    series = known.outlook["DE"]
    # An outlook that is off by at most `e` in every slot moves a ratio of two sums by at most (1 + e) / (1 - e).
    off = st.floats(min_value=-margin / 2.2, max_value=margin / 2.2)
    noise = data.draw(
        st.lists(off, min_size=len(series.values_gco2_per_kwh), max_size=len(series.values_gco2_per_kwh))
    )
    values = tuple(
        value * (1 + share) for value, share in zip(series.values_gco2_per_kwh, noise, strict=True)
    )
    again = decide(
        known.model_copy(
            update={
                "outlook": {"DE": series.model_copy(update={"values_gco2_per_kwh": values})},
                "plan": Plan(site=first.site, start=first.start, decided_at=known.now),
                "deferrals": 1,
            }
        )
    )
    assert again.reason is ReasonCode.KEPT_PLAN
    assert (again.site, again.start) == (first.site, first.start)
