"""The same decision from the same outlooks has one id, and any other has another."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from carbon_policy.domain.decision import Action, Decision, ReasonCode
from carbon_policy.domain.decision_id import decision_id
from tests.unit.worker.decided import LATER, NOW, deferral, outlook


def test_the_same_decision_has_the_same_id_wherever_it_is_made() -> None:
    one, other = deferral(), Decision.model_validate_json(deferral().model_dump_json())
    assert one is not other
    assert decision_id(one) == decision_id(other)
    assert re.fullmatch(r"[0-9a-f]{16}", decision_id(one))


@pytest.mark.parametrize(
    "other",
    [
        deferral(evidence={"job": "another run"}),
        deferral(evidence={"now": NOW + timedelta(microseconds=1)}),
        deferral(evidence={"outlook": outlook(400.0, 120.1)}),
        deferral(evidence={"outlook": {}}),
        deferral(evidence={"outlook": {"FR": outlook()["DE"]}}),
        deferral(action=Action.RUN),
        deferral(reason=ReasonCode.FLEET_LATER),
        deferral(site="eco"),
        deferral(site=None),
        deferral(start=LATER + timedelta(seconds=1)),
    ],
)
def test_another_decision_has_another_id(other: Decision) -> None:
    assert decision_id(other) != decision_id(deferral())


def test_the_order_of_zones_is_none_of_its_business() -> None:
    german = outlook()["DE"]
    french = german.model_copy(update={"zone": "FR"})
    one = deferral(evidence={"outlook": {"DE": german, "FR": french}})
    assert decision_id(one) == decision_id(deferral(evidence={"outlook": {"FR": french, "DE": german}}))


def test_the_id_is_the_same_in_every_process_and_release() -> None:
    # Written down: were it to change, what was recorded before would no longer be found.
    assert decision_id(deferral(evidence={"outlook": {}})) == "109eac489e02af67"
