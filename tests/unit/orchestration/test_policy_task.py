"""What is asked of the world for a run, and for which runs it is not asked."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.states import Pending, Running, Scheduled

from carbon_policy.domain.site import Site, Tier
from carbon_policy.orchestration.blocks import CarbonPolicy
from carbon_policy.orchestration.directory import Directory
from carbon_policy.orchestration.evidence import Asked
from carbon_policy.orchestration.experience import Experience
from carbon_policy.orchestration.names import LABEL_RELEASED
from carbon_policy.orchestration.policy_task import evidence_for
from carbon_policy.orchestration.settings import CarbonSettings

NOW = datetime(2026, 11, 22, 6, tzinfo=UTC)
SITES = tuple(Site(name=name, work_pool=name, tier=Tier.FAST, zone="DE", power_w=60) for name in ("a", "b"))


class World:
    """One with two sites, each with two free slots as the server counts; it notes what was asked of it."""

    settings, now = CarbonSettings(), NOW

    def __init__(self) -> None:
        self.asked: list[str] = []

    def taken(self, _: str) -> int:
        return 0

    def directory(self, _: str) -> Directory:
        return Directory("default", CarbonPolicy(), SITES, {}, (), free=self.free)

    def free(self, site: Site) -> int:
        self.asked.append(f"free {site.name}")
        return 2

    def grid(self, *_: Any) -> Asked:
        self.asked.append("grid")
        return Asked()

    def experience(self, *_: Any) -> Experience:
        self.asked.append("experience")
        return Experience()


def run(**fields: Any) -> FlowRun:
    return FlowRun(**{"flow_id": uuid4(), "deployment_id": uuid4(), "expected_start_time": NOW, **fields})


def on(pool: str) -> Any:
    return SimpleNamespace(work_pool_name=pool, job_variables={})


@pytest.mark.parametrize(
    ("state", "pool", "free"),
    [
        (Running(), "a", [3, 2]),
        (Pending(), "b", [2, 3]),
        (Scheduled(), "a", [2, 2]),
        (Running(), "carbon", [2, 2]),
    ],
)
def test_the_slot_that_a_run_holds_itself_is_free_for_it(state: Any, pool: str, free: list[int]) -> None:
    found = evidence_for(run(state=state), on(pool), None, World())  # type: ignore[arg-type]
    assert [site.free for site in found.sites] == free


@pytest.mark.parametrize(
    "said",
    [
        {"job_variables": {"urgency": "critical"}},
        {"job_variables": {"mode": "off"}},
        {"labels": {LABEL_RELEASED: True}},
    ],
)
def test_nobody_is_asked_for_a_job_that_goes_whatever_they_say(said: dict[str, Any]) -> None:
    world = World()
    evidence_for(run(**said), on("a"), None, world)  # type: ignore[arg-type]
    assert world.asked == []
    evidence_for(run(), on("a"), None, world)  # type: ignore[arg-type]
    assert sorted(world.asked) == ["experience", "free a", "free b", "grid"]
