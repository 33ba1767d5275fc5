"""Sites weighed by more than carbon."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_policy.domain.decision import RANKINGS, Action, Evidence, PolicySettings, Ranking, RankingProfile
from carbon_policy.policies import decide
from tests.unit.policies.cases import case
from tests.unit.policies.strategies import ECO, FAST, evidence

_SERVICE = PolicySettings(ranking=RANKINGS[RankingProfile.SERVICE_FIRST])
_NOW = {"finish_within": None, "urgency": "normal"}
NEAR = FAST.model_copy(update={"name": "near", "latency_ms": 5.0, "availability": 0.99, "priority": 0.9})
FAR = FAST.model_copy(update={"name": "far", "latency_ms": 90.0, "availability": 0.9, "priority": 0.1})


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({"latency_ms": 5.0}, {"latency_ms": 50.0}),
        ({"availability": 0.999}, {"availability": 0.9}),
        ({"priority": 0.8}, {"priority": 0.2}),
        ({"price_per_hour": 1.0}, {"price_per_hour": 2.0}),
    ],
)
def test_each_criterion_counts_in_its_direction(better: dict[str, Any], worse: dict[str, Any]) -> None:
    good = FAST.model_copy(update={"name": "good", **better})
    # Worse in one thing, and greener: a ranking without carbon does not see that.
    bad = FAST.model_copy(update={"name": "bad", "power_w": 30.0, **worse})
    assert decide(case(_NOW, sites=(bad, good), settings=_SERVICE)).site == "good"
    assert decide(case(_NOW, sites=(good, bad))).site == "bad"


def test_a_figure_that_nobody_gave_counts_as_the_middle() -> None:
    unsaid = FAST.model_copy(update={"name": "unsaid", "latency_ms": None})
    only_latency = PolicySettings(ranking=Ranking(latency=1.0))
    middle = FAST.model_copy(update={"name": "middle", "latency_ms": 80.0})
    assert decide(case(_NOW, sites=(FAR, unsaid, middle), settings=only_latency)).site == "middle"
    assert decide(case(_NOW, sites=(FAR, unsaid, NEAR), settings=only_latency)).site == "near"
    sites = (FAR, unsaid, middle.model_copy(update={"latency_ms": 85.0}), NEAR)
    without_near = tuple(site.model_copy(update={"free": 0}) if site is NEAR else site for site in sites)
    assert decide(case(_NOW, sites=without_near, settings=only_latency)).site == "middle"


def test_without_weight_on_carbon_nothing_waits_for_it() -> None:
    assert decide(case()).action is Action.DEFER
    decision = decide(case(settings=_SERVICE))
    assert decision.action is Action.RUN
    weighed = PolicySettings(ranking=Ranking(carbon=1.0, latency=0.2))
    assert decide(case(settings=weighed)).action is Action.DEFER


def test_a_mix_takes_a_little_more_carbon_for_a_much_better_site() -> None:
    green = FAR.model_copy(update={"power_w": 55.0})
    mixed = PolicySettings(ranking=Ranking(carbon=0.5, latency=1.0))
    assert decide(case(_NOW, sites=(green, NEAR), settings=mixed)).site == "near"
    carbon = PolicySettings(ranking=Ranking(carbon=1.0, latency=0.5))
    assert decide(case(_NOW, sites=(green, NEAR), settings=carbon)).site == "far"


@given(evidence(), st.sampled_from(list(RANKINGS.values())), st.floats(min_value=0.1, max_value=1))
def test_no_ranking_breaks_a_deadline(known: Evidence, ranking: Ranking, priority: float) -> None:
    sites = (FAST.model_copy(update={"priority": 0.0}), ECO.model_copy(update={"priority": priority}))
    ranked = known.model_copy(update={"settings": PolicySettings(ranking=ranking), "sites": sites})
    decision = decide(ranked)
    assert decision.chosen is not None
    latest_finish = known.spec.window(known.submitted_at).latest_finish
    assert latest_finish is not None
    assert (decision.chosen.finish - latest_finish).total_seconds() <= 1e-3


@given(evidence(), st.floats(min_value=0.01, max_value=100))
def test_the_size_of_the_only_weight_changes_nothing(known: Evidence, weight: float) -> None:
    scaled = PolicySettings(ranking=Ranking(carbon=weight))
    assert decide(known.model_copy(update={"settings": scaled})).chosen == decide(known).chosen
