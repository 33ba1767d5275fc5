"""A wait must save when the forecast errs as far as the job's risk says."""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_policy.domain.decision import Action, Evidence, ReasonCode
from carbon_policy.domain.job import Risk
from carbon_policy.policies import decide
from carbon_policy.policies.options import option_at
from carbon_policy.policies.risk import Hedge
from tests.unit.policies.cases import HOUR, case
from tests.unit.policies.strategies import FAST, START, evidence

_VALUES = (400.0, 400.0, 380.0, 300.0, 400.0, 400.0, 400.0, 400.0)
_ONLY_FAST = {"allowed_sites": ["fast"]}


def _uncertain(spec: dict[str, Any], up: dict[float, tuple[float, ...]], **more: Any) -> Evidence:
    """Bands of so many g/kWh above what is expected in each hour."""
    bands = {level: tuple(np.add(_VALUES, offsets).tolist()) for level, offsets in up.items()}
    return case(_ONLY_FAST | spec, {"DE": _VALUES}, quantiles={"DE": bands}, **more)


def _rising(to: float) -> tuple[float, ...]:
    return tuple(np.linspace(0, to, len(_VALUES)).tolist())


@pytest.mark.parametrize(
    ("risk", "error", "action", "reason"),
    [
        ("bold", 1000.0, Action.DEFER, ReasonCode.GREENER_LATER),
        ("balanced", 100.0, Action.DEFER, ReasonCode.GREENER_LATER),
        ("balanced", 500.0, Action.RUN, ReasonCode.TOO_UNCERTAIN),
        ("careful", 100.0, Action.DEFER, ReasonCode.GREENER_LATER),
        ("careful", 240.0, Action.RUN, ReasonCode.TOO_UNCERTAIN),
        ("balanced", 240.0, Action.DEFER, ReasonCode.GREENER_LATER),
    ],
)
def test_a_saving_must_hold(risk: str, error: float, action: Action, reason: ReasonCode) -> None:
    # At 03:00 100 g/kWh are saved; the band there reaches 3/7 of its height at the last hour.
    up = {0.75: _rising(error * 0.526), 0.9: _rising(error)}
    decision = decide(_uncertain({"risk": risk, "minimum_saving": 0.05}, up))
    assert (decision.action, decision.reason) == (action, reason)


def test_the_sentence_says_what_was_given_up_and_why() -> None:
    decision = decide(_uncertain({"risk": "careful"}, {0.9: _rising(400)}))
    assert "expected to save 25.0%" in decision.sentence
    assert "risk 'careful'" in decision.sentence


def test_a_nearer_start_that_holds_is_taken_for_a_better_one_that_does_not() -> None:
    # At 02:00 the forecast is sure; at 03:00 nobody knows.
    decision = decide(_uncertain({"risk": "careful", "minimum_saving": 0.01}, {0.9: (0, 0, 0, *(500,) * 5)}))
    assert (decision.action, decision.start) == (Action.DEFER, START + 2 * HOUR)


@pytest.mark.parametrize(
    ("saved", "hours", "holds"), [(80, 1, True), (80, 6, False), (200, 6, True), (60, 1, False)]
)
def test_errors_that_now_and_later_share_are_no_risk_to_the_difference(
    saved: float, hours: int, holds: bool
) -> None:
    # Every hour may be 200 g/kWh dirtier. An hour apart that is mostly one error: 200 sqrt(2 - 2 x 0.93) = 75 remain
    # of the difference, and six hours apart 168.
    values = [400.0] * 8
    values[hours] -= saved
    known = case(
        {"risk": "careful", **_ONLY_FAST},
        {"DE": values},
        quantiles={"DE": {0.9: tuple(v + 200 for v in values)}},
    )
    hedge = Hedge(known, option_at(known, FAST, START))
    assert hedge.holds_for(option_at(known, FAST, START + hours * HOUR)) is holds


@pytest.mark.parametrize("level", [0.6, 0.75, 0.95])
def test_levels_that_were_not_given_are_drawn_as_of_a_normal_distribution(level: float) -> None:
    z, asked = NormalDist().inv_cdf(level), NormalDist().inv_cdf(0.9)
    # What is given is such that the band at 0.9 reaches just below, or just above, the saving of 100 at 03:00.
    for at_90, action in ((99.0, Action.DEFER), (101.0, Action.RUN)):
        up = {level: (0.0, 0.0, 1000.0, *(at_90 * z / asked,) * 5)}
        assert decide(_uncertain({"risk": "careful"}, up)).action is action


@given(evidence(), st.sampled_from(Risk))
def test_where_nothing_is_known_of_errors_all_risks_are_one(known: Evidence, risk: Risk) -> None:
    spec = known.spec.model_copy(update={"risk": risk})
    assert decide(known.model_copy(update={"spec": spec})).chosen == decide(known).chosen


@given(evidence(), st.floats(min_value=0, max_value=10))
def test_more_care_never_waits_for_less(known: Evidence, width: float) -> None:
    """What a careful job waits for, a bold one would have waited for too; and a bold one ignores bands."""
    values = known.outlook["DE"].values_gco2_per_kwh
    bands = {0.9: tuple(value * (1 + width * k / len(values)) for k, value in enumerate(values))}
    waits = {}
    for risk in Risk:
        spec = known.spec.model_copy(update={"risk": risk})
        waits[risk] = decide(known.model_copy(update={"spec": spec, "quantiles": {"DE": bands}}))
    if waits["careful"].action is Action.DEFER:
        assert waits["balanced"].action is Action.DEFER
    if waits["balanced"].action is Action.DEFER:
        assert waits["bold"].action is Action.DEFER
    assert waits["bold"].chosen == decide(known).chosen
