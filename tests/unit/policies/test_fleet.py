"""The fleet policy: a place in the joint plan is waited for and taken, and given up for a deadline."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_policy.domain.decision import Action, Evidence, Plan, ReasonCode
from carbon_policy.domain.estimate import Estimate
from carbon_policy.policies import decide
from tests.unit.policies.cases import CLEAN_LATER, HOUR, case
from tests.unit.policies.strategies import ECO, FAST, START, evidence

PLACE = Plan(site="fast", start=START + 5 * HOUR, decided_at=START - HOUR, by="fleet")
AT_ECO = PLACE.model_copy(update={"site": "eco"})


def _planned(plan: Plan | None = PLACE, spec: dict[str, Any] | None = None, **more: Any) -> Evidence:
    return case({"policy": "fleet"} | (spec or {}), plan=plan, **{"deferrals": 1} | more)


def test_it_waits_for_its_place_though_another_start_is_greener() -> None:
    decision = decide(_planned())
    assert (decision.action, decision.reason) == (Action.DEFER, ReasonCode.FLEET_LATER)
    assert (decision.site, decision.start, decision.ask_again_at) == ("fast", PLACE.start, PLACE.start)
    assert decision.chosen is not None
    assert decision.chosen.gco2 == pytest.approx(0.06 * 400)
    assert decision.alternatives[0].gco2 == pytest.approx(2 * 0.024 * 100)


@pytest.mark.parametrize("plan", [PLACE, AT_ECO])
@pytest.mark.parametrize("late", [timedelta(0), timedelta(minutes=1)])
def test_when_its_time_has_come_it_runs_at_its_site(plan: Plan, late: timedelta) -> None:
    decision = decide(_planned(plan, now=plan.start + late))
    assert (decision.action, decision.reason) == (Action.RUN, ReasonCode.FLEET_NOW)
    assert (decision.site, decision.start) == (plan.site, plan.start + late)


def test_without_a_place_it_is_decided_as_greenest() -> None:
    alone = PLACE.model_copy(update={"by": None})
    for plan in (None, alone):
        ours, theirs = decide(_planned(plan)), decide(_planned(plan, {"policy": "greenest"}))
        assert (ours.reason, ours.site, ours.start) == (theirs.reason, theirs.site, theirs.start)


@pytest.mark.parametrize(
    "more",
    [
        {"spec": {"finish_within": "5h30m"}},
        {"spec": {"finish_within": "6h1m"}},
        {"spec": {"allowed_hours": "00:00-04:00"}},
        {"spec": {"max_deferrals": 1}},
        {"estimates": {"fast": Estimate(duration="1h", duration_high="4h", basis="learnt")}},
        {"sites": (FAST.model_copy(update={"name": "other"}), ECO)},
        {"sites": (FAST.model_copy(update={"enabled": False}), ECO)},
    ],
)
def test_a_place_that_cannot_be_kept_is_given_up(more: dict[str, Any]) -> None:
    decision = decide(_planned(**more))
    assert decision.reason not in (ReasonCode.FLEET_LATER, ReasonCode.KEPT_PLAN)
    assert (decision.site, decision.start) != (PLACE.site, PLACE.start)


def test_a_full_site_is_not_queued_at_but_for_the_reference() -> None:
    full = tuple(site.model_copy(update={"free": 0}) for site in (FAST, ECO))
    assert decide(_planned(AT_ECO, now=PLACE.start, sites=full)).action is Action.DEFER
    assert decide(_planned(PLACE, now=PLACE.start, sites=full)).reason is ReasonCode.FLEET_NOW


def test_a_deadline_beats_its_place_when_it_wakes_too_late() -> None:
    # On eco it takes two hours; of the eight, one and a half are left.
    late = decide(_planned(AT_ECO, now=START + 6.5 * HOUR))
    assert (late.action, late.site) == (Action.RUN, "fast")
    missed = decide(_planned(now=START + 7.5 * HOUR))
    assert missed.reason is ReasonCode.MISSED_RUN


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"released": True}, ReasonCode.RELEASED),
        ({"spec": {"urgency": "critical"}}, ReasonCode.CRITICAL),
        ({"spec": {"mode": "off"}}, ReasonCode.MODE_OFF),
        ({"spec": {"mode": "observe"}}, ReasonCode.OBSERVED),
        ({"spec": {"allowed_sites": ["nowhere"]}}, ReasonCode.NO_SITE),
        ({"outlook": {}}, ReasonCode.KEPT_PLAN),
    ],
)
def test_what_goes_before_every_policy(more: dict[str, Any], reason: ReasonCode) -> None:
    assert decide(_planned(**more)).reason is reason


def test_an_interruptible_job_keeps_its_slices() -> None:
    spec = {"interruptible": True, "expected_duration": "4h"}
    values = {"DE": (100.0, 400.0, 100.0, 400.0, 100.0, 400.0, 100.0, 400.0, 100.0, *CLEAN_LATER)}
    ours = decide(case(spec | {"policy": "fleet", "finish_within": "12h"}, values))
    theirs = decide(case(spec | {"finish_within": "12h"}, values))
    assert ours.slices == theirs.slices
    assert len(ours.slices) > 1


@given(evidence(policy="fleet"), st.data())
def test_it_never_starts_after_its_latest_start_and_always_says_the_same(
    known: Evidence, data: st.DataObject
) -> None:
    length_s = (known.outlook["DE"].end - START).total_seconds()
    start = START + timedelta(seconds=data.draw(st.floats(min_value=0, max_value=length_s)))
    site = data.draw(st.sampled_from(["fast", "eco", "gone"]))
    plan = Plan(site=site, start=start, decided_at=START, by="fleet")
    known = known.model_copy(update={"plan": plan, "deferrals": data.draw(st.integers(0, 9))})
    decision = decide(known)
    assert decision == decide(known)
    assert decision.action in (Action.RUN, Action.DEFER)
    assert decision.chosen is not None
    latest_finish = known.spec.window(known.submitted_at).latest_finish
    assert latest_finish is not None
    # To run now on the reference is what is left where nothing keeps the deadline any more.
    assert decision.chosen.finish <= latest_finish or (decision.action, decision.site) == (Action.RUN, "fast")
    if decision.reason is ReasonCode.FLEET_LATER:
        assert (decision.site, decision.start) == (plan.site, plan.start)
        assert decision.start > known.now
    if decision.reason is ReasonCode.FLEET_NOW:
        assert (decision.site, decision.start) == (plan.site, known.now)
        assert plan.start <= known.now
