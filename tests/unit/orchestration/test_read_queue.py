"""Which runs of a server wait to be placed, and what is known of the sites' room; without deciding any."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.schemas.objects import FlowRun, WorkPool

from carbon_policy.domain.site import Site, Tier
from carbon_policy.orchestration import policy_task
from carbon_policy.orchestration.blocks import CarbonPolicy
from carbon_policy.orchestration.directory import Directory
from carbon_policy.orchestration.evidence import Asked
from carbon_policy.orchestration.experience import Experience
from carbon_policy.orchestration.names import DECLARED, LABEL_CHILD, PLACED
from carbon_policy.orchestration.queue import WaitingQueue, read_queue
from carbon_policy.orchestration.settings import CarbonSettings

NOW = datetime(2026, 11, 25, 8, tzinfo=UTC)
GATE = {"job_configuration": {"command": "python -m carbon_policy.orchestration.gate"}}


def pool(name: str, **fields: Any) -> WorkPool:
    return WorkPool(name=name, type="process", default_queue_id=uuid4(), **fields)


POOLS = [pool("carbon", base_job_template=GATE), pool("fast", concurrency_limit=3), pool("eco"), pool("gpu")]
SITES = (
    Site(name="fast", work_pool="fast", tier=Tier.FAST, zone="DE", power_w=60),
    Site(name="eco", work_pool="eco", tier=Tier.ECO, zone="DE", power_w=30, capacity=4),
    Site(name="gpu", work_pool="gpu", tier=Tier.FAST, zone="DE", power_w=300),
)
FREE = {"fast": 1}


def deployment(on: str, **said: Any) -> Any:
    return SimpleNamespace(id=uuid4(), name=f"on-{on}", work_pool_name=on, job_variables=said)


class World:
    settings, now = CarbonSettings(), NOW

    def taken(self, _: str) -> int:
        return 0

    def directory(self, _: str) -> Directory:
        pools = {one.name: one for one in POOLS}
        return Directory("default", CarbonPolicy(), SITES, pools, (), free=lambda site: FREE.get(site.name))

    def flow_name(self, _: UUID) -> str:
        return "train"

    def grid(self, *_: Any) -> Asked:
        return Asked()

    def experience(self, *_: Any) -> Experience:
        return Experience()


class Server:
    def __init__(self, deployments: list[Any], runs: list[FlowRun]) -> None:
        self.deployments, self.runs = deployments, runs

    def read_work_pools(self, limit: int) -> list[WorkPool]:
        return POOLS

    def read_deployments(self, limit: int, offset: int) -> list[Any]:
        return self.deployments[offset : offset + limit]

    def read_flow_runs(self, *, flow_run_filter: Any, limit: int, offset: int, **_: Any) -> list[FlowRun]:
        wanted = [run for run in self.runs if run.deployment_id in flow_run_filter.deployment_id.any_]
        return wanted[offset : offset + limit]


def run_of(which: Any, name: str = "a", due_in_h: float = 0, **fields: Any) -> FlowRun:
    due = NOW + timedelta(hours=due_in_h)
    return FlowRun(flow_id=uuid4(), deployment_id=which.id, name=name, expected_start_time=due, **fields)


def read(deployments: list[Any], runs: list[FlowRun], limit: int = 100) -> WaitingQueue:
    return read_queue(Server(deployments, runs), NOW, limit, world=World())  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def nothing_is_decided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_task, "decide", pytest.fail)


def test_runs_of_the_gate_and_of_decorated_flows_wait_in_the_order_in_which_they_are_due() -> None:
    gated, decorated = deployment("carbon"), deployment("fast", **{DECLARED: {"urgency": "flexible"}})
    elsewhere, twin = deployment("fast"), deployment("carbon", **{PLACED: "fast"})
    runs = [
        run_of(gated, "later", 2),
        run_of(decorated, "sooner", 1),
        run_of(elsewhere, "nobody asks"),
        run_of(twin, "placed"),
        run_of(gated, "has its job", labels={LABEL_CHILD: "x"}),
    ]
    found = read([gated, decorated, elsewhere, twin], runs)
    assert [(job.name, job.deployment) for job in found.jobs] == [
        ("sooner", "train/on-fast"),
        ("later", "train/on-carbon"),
    ]
    assert found.left_out == ()


@pytest.mark.parametrize("said", [{}, {"urgency": "critical"}])
def test_a_sites_limit_is_its_own_or_its_pools_and_what_is_not_free_is_busy(said: dict[str, str]) -> None:
    gated = deployment("carbon", **said)
    found = read([gated], [run_of(gated)])
    # The gpu pool has no limit; of eco the server does not say how much is used.
    assert found.capacity == {"fast": 3, "eco": 4}
    assert found.busy == {"fast": 2, "eco": 0}


def test_what_is_refused_or_beyond_the_limit_is_left_out_with_a_sentence() -> None:
    gated = deployment("carbon")
    runs = [run_of(gated, "wrong", job_variables={"urgency": "whenever"}), *(run_of(gated) for _ in range(3))]
    found = read([gated], runs, limit=2)
    assert len(found.jobs) == 2
    assert found.left_out[0].startswith("wrong: ")
    assert found.left_out[1:] == ("1 more wait, beyond the first 2.",)
