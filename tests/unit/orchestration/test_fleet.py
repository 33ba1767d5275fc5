"""The joint plan's places: one at a time on a narrow site, around what is held, and moved for a saving alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from carbon_policy.domain.decision import Evidence, Plan
from carbon_policy.domain.job import JobSpec, PolicyName
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.domain.site import Site, Tier
from carbon_policy.orchestration.fleet import Place, places_in
from carbon_policy.orchestration.queue import STEP, WaitingJob, WaitingQueue

NOW = datetime(2026, 11, 25, 8, 10, tzinfo=UTC)
NOON = NOW.replace(hour=12, minute=0)
HOUR = timedelta(hours=1)
SITE = Site(name="fast", work_pool="fast", tier=Tier.FAST, zone="DE", power_w=100, capacity=1)
# From 08:00 on; the cleanest hour begins at 12:00.
VALUES = (400.0, 390.0, 380.0, 300.0, 100.0, 200.0, 350.0, 400.0)
NAMES = {"a", "b", "c"}


def queue(*names: str, values: tuple[float, ...] = VALUES, finish_within: str = "7h") -> WaitingQueue:
    """Runs of an hour each, on a site that takes one at a time."""
    outlook = IntensitySeries(
        zone="DE", start=NOW.replace(minute=0), step=HOUR, values_gco2_per_kwh=values, source="stand-in"
    )
    said = {
        "urgency": "flexible",
        "finish_within": finish_within,
        "expected_duration": "1h",
        "policy": "fleet",
    }
    jobs = []
    for name in names:
        evidence = Evidence(
            job=name, now=NOW, submitted_at=NOW, spec=JobSpec(**said), sites=(SITE,), outlook={"DE": outlook}
        )
        jobs.append(WaitingJob(name, f"run-{name}", "flow/nightly", NOW, NOW, evidence))
    return WaitingQueue(NOW, tuple(jobs), capacity={"fast": 1})


def plan_at(start: datetime, by: PolicyName | None = PolicyName.FLEET) -> Plan:
    return Plan(site="fast", start=start, decided_at=NOW, by=by)


def starts(places: dict[str, Place]) -> dict[str, datetime]:
    """Of runs that all have a place."""
    found = {}
    for name, place in places.items():
        assert isinstance(place, Plan), place
        found[name] = place.start
    return found


def apart(moments: list[datetime]) -> bool:
    return all(later - earlier >= HOUR for earlier, later in pairwise(sorted(moments)))


def test_each_has_its_turn_on_the_quarters_of_an_hour() -> None:
    places = places_in(queue(*NAMES), {}, NAMES)
    found = starts(places)
    assert apart(list(found.values()))
    assert NOON in found.values()
    assert all((start - NOON) % STEP == timedelta(0) for start in found.values())
    assert all(isinstance(place, Plan) and place.by is PolicyName.FLEET for place in places.values())


def test_what_another_policy_planned_holds_its_place() -> None:
    # Not on a quarter of an hour: both slots that it touches are taken.
    held = {"a": plan_at(NOON + timedelta(minutes=5), by=None)}
    found = starts(places_in(queue(*NAMES), held, {"b", "c"}))
    assert set(found) == {"b", "c"}
    assert apart([*found.values(), held["a"].start])


def test_planned_again_all_of_them_stay() -> None:
    first = places_in(queue(*NAMES), {}, NAMES)
    plans = {name: place for name, place in first.items() if isinstance(place, Plan)}
    assert starts(places_in(queue(*NAMES), plans, NAMES)) == starts(first)


@pytest.mark.parametrize(("gco2_per_kwh", "moves"), [(99.0, False), (90.0, True)])
def test_a_place_is_left_for_the_margin_and_not_for_less(gco2_per_kwh: float, moves: bool) -> None:
    standing = {"a": plan_at(NOON)}
    values = (*VALUES[:6], gco2_per_kwh, VALUES[7])
    assert (starts(places_in(queue("a", values=values), standing, {"a"}))["a"] != NOON) is moves


def test_a_newcomer_is_planned_around_those_that_have_a_place() -> None:
    standing = {"a": plan_at(NOON), "b": plan_at(NOON + HOUR)}
    found = starts(places_in(queue(*NAMES), standing, NAMES))
    assert (found["a"], found["b"]) == (NOON, NOON + HOUR)
    assert apart(list(found.values()))


def test_two_that_were_given_the_same_place_are_parted() -> None:
    standing = {"a": plan_at(NOON), "b": plan_at(NOON)}
    assert apart(list(starts(places_in(queue("a", "b"), standing, {"a", "b"})).values()))


def test_one_that_has_no_place_by_its_deadline_stays_as_it_is() -> None:
    places = places_in(queue(*NAMES, finish_within="2h30m"), {}, NAMES)
    without = [place for place in places.values() if isinstance(place, str)]
    assert without
    assert all("stays as it is" in sentence for sentence in without)


def test_without_an_outlook_nothing_moves() -> None:
    assert all(isinstance(place, str) for place in places_in(queue("a", values=(1.0,)), {}, {"a"}).values())
