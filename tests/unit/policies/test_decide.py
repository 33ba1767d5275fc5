"""The rules around the policies, and the threshold policy, case by case."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from carbon_policy.domain.decision import Action, Evidence, PolicySettings, ReasonCode, Thresholds
from carbon_policy.domain.job import JobSpec
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.policies import decide
from tests.unit.policies.strategies import ECO, FAST, START

_CLEAN_LATER = (400.0, 400.0, 400.0, 100.0, 100.0, 400.0, 400.0, 400.0)
_FLEXIBLE: dict[str, Any] = {"urgency": "flexible", "finish_within": "8h", "expected_duration": "1h"}


def _evidence(spec: dict[str, Any], values: tuple[float, ...] | None = _CLEAN_LATER, **more: Any) -> Evidence:
    outlook = {}
    if values is not None:
        outlook["DE"] = IntensitySeries(
            zone="DE", start=START, step="1h", values_gco2_per_kwh=values, source="test"
        )
    fields: dict[str, Any] = {
        "job": "job",
        "now": START,
        "submitted_at": START,
        "spec": JobSpec(**spec),
        "sites": (FAST, ECO),
        "outlook": outlook,
    }
    return Evidence(**{**fields, **more})


@pytest.mark.parametrize(
    ("spec", "more", "action", "site", "reason"),
    [
        ({"urgency": "critical", "finish_within": "8h"}, {}, Action.RUN, "fast", ReasonCode.CRITICAL),
        (_FLEXIBLE, {}, Action.DEFER, "eco", ReasonCode.GREENER_LATER),
        (_FLEXIBLE | {"mode": "off"}, {}, Action.RUN, "fast", ReasonCode.MODE_OFF),
        (_FLEXIBLE | {"mode": "observe"}, {}, Action.RUN, "fast", ReasonCode.OBSERVED),
        (_FLEXIBLE, {"released": True}, Action.RUN, "fast", ReasonCode.RELEASED),
        (_FLEXIBLE | {"mode": "observe"}, {"released": True}, Action.RUN, "fast", ReasonCode.RELEASED),
        (_FLEXIBLE, {"deferrals": 8}, Action.RUN, "eco", ReasonCode.DEFERRAL_CAP),
        (_FLEXIBLE | {"allowed_sites": ["fast"]}, {}, Action.DEFER, "fast", ReasonCode.GREENER_LATER),
        (_FLEXIBLE | {"allowed_zones": ["FR"]}, {}, Action.FAIL, None, ReasonCode.NO_SITE),
        ({"expected_duration": "1h"}, {}, Action.RUN, "eco", ReasonCode.GREENER_SITE),
        ({"expected_duration": "1h", "start_within": "0s"}, {}, Action.RUN, "eco", ReasonCode.GREENER_SITE),
    ],
)
def test_each_rule(
    spec: dict[str, Any], more: dict[str, Any], action: Action, site: str | None, reason: ReasonCode
) -> None:
    decision = decide(_evidence(spec, **more))
    assert (decision.action, decision.site, decision.reason) == (action, site, reason)


def test_without_a_signal_the_job_runs_and_the_sentence_says_why() -> None:
    decision = decide(_evidence(_FLEXIBLE, None, notes=("neso: HTTP 503",)))
    assert (decision.action, decision.reason) == (Action.RUN, ReasonCode.NO_SIGNAL)
    assert "neso: HTTP 503" in decision.sentence


def test_a_signal_that_does_not_reach_now_is_no_signal() -> None:
    late = START + timedelta(days=3)
    decision = decide(_evidence(_FLEXIBLE, now=late, submitted_at=late))
    assert decision.reason is ReasonCode.NO_SIGNAL


@pytest.mark.parametrize(
    ("on_missed", "action", "reason"),
    [
        ("run", Action.RUN, ReasonCode.MISSED_RUN),
        ("skip", Action.SKIP, ReasonCode.MISSED_SKIP),
        ("fail", Action.FAIL, ReasonCode.MISSED_FAIL),
    ],
)
def test_a_window_that_has_passed(on_missed: str, action: Action, reason: ReasonCode) -> None:
    late = START + timedelta(hours=7, minutes=30)
    decision = decide(_evidence(_FLEXIBLE | {"on_missed": on_missed}, now=late))
    assert (decision.action, decision.reason) == (action, reason)


def test_observing_tells_what_would_have_been_done() -> None:
    decision = decide(_evidence(_FLEXIBLE | {"mode": "observe"}))
    assert decision.would_have is not None
    assert decision.would_have.action is Action.DEFER
    assert decision.predicted_saving_gco2 == 0


def test_allowed_hours_are_waited_for_even_where_the_grid_is_clean_now() -> None:
    decision = decide(
        _evidence(
            {"allowed_hours": "02:00-05:00", "finish_within": "8h", "expected_duration": "1h"}, (100.0,) * 8
        )
    )
    assert (decision.action, decision.reason) == (Action.DEFER, ReasonCode.NOT_YET_ALLOWED)
    assert START + timedelta(hours=2) <= decision.start <= START + timedelta(hours=5)


def test_allowed_hours_without_a_deadline_are_waited_for_too() -> None:
    decision = decide(_evidence({"allowed_hours": "02:00-05:00", "expected_duration": "1h"}))
    assert (decision.action, decision.start) == (Action.DEFER, START + timedelta(hours=2))


def test_a_deadline_beats_allowed_hours() -> None:
    decision = decide(
        _evidence({"allowed_hours": "06:00-07:00", "finish_within": "3h", "expected_duration": "1h"})
    )
    assert (decision.action, decision.reason) == (Action.RUN, ReasonCode.NO_ROOM_TO_WAIT)


def test_an_earliest_start_is_kept() -> None:
    opens = START + timedelta(hours=5)
    decision = decide(_evidence({"earliest_start": opens, "expected_duration": "1h"}))
    assert (decision.action, decision.start) == (Action.DEFER, opens)


def _threshold(now_value: float, urgency: str, **settings: Any) -> Evidence:
    values = (now_value, 300.0, 100.0, 300.0, 500.0, 300.0, 300.0, 300.0)
    spec = {"urgency": urgency, "policy": "threshold", "expected_duration": "1h"}
    if urgency == "flexible":
        spec["finish_within"] = "8h"
    limits = Thresholds(low_gco2_per_kwh=150, high_gco2_per_kwh=400, **settings)
    return _evidence(spec, values, settings=PolicySettings(thresholds=limits))


@pytest.mark.parametrize(
    ("value", "urgency", "action", "site", "reason"),
    [
        (100, "flexible", Action.RUN, "fast", ReasonCode.INTENSITY_LOW),
        (100, "normal", Action.RUN, "fast", ReasonCode.INTENSITY_LOW),
        (300, "flexible", Action.DEFER, "fast", ReasonCode.WAITING_FOR_LOW),
        (300, "normal", Action.RUN, "fast", ReasonCode.INTENSITY_MEDIUM),
        (500, "flexible", Action.DEFER, "fast", ReasonCode.WAITING_FOR_LOW),
        (500, "normal", Action.RUN, "eco", ReasonCode.INTENSITY_HIGH_ECO),
        (500, "critical", Action.RUN, "fast", ReasonCode.CRITICAL),
    ],
)
def test_the_threshold_policy(
    value: float, urgency: str, action: Action, site: str, reason: ReasonCode
) -> None:
    decision = decide(_threshold(value, urgency))
    assert (decision.action, decision.site, decision.reason) == (action, site, reason)


def test_by_setting_flexible_jobs_go_to_eco_when_it_is_high() -> None:
    decision = decide(_threshold(500, "flexible", flexible_waits_when_high=False))
    assert (decision.action, decision.site) == (Action.RUN, "eco")


def test_threshold_waits_for_the_first_low_slot() -> None:
    assert decide(_threshold(300, "flexible")).start == START + timedelta(hours=2)


def test_thresholds_may_be_quantiles_of_the_known_hours() -> None:
    spec = _FLEXIBLE | {"policy": "threshold"}
    # A third of 100..800 is low to 300; 500 is medium, so it waits for the first slot at or below.
    decision = decide(_evidence(spec, (500.0, 400.0, 300.0, 100.0, 200.0, 600.0, 700.0, 800.0)))
    assert decision.reason is ReasonCode.WAITING_FOR_LOW
    assert decision.start == START + timedelta(hours=2)


def test_on_eco_pressure_a_deadline_wins() -> None:
    evidence = _threshold(500, "normal")
    tight = evidence.spec.model_copy(update={"finish_within": timedelta(minutes=90)})
    decision = decide(evidence.model_copy(update={"spec": tight}))
    assert (decision.site, decision.reason) == ("fast", ReasonCode.INTENSITY_HIGH)


@pytest.mark.parametrize("on_missed", ["skip", "fail"])
def test_a_run_that_is_woken_a_little_late_has_not_missed_its_window(on_missed: str) -> None:
    # The greenest hour is the last that the window allows; the plan leaves room for the start itself.
    spec = _FLEXIBLE | {"on_missed": on_missed}
    planned = decide(_evidence(spec, (400.0,) * 7 + (100.0,)))
    assert planned.action is Action.DEFER
    woken = planned.start + timedelta(seconds=90)
    assert decide(_evidence(spec, (400.0,) * 7 + (100.0,), now=woken, deferrals=1)).action is Action.RUN


def test_a_critical_job_is_not_skipped_for_being_late() -> None:
    late = START + timedelta(hours=9)
    spec = {"urgency": "critical", "finish_within": "8h", "on_missed": "skip"}
    assert decide(_evidence(spec, now=late)).reason is ReasonCode.CRITICAL


@pytest.mark.parametrize("more", [{"policy": "threshold"}, {}])
def test_allowed_hours_hold_for_every_policy_and_without_a_signal(more: dict[str, Any]) -> None:
    values = _CLEAN_LATER if more else None
    decision = decide(_evidence({"allowed_hours": "02:00-05:00", "expected_duration": "1h", **more}, values))
    assert (decision.action, decision.reason) == (Action.DEFER, ReasonCode.NOT_YET_ALLOWED)
    assert decision.start == START + timedelta(hours=2)
