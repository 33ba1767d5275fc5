"""Which sites can take a job, and what is said where none can."""

from __future__ import annotations

from typing import Any

import pytest

from carbon_policy.domain.decision import Action, ReasonCode
from carbon_policy.policies import decide
from tests.unit.policies.cases import case
from tests.unit.policies.strategies import ECO, FAST

_NOW = {"finish_within": None, "urgency": "normal"}
SMALL = {"cpus": 4, "memory_gb": 8, "gpus": 0, "latency_ms": 80}


@pytest.mark.parametrize(
    ("need", "said"),
    [
        ({"cpus": 8}, "needs 8 cpus and it has 4"),
        ({"memory_gb": 16}, "needs 16 GB of memory and it has 8 GB"),
        ({"gpus": 1}, "needs 1 gpus and it has 0"),
        ({"max_latency_ms": 50}, "max_latency_ms is 50 and it is 80 ms away"),
        ({"allowed_zones": ["FR"]}, "its zone DE is not among allowed_zones"),
        ({"allowed_sites": ["other"]}, "it is not among allowed_sites"),
    ],
)
def test_a_need_that_no_site_meets_is_named_with_each_site(need: dict[str, Any], said: str) -> None:
    sites = tuple(site.model_copy(update=SMALL) for site in (FAST, ECO))
    decision = decide(case(_NOW | need, sites=sites))
    assert (decision.action, decision.reason) == (Action.FAIL, ReasonCode.NO_SITE)
    assert f"fast: {'the job ' if 'needs' in said else ''}{said}" in decision.sentence
    assert "eco: " in decision.sentence


def test_a_disabled_site_is_named_too() -> None:
    decision = decide(case(_NOW, sites=(FAST.model_copy(update={"enabled": False}),)))
    assert decision.sentence.startswith("No site can take the job. fast: it is disabled.")


@pytest.mark.parametrize("need", [{"cpus": 8}, {"memory_gb": 16}, {"gpus": 1}, {"max_latency_ms": 50}])
def test_a_site_that_does_not_say_is_taken_to_have_it(need: dict[str, Any]) -> None:
    small = ECO.model_copy(update=SMALL)
    assert decide(case(_NOW, sites=(FAST, small))).site == "eco"
    assert decide(case(_NOW | need, sites=(FAST, small))).site == "fast"
    assert decide(case(_NOW | need, sites=(FAST, ECO))).site == "eco"


def test_a_full_pool_is_left_out_of_what_starts_now_but_the_reference_queues() -> None:
    full = ECO.model_copy(update={"free": 0})
    assert decide(case(_NOW, sites=(FAST, full))).site == "fast"
    assert decide(case(_NOW, sites=(FAST.model_copy(update={"free": 0}), full))).site == "fast"
    # Later it may have room again.
    assert decide(case(sites=(FAST, full))).site == "eco"


def test_the_rules_of_thresholds_leave_out_a_full_eco_pool() -> None:
    spec = _NOW | {"policy": "threshold"}
    dirty = {"DE": (500.0, *(100.0,) * 7)}
    assert decide(case(spec, dirty)).site == "eco"
    assert decide(case(spec, dirty, sites=(FAST, ECO.model_copy(update={"free": 0})))).site == "fast"
