"""A job that may start before it is due: what it gains, and that it loses nothing by it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from carbon_policy.domain.budget import Budget, BudgetUse
from carbon_policy.domain.decision import (
    RANKINGS,
    Action,
    Decision,
    Evidence,
    Option,
    Plan,
    PolicySettings,
    RankingProfile,
    ReasonCode,
)
from carbon_policy.domain.job import PolicyName
from carbon_policy.policies import decide
from carbon_policy.policies.needs import reference_site
from carbon_policy.policies.options import option_at
from tests.unit.policies.cases import HOUR, case, hours
from tests.unit.policies.strategies import ECO, FAST, START, evidence

DUE = START + 4 * HOUR
CLEAN_EARLY = (400.0, 400.0, 100.0, 100.0, 400.0, 400.0, 400.0, 400.0, 400.0, 400.0, 400.0, 400.0)
CLEAN_NOW = (100.0, 400.0, 400.0, 400.0, 400.0, 400.0, 400.0, 400.0, 400.0, 400.0, 400.0, 400.0)
FLAT = (300.0,) * 12
_TICK = timedelta(milliseconds=1)


def early(
    spec: dict[str, Any] | None = None, values: tuple[float, ...] = CLEAN_EARLY, **more: Any
) -> Evidence:
    """Asked at `START` of a job that is due four hours later and may start as many earlier, on `fast` alone."""
    said = {"start_early": "4h", "urgency": "normal", "finish_within": None}
    fields: dict[str, Any] = {"submitted_at": DUE, "sites": (FAST,)}
    return case(said | (spec or {}), {"DE": values}, **fields | more)


def later(known: Evidence, now: datetime, **more: Any) -> Evidence:
    return known.model_copy(update={"now": now, **more})


def grams(option: Option | None) -> float:
    assert option is not None
    assert option.gco2 is not None
    return option.gco2


def is_left_until_due(decision: Decision) -> bool:
    placed = (decision.action, decision.reason) == (Action.DEFER, ReasonCode.NOT_YET_ALLOWED)
    return placed and decision.start == decision.ask_again_at == DUE


def test_it_waits_for_its_green_hour_before_it_is_due_and_runs_in_it() -> None:
    first = decide(early())
    assert (first.action, first.reason) == (Action.DEFER, ReasonCode.GREENER_LATER)
    assert START + 2 * HOUR <= first.start <= START + 3 * HOUR
    assert "starting when it is due on fast" in first.sentence
    then = decide(later(early(), first.start))
    assert (then.action, then.reason, then.start) == (Action.RUN, ReasonCode.GREENER_EARLY, first.start)
    assert "before it is due: 75% less carbon" in then.sentence


def test_the_counterfactual_starts_when_it_is_due() -> None:
    decision = decide(early(values=CLEAN_NOW))
    assert decision.action is Action.RUN
    assert decision.counterfactual is not None
    assert decision.counterfactual.start == DUE
    assert decision.predicted_saving_gco2 == pytest.approx((400 - 100) * 0.06)


@pytest.mark.parametrize("values", [FLAT, (290.0,) * 4 + (300.0,) * 8, (500.0,) * 4 + (300.0,) * 8])
def test_what_saves_too_little_and_a_tie_go_to_the_due_time(values: tuple[float, ...]) -> None:
    assert is_left_until_due(decide(early(values=values)))


def test_a_tie_goes_to_the_due_time_though_any_saving_were_enough() -> None:
    assert is_left_until_due(decide(early({"minimum_saving": 0}, FLAT)))


def test_a_late_start_that_is_greener_still_wins() -> None:
    values = (200.0,) * 4 + (400.0, 400.0, 50.0) + (400.0,) * 5
    decision = decide(early({"urgency": "flexible", "finish_within": "7h"}, values))
    assert (decision.action, decision.start) == (Action.DEFER, START + 6 * HOUR)


@pytest.mark.parametrize("policy", ["greenest", "threshold", "fleet"])
@pytest.mark.parametrize(
    "said",
    [
        {"urgency": "critical"},
        {"mode": "off"},
        {"mode": "observe"},
        {"allowed_zones": "FR"},
    ],
)
def test_what_is_never_early_is_left_until_it_is_due(said: dict[str, Any], policy: str) -> None:
    decision = decide(early({**said, "policy": policy}, CLEAN_NOW))
    assert is_left_until_due(decision)
    at_due = decide(later(early({**said, "policy": policy}, CLEAN_NOW), DUE))
    assert at_due.action is not Action.DEFER


def test_observing_tells_that_it_would_have_started_early() -> None:
    decision = decide(early({"mode": "observe"}, CLEAN_NOW))
    assert decision.would_have is not None
    assert decision.would_have.reason is ReasonCode.GREENER_EARLY
    assert "Would have: Runs now on fast" in decision.sentence


@pytest.mark.parametrize("policy", ["greenest", "threshold"])
@pytest.mark.parametrize("ahead", ["1h", "4h"])
def test_without_a_signal_it_is_left_until_it_is_due(policy: str, ahead: str) -> None:
    decision = decide(early({"policy": policy, "start_early": ahead}, outlook={}))
    assert is_left_until_due(decision)
    assert "no usable carbon signal for DE" in decision.sentence


def test_where_nothing_is_known_of_the_due_time_there_is_nothing_to_compare_with() -> None:
    assert is_left_until_due(decide(early(values=CLEAN_EARLY[:4])))


def test_released_goes_now_and_is_compared_with_the_due_time() -> None:
    decision = decide(early(released=True))
    assert (decision.action, decision.reason, decision.start) == (Action.RUN, ReasonCode.RELEASED, START)
    assert decision.counterfactual is not None
    assert decision.counterfactual.start == DUE


def test_without_leave_it_is_not_started_early() -> None:
    assert is_left_until_due(decide(early({"start_early": None}, CLEAN_NOW)))


def test_asked_before_it_may_start_it_plans_no_earlier_than_that() -> None:
    values = (10.0, 10.0, 200.0, 100.0) + (400.0,) * 8
    decision = decide(early({"start_early": "2h"}, values))
    assert (decision.action, decision.start) == (Action.DEFER, START + 3 * HOUR)


def test_allowed_hours_hold_for_an_early_start() -> None:
    decision = decide(early({"allowed_hours": "03:30-12:00"}))
    # The last half of the green hour is all that its hours leave.
    assert (decision.action, decision.start) == (Action.DEFER, START + 3.5 * HOUR)


@pytest.mark.parametrize(
    ("values", "start"), [(CLEAN_EARLY, START + 2 * HOUR), ((390.0,) * 4 + (400.0,) * 8, START + 6 * HOUR)]
)
def test_where_its_hours_forbid_the_due_time_an_early_start_must_save_and_a_late_one_need_not(
    values: tuple[float, ...], start: datetime
) -> None:
    decision = decide(early({"allowed_hours": "00:00-02:00,06:00-06:30"}, values))
    assert (decision.action, decision.reason) == (Action.DEFER, ReasonCode.NOT_YET_ALLOWED)
    assert decision.start == start


def test_to_queue_for_a_full_site_is_no_early_start() -> None:
    full = FAST.model_copy(update={"free": 0})
    decision = decide(early(values=CLEAN_NOW, sites=(full,)))
    # Still inside the first hour there may be room again.
    assert (decision.action, decision.start) == (Action.DEFER, START + timedelta(minutes=1))


def test_how_full_a_site_is_when_the_job_is_due_nobody_knows() -> None:
    full = ECO.model_copy(update={"free": 0})
    decision = decide(early(values=FLAT, sites=(FAST, full)))
    assert is_left_until_due(decision)
    assert decision.site == "eco"


def test_a_ranking_without_carbon_starts_nothing_early() -> None:
    service = PolicySettings(ranking=RANKINGS[RankingProfile.SERVICE_FIRST])
    assert is_left_until_due(decide(early(values=CLEAN_NOW, settings=service)))


@pytest.mark.parametrize(("risk", "runs"), [("bold", True), ("careful", False)])
def test_an_early_start_must_save_as_surely_as_a_wait(risk: str, runs: bool) -> None:
    values = (280.0,) + (300.0,) * 11
    band = {"DE": {0.9: tuple(value + 100 for value in values), 0.5: values}}
    decision = decide(early({"risk": risk}, values, quantiles=band))
    assert (decision.action is Action.RUN) is runs
    assert runs or is_left_until_due(decision)


@pytest.mark.parametrize(
    ("now", "action"), [(START, Action.DEFER), (START + 2 * HOUR, Action.RUN)], ids=["ahead", "in it"]
)
def test_deferred_as_often_as_allowed_it_is_put_off_to_no_other_start(now: datetime, action: Action) -> None:
    decision = decide(later(early(), now, deferrals=8))
    assert decision.action is action
    assert action is Action.RUN or is_left_until_due(decision)


def test_waiting_has_its_price_and_an_early_start_none() -> None:
    said: dict[str, Any] = {"urgency": "flexible", "finish_within": "8h"}
    values = (370.0,) * 4 + (400.0,) * 6 + (330.0, 330.0)
    costly = PolicySettings(wait_cost_per_hour=0.05)
    assert decide(early(said, values)).start > DUE
    decision = decide(early(said, values, settings=costly))
    assert (decision.action, decision.reason) == (Action.RUN, ReasonCode.GREENER_EARLY)


@pytest.mark.parametrize(
    ("values", "action", "reason", "start"),
    [
        (CLEAN_NOW, Action.RUN, ReasonCode.GREENER_EARLY, START),
        (CLEAN_EARLY, Action.DEFER, ReasonCode.WAITING_FOR_LOW, START + 2 * HOUR),
        (FLAT, Action.DEFER, ReasonCode.NOT_YET_ALLOWED, DUE),
        ((400.0,) * 5 + (100.0,) * 7, Action.DEFER, ReasonCode.NOT_YET_ALLOWED, DUE),
    ],
)
def test_threshold_starts_early_where_intensity_is_low(
    values: tuple[float, ...], action: Action, reason: ReasonCode, start: datetime
) -> None:
    decision = decide(early({"policy": "threshold"}, values))
    assert (decision.action, decision.reason, decision.start) == (action, reason, start)
    assert decision.action is Action.RUN or decision.ask_again_at == start


@pytest.mark.parametrize("over", ["eco", "release", "refuse"])
def test_what_becomes_of_it_over_a_budget_is_decided_when_it_is_due(over: str) -> None:
    known = early({"budget_gco2": 1, "over_budget": over}, CLEAN_NOW)
    assert is_left_until_due(decide(known))
    assert decide(later(known, DUE)).reason.value.startswith("over-budget")


def test_a_month_that_is_used_up_is_no_reason_to_wait_where_early_is_the_greenest() -> None:
    use = BudgetUse(budget=Budget(gco2=10), used_gco2=20)
    assert decide(early(values=CLEAN_NOW, budgets=(use,))).action is Action.RUN


def test_a_place_in_the_joint_plan_is_waited_for() -> None:
    place = Plan(site="fast", start=DUE + HOUR, decided_at=START, by=PolicyName.FLEET)
    known = early({"policy": "fleet", "urgency": "flexible", "finish_within": "6h"}, FLAT, plan=place)
    decision = decide(known)
    assert (decision.reason, decision.start) == (ReasonCode.FLEET_LATER, DUE + HOUR)
    past = place.model_copy(update={"start": START - HOUR})
    assert is_left_until_due(decide(later(known, START, plan=past)))


class TestInterruptible:
    """Slices may begin early."""

    SAID: dict[str, Any] = {"interruptible": True, "urgency": "flexible", "expected_duration": "2h"}
    VALLEYS = (50.0, 400.0, 400.0, 400.0, 400.0, 400.0, 60.0, 400.0, 400.0, 400.0, 400.0, 400.0)

    def test_the_first_slice_runs_before_it_is_due(self) -> None:
        decision = decide(early(self.SAID | {"finish_within": "6h"}, self.VALLEYS))
        assert (decision.action, decision.reason) == (Action.RUN, ReasonCode.GREENER_EARLY)
        assert [part.start for part in decision.slices] == [START, START + 6 * HOUR]
        assert "the first of 2 slices, 4h before it is due" in decision.sentence

    def test_it_waits_for_slices_that_begin_early(self) -> None:
        values = (400.0, *self.VALLEYS[:11])
        decision = decide(early(self.SAID | {"finish_within": "6h"}, values))
        assert (decision.action, decision.reason) == (Action.DEFER, ReasonCode.GREENER_SLICES)
        assert decision.start == START + HOUR

    @pytest.mark.parametrize("window", [None, "6h"])
    def test_where_nothing_saves_it_is_left_until_it_is_due(self, window: str | None) -> None:
        known = early(self.SAID | {"urgency": "normal", "finish_within": window}, FLAT)
        assert is_left_until_due(decide(known))

    def test_without_leave_to_rest_it_may_still_start_early(self) -> None:
        decision = decide(early(self.SAID | {"urgency": "normal", "expected_duration": "1h"}, CLEAN_NOW))
        assert (decision.action, decision.slices) == (Action.RUN, ())

    def test_what_has_begun_early_goes_on_or_rests_as_any_job_that_runs(self) -> None:
        said = self.SAID | {"finish_within": "6h"}
        running = early(said, (50.0, 50.0, *FLAT[:10]), progress=0.5)
        assert not running.is_early
        assert decide(running).action is Action.RUN
        # To go on costs it the minute of its restart, in the hour before.
        rests = decide(early(said, self.VALLEYS, now=START + HOUR, progress=0.5))
        assert (rests.action, rests.start) == (Action.DEFER, START + 6 * HOUR - timedelta(minutes=1))


@st.composite
def ahead(draw: st.DrawFn) -> Evidence:
    """Evidence before the job is due; how early it may start is less or more than how early it is asked about."""
    known = draw(evidence())
    if draw(st.booleans()):
        known = known.model_copy(update={"sites": (FAST,)})
    series = known.outlook["DE"]
    end = series.start + (series.end - series.start) / 2
    due = known.now + (end - known.now) * draw(st.floats(min_value=0.01, max_value=1))
    leave = (due - known.now) * draw(st.floats(min_value=0.1, max_value=2))
    update: dict[str, Any] = {"start_early": leave, "minimum_saving": draw(st.sampled_from([0.0, 0.05, 0.3]))}
    update["policy"] = draw(st.sampled_from(list(PolicyName)))
    # Slices take long to find, so they are not looked for in many slots.
    update["interruptible"] = len(series.values_gco2_per_kwh) < 30 and draw(st.booleans())
    if draw(st.booleans()):
        update["finish_within"] = None
    spec = known.spec.model_copy(update=update)
    return known.model_copy(update={"submitted_at": due, "spec": spec})


def alone(known: Evidence) -> Evidence:
    """The same job by `greenest`, in one run."""
    plain = {"policy": PolicyName.GREENEST, "interruptible": False}
    return known.model_copy(update={"spec": known.spec.model_copy(update=plain)})


def on_time(known: Evidence) -> Evidence:
    """The same job without leave to start early, asked when it is due."""
    spec = known.spec.model_copy(update={"start_early": None})
    return known.model_copy(update={"now": known.submitted_at, "spec": spec})


@given(ahead())
def test_it_never_starts_earlier_than_it_may(known: Evidence) -> None:
    decision = decide(known)
    assert known.spec.start_early is not None
    opens = known.submitted_at - known.spec.start_early
    assert decision.start >= opens
    assert all(part.start >= opens for part in decision.slices)


@given(ahead())
def test_what_starts_early_saves_enough_against_the_due_time(known: Evidence) -> None:
    decision = decide(known)
    reference = reference_site(known)
    assert reference is not None
    assert decision.counterfactual is not None
    assert decision.counterfactual.start == known.submitted_at
    if decision.start < known.submitted_at:
        at_due = grams(option_at(known, reference, known.submitted_at))
        assert grams(decision.chosen) <= at_due * (1 - known.spec.minimum_saving) * (1 + 1e-9)
        assert grams(decision.chosen) < at_due
    if decision.action is Action.DEFER:
        assert decision.ask_again_at == decision.start > known.now


@given(ahead().map(alone))
def test_it_never_starts_later_than_without_leave_to_start_early(known: Evidence) -> None:
    assert decide(known).start <= decide(on_time(known)).start + _TICK


@given(ahead().map(alone))
def test_leave_to_start_early_never_costs_carbon(known: Evidence) -> None:
    with_leave, without = decide(known).chosen, decide(on_time(known)).chosen
    assert with_leave is not None
    assert without is not None
    if with_leave.gco2 is not None and without.gco2 is not None:
        assert with_leave.gco2 <= without.gco2 * (1 + 2e-6)


@given(ahead(), st.floats(min_value=0, max_value=1))
@example(early({"policy": PolicyName.GREENEST}), 0.0)
def test_once_it_is_due_the_leave_to_start_early_changes_nothing(known: Evidence, share: float) -> None:
    now = known.submitted_at + (known.outlook["DE"].end - known.submitted_at) * share / 2
    with_leave = decide(later(known, now))
    without = decide(on_time(known).model_copy(update={"now": now}))
    assert with_leave.model_dump(exclude={"evidence"}) == without.model_dump(exclude={"evidence"})


@given(ahead().filter(lambda known: not known.spec.interruptible))
def test_asked_again_at_its_early_start_it_runs(known: Evidence) -> None:
    """No flutter: with the same outlook it is put off once."""
    first = decide(known)
    if first.action is Action.DEFER and first.start < known.submitted_at:
        second = decide(later(known, first.start))
        assert (second.action, second.reason) == (Action.RUN, ReasonCode.GREENER_EARLY)
        assert grams(second.chosen) == pytest.approx(grams(first.chosen), rel=1e-6)


@given(ahead())
def test_the_same_evidence_gives_the_same_decision(known: Evidence) -> None:
    decision = decide(known)
    again = decide(Evidence.model_validate_json(known.model_dump_json()))
    assert again.model_dump(exclude={"evidence"}) == decision.model_dump(exclude={"evidence"})


def test_the_outlook_may_begin_before_now() -> None:
    known = early(values=CLEAN_EARLY, outlook={"DE": hours(CLEAN_EARLY)}, now=START + HOUR)
    assert START + 2 * HOUR <= decide(known).start <= START + 3 * HOUR
