"""Twins: the deployments on the sites' pools that do the work of a user's deployment."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule

from carbon_policy.domain.site import Site
from carbon_policy.orchestration.blocks import CarbonSite
from carbon_policy.orchestration.names import PLACED, TAG_TWIN
from carbon_policy.orchestration.twins import ensure_twin
from tests.support import grids
from tests.support.bench import CARBON, ECO, Bench, only
from tests.support.gates import run_gate

pytestmark = [pytest.mark.server]


class Pair:
    """A user's deployment, and its twin on eco."""

    def __init__(self, bench: Bench, deployment: UUID) -> None:
        self.bench = bench
        self.client = bench.client
        self.id = deployment

    @property
    def deployment(self) -> DeploymentResponse:
        return self.client.read_deployment(self.id)

    @property
    def flow(self) -> str:
        return self.client.read_flow(self.deployment.flow_id).name

    def twin(self) -> DeploymentResponse:
        """Bring the twin into step, as a gate does, and read it."""
        site: Site = CarbonSite.load("eco").as_site("eco")
        pool = self.client.read_work_pool(ECO)
        return self.client.read_deployment(ensure_twin(self.client, self.deployment, self.flow, site, pool))

    def change(self, **fields: object) -> None:
        """Deploy the user's deployment anew."""
        known = self.deployment
        given = {
            "parameters": known.parameters,
            "job_variables": known.job_variables,
            "tags": known.tags,
            **fields,
        }
        self.client.create_deployment(
            flow_id=known.flow_id,
            name=known.name,
            work_pool_name=known.work_pool_name,
            entrypoint=known.entrypoint,
            pull_steps=known.pull_steps,
            parameter_openapi_schema=known.parameter_openapi_schema,
            enforce_parameter_schema=False,
            **given,
        )


@pytest.fixture
def pair(bench: Bench) -> Pair:
    schedule = DeploymentScheduleCreate(schedule=CronSchedule(cron="0 6 * * *"))
    return Pair(
        bench,
        bench.deploy(
            CARBON,
            schedules=[schedule],
            version="v1",
            tags=["team-a"],
            parameters={"epochs": 3},
            concurrency_limit=2,
            job_variables={"urgency": "flexible", "env": {"MARK": "x"}},
        ),
    )


def test_a_twin_is_the_same_job_on_another_pool(pair: Pair) -> None:
    twin = pair.twin()
    assert (twin.name, twin.work_pool_name, twin.flow_id) == ("nightly@eco", ECO, pair.deployment.flow_id)
    assert (twin.entrypoint, twin.pull_steps) == (pair.deployment.entrypoint, pair.deployment.pull_steps)
    assert (twin.version, twin.parameters) == ("v1", {"epochs": 3})
    assert twin.global_concurrency_limit is not None
    assert twin.global_concurrency_limit.limit == 2


def test_a_twin_is_tagged_and_never_scheduled(pair: Pair) -> None:
    twin = pair.twin()
    assert set(twin.tags) == {"team-a", TAG_TWIN}
    assert twin.schedules == []


def test_a_twin_has_what_is_meant_for_its_pool_and_is_not_decided_about(pair: Pair) -> None:
    assert pair.twin().job_variables == {"env": {"MARK": "x"}, PLACED: "eco"}


def test_a_twin_in_step_is_not_written(pair: Pair) -> None:
    assert pair.twin().updated == pair.twin().updated


@pytest.mark.parametrize(
    ("change", "field", "value"),
    [
        ({"parameters": {"epochs": 9}}, "parameters", {"epochs": 9}),
        ({"version": "v2"}, "version", "v2"),
        ({"tags": ["team-b"]}, "tags", ["carbon-twin", "team-b"]),
        ({"job_variables": {"env": {"MARK": "y"}}}, "job_variables", {"env": {"MARK": "y"}, PLACED: "eco"}),
    ],
    ids=["parameters", "version", "tags", "job-variables"],
)
def test_a_twin_follows(pair: Pair, change: dict[str, object], field: str, value: object) -> None:
    before = pair.twin()
    pair.change(**change)
    after = pair.twin()
    assert after.id == before.id
    found = getattr(after, field)
    assert (sorted(found) if field == "tags" else found) == value


def test_a_twin_follows_a_limit_that_is_lifted(pair: Pair) -> None:
    pair.twin()
    pair.change(concurrency_limit=5)
    changed = pair.twin().global_concurrency_limit
    assert changed is not None
    assert changed.limit == 5
    assert pair.twin().updated == pair.twin().updated


def test_an_edited_twin_is_brought_back(pair: Pair) -> None:
    twin = pair.twin()
    pair.client.request("PATCH", "/deployments/{id}", path_params={"id": twin.id}, json={"paused": True})
    assert not pair.twin().paused


@pytest.mark.slow
def test_two_runs_share_a_twin(bench: Bench, tmp_path: Path) -> None:
    deployment = bench.deploy(CARBON, job_variables={"policy_block": bench.policy(grids.flat(tmp_path))})
    runs: list[FlowRun] = [bench.pending(deployment) for _ in range(2)]
    for run in runs:
        run_gate(bench.stack, run)
    first, second = (only(bench.jobs_of(run)) for run in runs)
    assert first.deployment_id == second.deployment_id
