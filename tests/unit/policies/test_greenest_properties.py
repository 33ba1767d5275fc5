"""What must hold of `greenest` for any grid, any window and any job."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbon_policy.domain.chain import ChainStep
from carbon_policy.domain.decision import Action, Decision, Evidence, ReasonCode
from carbon_policy.domain.job import JobSpec
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.policies import decide
from tests.unit.policies.strategies import ECO, FAST, START, evidence

_EPSILON = timedelta(milliseconds=1)


@given(evidence())
def test_it_never_starts_late_and_always_finishes_by_the_deadline(known: Evidence) -> None:
    decision = decide(known)
    assert decision.chosen is not None
    window = known.spec.window(known.submitted_at)
    site = {site.name: site for site in known.sites}[decision.chosen.site]
    latest_start = window.latest_start_for(known.spec.duration / site.speed)
    assert latest_start is not None
    assert decision.start <= latest_start + _EPSILON
    if decision.action is Action.DEFER:
        assert decision.start <= latest_start - known.settings.start_latency + _EPSILON
    assert window.latest_finish is not None
    assert decision.chosen.finish <= window.latest_finish + _EPSILON


@given(evidence())
def test_the_chosen_option_is_never_dirtier_than_at_once_on_fast(known: Evidence) -> None:
    decision = decide(known)
    assert decision.chosen is not None
    assert decision.counterfactual is not None
    if decision.counterfactual.gco2 is not None:
        assert decision.chosen.gco2 is not None
        assert decision.chosen.gco2 <= decision.counterfactual.gco2 * (1 + 1e-9)


@given(evidence(), st.floats(min_value=1, max_value=4))
def test_more_slack_never_costs_carbon(known: Evidence, factor: float) -> None:
    tight = decide(known)
    assert known.spec.finish_within is not None
    loose_spec = known.spec.model_copy(update={"finish_within": known.spec.finish_within * factor})
    loose = decide(known.model_copy(update={"spec": loose_spec}))
    assert tight.chosen is not None
    assert loose.chosen is not None
    if tight.chosen.gco2 is not None and loose.chosen.gco2 is not None:
        assert loose.chosen.gco2 <= tight.chosen.gco2 * (1 + 1e-6)


@given(evidence())
@settings(max_examples=50)
def test_no_start_on_a_fine_grid_is_greener_than_the_one_chosen(known: Evidence) -> None:
    """The candidates at the kinks are enough: brute force over many more starts finds nothing better."""
    eager = known.model_copy(
        update={"spec": known.spec.model_copy(update={"minimum_saving": 0.0}), "sites": (FAST,)}
    )
    decision = decide(eager)
    series = eager.outlook["DE"]
    window = eager.spec.window(eager.submitted_at)
    deadline = window.latest_start_for(eager.spec.duration)
    assert deadline is not None
    # A wait leaves room for the start itself.
    latest = min(deadline - eager.settings.start_latency, series.end - eager.spec.duration)
    if decision.chosen is None or decision.chosen.gco2 is None or latest <= eager.now:
        return
    for k in range(201):
        start = eager.now + (latest - eager.now) * k / 200
        if start != eager.now and start - eager.now < eager.settings.minimum_deferral:
            continue
        gco2 = series.integral(start, start + eager.spec.duration) * FAST.drawn_kw
        assert decision.chosen.gco2 <= gco2 * (1 + 1e-6)


@given(evidence())
def test_the_same_evidence_gives_the_same_decision_also_after_a_round_trip(known: Evidence) -> None:
    decision = decide(known)
    again = decide(Evidence.model_validate_json(known.model_dump_json()))
    assert again.model_dump(exclude={"evidence"}) == decision.model_dump(exclude={"evidence"})
    assert Decision.model_validate_json(decision.model_dump_json()).reason is decision.reason


@given(evidence())
def test_a_job_that_was_deferred_as_often_as_allowed_is_placed(known: Evidence) -> None:
    capped = known.model_copy(update={"deferrals": known.spec.max_deferrals})
    assert decide(capped).action is Action.RUN


@given(evidence())
def test_asked_again_at_the_planned_start_it_runs(known: Evidence) -> None:
    """No flutter: with the same outlook, the second hop is the last."""
    first = decide(known)
    if first.action is Action.DEFER:
        second = decide(known.model_copy(update={"now": first.start, "deferrals": 1}))
        assert second.action is Action.RUN
        assert second.chosen is not None
        assert first.chosen is not None
        assert second.chosen.gco2 == pytest.approx(first.chosen.gco2, rel=1e-6)


def _evidence(values: list[float], job: str = "job", **spec: object) -> Evidence:
    return Evidence(
        job=job,
        now=START,
        submitted_at=START,
        spec=JobSpec(**{"urgency": "flexible", **spec}),
        sites=(FAST,),
        outlook={
            "DE": IntensitySeries(
                zone="DE", start=START, step="1h", values_gco2_per_kwh=tuple(values), source="test"
            )
        },
    )


def test_a_long_job_takes_the_best_window_and_not_the_lowest_slot() -> None:
    # The lowest slot, 10, has dirty neighbours; three hours at 100 are greener than 10 + 500 + 500.
    values = [400, 500, 10, 500, 500, 100, 100, 100, 400, 400]
    decision = decide(_evidence(values, expected_duration="3h", finish_within="10h"))
    assert decision.start == START + timedelta(hours=5)
    assert decision.chosen is not None
    assert decision.chosen.gco2 == pytest.approx(100 * 3 * 0.06)  # g/kWh x h x kW


def test_a_window_may_begin_inside_a_slot() -> None:
    # 90 minutes in the two green hours, done by 4:45: from 3:00 to 4:30 or a little later, but within the green.
    values = [400, 400, 400, 100, 100, 400, 400]
    decision = decide(_evidence(values, expected_duration="90m", finish_within="4h45m"))
    assert START + timedelta(hours=3) <= decision.start <= START + timedelta(hours=3, minutes=15)
    assert decision.chosen is not None
    assert decision.chosen.gco2 == pytest.approx(100 * 1.5 * 0.06)


def test_the_last_slot_may_be_used_to_its_end_and_no_further() -> None:
    values = [400] * 9 + [100]
    decision = decide(_evidence(values, expected_duration="1h", finish_within="1d"))
    assert decision.start == START + timedelta(hours=9)
    assert decision.chosen is not None
    assert decision.chosen.finish == START + timedelta(hours=10)


def test_equally_green_starts_are_spread_by_job_and_stable() -> None:
    values = [400] * 5 + [100] * 5 + [400] * 5
    starts = {
        decide(_evidence(values, job=f"job {k}", expected_duration="1h", finish_within="15h")).start
        for k in range(50)
    }
    assert len(starts) > 40
    assert all(START + timedelta(hours=5) <= start <= START + timedelta(hours=9) for start in starts)
    again = decide(_evidence(values, job="job 7", expected_duration="1h", finish_within="15h")).start
    assert again == decide(_evidence(values, job="job 7", expected_duration="1h", finish_within="15h")).start


def test_eco_is_charged_its_longer_run() -> None:
    # At half the speed eco must run two hours: 24 W x 2 h = 48 Wh against 60 W x 1 h = 60 Wh.
    known = _evidence([300] * 10, urgency="normal", expected_duration="1h", finish_within="3h")
    decision = decide(known.model_copy(update={"sites": (FAST, ECO)}))
    assert (decision.site, decision.reason) == ("eco", ReasonCode.GREENER_SITE)
    assert decision.chosen is not None
    assert decision.chosen.gco2 == pytest.approx(300 * 2 * 0.024)
    # A thirstier eco would use 35 W x 2 h = 70 Wh: more than fast, so it is not taken.
    thirsty = ECO.model_copy(update={"power_w": 35})
    assert decide(known.model_copy(update={"sites": (FAST, thirsty)})).site == "fast"


def test_eco_is_left_where_its_longer_run_would_miss_the_deadline() -> None:
    known = _evidence([300] * 10, urgency="normal", expected_duration="1h", finish_within="90m")
    assert decide(known.model_copy(update={"sites": (FAST, ECO)})).site == "fast"


def test_a_saving_below_the_minimum_is_not_waited_for() -> None:
    known = _evidence([100, 97, 100], expected_duration="1h", finish_within="3h", minimum_saving=0.05)
    decision = decide(known)
    assert (decision.action, decision.reason) == (Action.RUN, ReasonCode.SAVING_TOO_SMALL)


@pytest.mark.parametrize("intensity", [77.7, 123.456, 300.1])
def test_a_flat_outlook_is_not_waited_for_though_any_saving_were_enough(intensity: float) -> None:
    known = _evidence([intensity] * 12, expected_duration="67m", finish_within="12h", minimum_saving=0.0)
    decision = decide(known)
    assert (decision.action, decision.reason) == (Action.RUN, ReasonCode.GREENEST_NOW)


@pytest.mark.parametrize(("step", "said"), [(ChainStep.YEARLY_MEAN, True), (ChainStep.KEYLESS, False)])
def test_where_nothing_is_known_of_the_hours_the_sentence_says_so(step: ChainStep, said: bool) -> None:
    known = _evidence([300] * 12, expected_duration="1h", finish_within="12h")
    decision = decide(known.model_copy(update={"steps": dict.fromkeys(known.outlook, step)}))
    assert decision.action is Action.RUN
    assert ("no source says how green" in decision.sentence.lower()) is said


def test_a_job_longer_than_the_outlook_runs_and_says_why() -> None:
    decision = decide(_evidence([100] * 5, expected_duration="6h", finish_within="20h"))
    assert (decision.action, decision.reason) == (Action.RUN, ReasonCode.HORIZON_TOO_SHORT)


def test_other_zones_are_chosen_where_they_are_greener() -> None:
    elsewhere = FAST.model_copy(update={"name": "fast-fr", "zone": "FR"})
    known = _evidence([300] * 10, urgency="normal", expected_duration="1h")
    green = known.outlook["DE"].model_copy(update={"zone": "FR", "values_gco2_per_kwh": (50.0,) * 10})
    both = known.model_copy(
        update={
            "sites": (FAST, elsewhere),
            "outlook": {**known.outlook, "FR": IntensitySeries(**dict(green))},
        }
    )
    assert decide(both).site == "fast-fr"
