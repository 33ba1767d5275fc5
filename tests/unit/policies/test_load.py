"""What a job takes, uses, costs and moves on each site, and what deadlines are held against."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_policy.domain.decision import Action, Evidence, PolicySettings, ReasonCode
from carbon_policy.domain.estimate import Estimate
from carbon_policy.policies import decide
from carbon_policy.policies.load import load_on
from carbon_policy.policies.options import option_at
from tests.unit.policies.cases import HOUR, case
from tests.unit.policies.strategies import ECO, FAST, START, evidence

_NOW = {"finish_within": None, "urgency": "normal"}
_ONLY_FAST = {"allowed_sites": ["fast"]}


def _estimate(duration: str, high: str, energy_kwh: float | None = None) -> Estimate:
    return Estimate(duration=duration, duration_high=high, energy_kwh=energy_kwh, basis="learnt", runs=20)


def test_grams_are_of_the_learnt_energy_spread_over_the_learnt_duration() -> None:
    known = case(estimates={"fast": _estimate("2h", "3h", 0.5)}, zones={"DE": [100, 300, 900]})
    site = FAST.model_copy(update={"pue": 1.2})
    option = option_at(known, site, START)
    assert option.finish == START + 2 * HOUR
    assert option.energy_kwh == pytest.approx(0.6)
    assert option.gco2 == pytest.approx(0.3 * 100 + 0.3 * 300)


def test_without_a_learnt_energy_the_site_draws_its_power() -> None:
    assert load_on(case(estimates={"eco": _estimate("3h", "4h")}), ECO).energy_kwh == pytest.approx(0.024 * 3)


def test_eco_is_taken_only_where_it_saves_by_what_this_job_uses_there() -> None:
    assert decide(case(_NOW)).site == "eco"
    thirsty = {"fast": _estimate("1h", "1h", 0.06), "eco": _estimate("2h", "2h", 0.07)}
    assert decide(case(_NOW, estimates=thirsty)).site == "fast"
    by_rule = _NOW | {"policy": "threshold"}
    dirty = {"DE": (500.0, *(100.0,) * 7)}
    assert decide(case(by_rule, dirty)).site == "eco"
    assert decide(case(by_rule, dirty, estimates=thirsty)).site == "fast"


def test_a_wait_keeps_the_deadline_also_if_the_job_takes_as_long_as_one_time_in_ten() -> None:
    clean_last = {"DE": (400.0,) * 6 + (100.0, 100.0)}
    planned = decide(case(_ONLY_FAST, clean_last))
    assert planned.start >= START + 6 * HOUR
    careful = decide(case(_ONLY_FAST, clean_last, estimates={"fast": _estimate("1h", "3h")}))
    assert careful.start <= START + 5 * HOUR


def test_a_slow_site_must_keep_the_deadline_as_long_as_the_job_may_take_there() -> None:
    spec = {"finish_within": "3h", "urgency": "normal"}
    flat = {"DE": (300.0,) * 8}
    assert decide(case(spec, flat)).site == "eco"
    overruns = {"eco": _estimate("2h", "4h")}
    assert decide(case(spec, flat, estimates=overruns)).site == "fast"


def test_a_job_that_may_overrun_its_window_runs_at_once_and_has_missed_nothing() -> None:
    spec = {"finish_within": "90m", "on_missed": "fail"}
    decision = decide(case(spec, estimates={"fast": _estimate("1h", "2h"), "eco": _estimate("2h", "4h")}))
    assert (decision.action, decision.site, decision.reason) == (
        Action.RUN,
        "fast",
        ReasonCode.NO_ROOM_TO_WAIT,
    )


def test_what_was_learnt_is_never_missed_at_the_moment_it_is_due() -> None:
    spec = {"finish_within": "90m", "expected_duration": "1h", "on_missed": "skip"}
    decision = decide(case(spec, estimates={"fast": _estimate("2h", "3h"), "eco": _estimate("4h", "6h")}))
    assert (decision.action, decision.reason) == (Action.RUN, ReasonCode.NO_ROOM_TO_WAIT)


@given(evidence(), st.floats(min_value=1, max_value=3))
def test_no_wait_risks_the_deadline(known: Evidence, overrun: float) -> None:
    estimates = {
        site.name: Estimate(
            duration=known.spec.duration / site.speed,
            duration_high=known.spec.duration / site.speed * overrun,
            basis="learnt",
        )
        for site in known.sites
    }
    known = known.model_copy(update={"estimates": estimates})
    decision = decide(known)
    assert decision.chosen is not None
    latest_finish = known.spec.window(known.submitted_at).latest_finish
    assert latest_finish is not None
    ends = decision.start + estimates[decision.chosen.site].duration_high
    if decision.action is Action.DEFER or decision.site != "fast":
        assert ends <= latest_finish + timedelta(milliseconds=1)


def test_money_is_energy_and_hours_and_unknown_without_prices() -> None:
    priced = FAST.model_copy(update={"price_per_kwh": 0.3, "price_per_hour": 2.0})
    assert option_at(case(), priced, START).cost == pytest.approx(0.06 * 0.3 + 2.0)
    assert option_at(case(), FAST, START).cost is None


def _moving(data: dict[str, Any], kwh_per_gb: float = 0.1, **more: Any) -> Evidence:
    elsewhere = FAST.model_copy(update={"name": "elsewhere", "zone": "FR"})
    return case(
        _NOW | data,
        {"DE": [300] * 8, "FR": [100] * 8},
        sites=(FAST, elsewhere),
        settings=PolicySettings(transfer_kwh_per_gb=kwh_per_gb),
        **more,
    )


def test_moving_data_to_another_zone_is_charged_at_the_mean_of_both() -> None:
    known = _moving({"data_gb": 0.5})
    option = decide(known).chosen
    assert option is not None
    assert option.site == "elsewhere"
    assert option.gco2 == pytest.approx(0.06 * 100 + 0.5 * 0.1 * 200)
    assert "move the data from DE" in option.note
    assert option.energy_kwh == pytest.approx(0.06)


def test_a_transfer_that_costs_more_than_it_saves_keeps_the_job_where_its_data_is() -> None:
    assert decide(_moving({"data_gb": 1})).site == "fast"
    assert decide(_moving({"data_gb": 1, "data_zone": "FR"})).site == "elsewhere"


def test_data_from_a_zone_of_which_nothing_is_known_is_charged_at_the_sites_own() -> None:
    known = _moving({"data_gb": 1, "data_zone": "PL"})
    assert option_at(known, FAST, START).gco2 == pytest.approx(0.06 * 300 + 0.1 * 300)


def test_of_an_interrupted_job_only_what_is_left_is_weighed() -> None:
    known = case(progress=0.75)
    assert load_on(known, FAST).duration == HOUR / 4
    assert load_on(known, FAST).energy_kwh == pytest.approx(0.015)


@pytest.mark.parametrize(
    ("settings", "short_waits", "long_waits"),
    [
        ({}, True, True),
        # A fifth of the whole job's grams for each of three hours: more than the half that the wait saves.
        ({"wait_cost_per_hour": 0.2}, False, False),
        # A fifth of one hour's grams: as much of a job of one hour, and 15 % in all of one of four.
        ({"wait_cost_per_running_hour": 0.2}, False, True),
    ],
)
def test_an_hour_of_waiting_has_its_price(
    settings: dict[str, float], short_waits: bool, long_waits: bool
) -> None:
    for duration, waits in (("1h", short_waits), ("4h", long_waits)):
        spec = _ONLY_FAST | {"expected_duration": duration, "finish_within": "12h"}
        known = case(spec, {"DE": (300.0,) * 3 + (150.0,) * 9}, settings=PolicySettings(**settings))
        assert (decide(known).action is Action.DEFER) is waits
