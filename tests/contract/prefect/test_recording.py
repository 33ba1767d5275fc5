"""What a decorator says is recorded with the deployment, whichever way it is deployed; the gate reads it there."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import prefect
import pytest
from prefect.client.schemas.responses import DeploymentResponse
from prefect.deployments.runner import RunnerDeployment
from prefect.flows import Flow

from carbon_policy.domain.job import JobSpec
from carbon_policy.domain.precedence import DECORATOR
from carbon_policy.orchestration.names import DECLARED
from carbon_policy.orchestration.records import read_decision
from tests.support import grids
from tests.support.bench import CARBON, Bench, only, unique
from tests.support.gates import run_gate

pytestmark = [pytest.mark.server]

SAID = JobSpec(urgency="flexible", finish_within="12h", expected_duration="45m")

SOURCE = """
from carbon_policy import carbon_aware
from prefect import flow

@carbon_aware(urgency="flexible", finish_within="12h", expected_duration="45m")
@flow(name="{name}-with")
def with_parameters(epochs: int = 3): ...

@carbon_aware(urgency="flexible", finish_within="12h", expected_duration="45m")
@flow(name="{name}-without")
def without_parameters(): ...

@flow(name="{name}-plain")
def plain(): ...
"""


class Project:
    """A folder with flows, as a user has it."""

    def __init__(self, bench: Bench, folder: Path) -> None:
        self.bench = bench
        self.folder = folder
        self.name = unique("jobs")
        self.file = folder / f"{self.name.replace('-', '_')}.py"
        self.file.write_text(SOURCE.format(name=self.name))

    def entrypoint(self, flow: str) -> str:
        return f"{self.file.name}:{flow}"

    def sourced(self, flow: str) -> Flow[..., object]:
        """The flow as a deployment from source code has it."""
        loaded: Flow[..., object] = Flow.from_source(str(self.folder), self.entrypoint(flow))  # type: ignore[assignment]
        return loaded

    def deployed(self, flow: str) -> DeploymentResponse:
        kind = {"with_parameters": "with", "without_parameters": "without"}.get(flow, flow)
        return self.bench.client.read_deployment_by_name(f"{self.name}-{kind}/nightly")


@pytest.fixture
def project(bench: Bench, tmp_path: Path) -> Project:
    return Project(bench, tmp_path)


def by_cli(project: Project, flow: str) -> None:
    file = {
        "deployments": [
            {
                "name": "nightly",
                "entrypoint": project.entrypoint(flow),
                "build": None,
                "work_pool": {"name": CARBON, "job_variables": {"env": {"MARK": "kept"}}},
            }
        ]
    }
    path = project.folder / "prefect.yaml"
    path.write_text(json.dumps(file))  # JSON is YAML.
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--prefect-file", str(path), "--all"]
    script = "import os, subprocess, sys; os.chdir(sys.argv[1]); sys.exit(subprocess.call(sys.argv[2:]))"
    project.bench.stack.run([sys.executable, "-c", script, str(project.folder), *command])


def by_flow_deploy(project: Project, flow: str) -> None:
    project.sourced(flow).deploy(
        "nightly", work_pool_name=CARBON, job_variables={"env": {"MARK": "kept"}}, print_next_steps=False
    )


def by_prefect_deploy(project: Project, flow: str) -> None:
    deployment = project.sourced(flow).to_deployment("nightly", job_variables={"env": {"MARK": "kept"}})
    prefect.deploy(deployment, work_pool_name=CARBON, print_next_steps_message=False)  # type: ignore[arg-type]


def by_entrypoint(project: Project, flow: str) -> None:
    RunnerDeployment.from_entrypoint(
        str(project.folder / project.entrypoint(flow)),
        "nightly",
        work_pool_name=CARBON,
        job_variables={"env": {"MARK": "kept"}},
    ).apply()


WAYS: dict[str, Callable[[Project, str], None]] = {
    "prefect deploy": by_cli,
    "flow.deploy": by_flow_deploy,
    "prefect.deploy": by_prefect_deploy,
    "from_entrypoint": by_entrypoint,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("flow", ["with_parameters", "without_parameters"])
def test_what_was_said_reaches_the_server_beside_the_users_own(project: Project, way: str, flow: str) -> None:
    WAYS[way](project, flow)
    variables = project.deployed(flow).job_variables
    assert variables is not None
    assert variables["env"] == {"MARK": "kept"}
    assert set(variables) == {"env", DECLARED}
    assert set(variables[DECLARED]) == {"urgency", "finish_within", "expected_duration"}
    assert JobSpec(**variables[DECLARED]) == SAID


@pytest.mark.parametrize("way", ["flow.deploy", "from_entrypoint"])
def test_a_flow_that_says_nothing_records_nothing(project: Project, way: str) -> None:
    WAYS[way](project, "plain")
    assert project.deployed("plain").job_variables == {"env": {"MARK": "kept"}}


def test_a_served_deployment_has_no_pool_and_keeps_working(project: Project) -> None:
    """`flow.serve` applies such a deployment; the server takes no job variables without a pool."""
    RunnerDeployment.from_entrypoint(
        str(project.folder / project.entrypoint("with_parameters")), "nightly"
    ).apply()
    deployment = project.deployed("with_parameters")
    assert deployment.work_pool_name is None
    assert deployment.job_variables == {}


@pytest.mark.slow
def test_the_gate_goes_by_it_without_the_users_code(project: Project, tmp_path: Path) -> None:
    bench = project.bench
    by_flow_deploy(project, "with_parameters")
    project.file.unlink()
    policy = bench.policy(grids.greener_in(tmp_path, 1200))
    run = bench.pending(project.deployed("with_parameters").id, job_variables={"policy_block": policy})
    run_gate(bench.stack, run)

    decision = read_decision(bench.client, run.id)
    assert decision is not None
    assert decision.evidence.spec.urgency == "flexible"
    assert decision.evidence.sources["urgency"] == DECORATOR
    assert decision.evidence.spec.finish_within == SAID.finish_within


@pytest.mark.slow
def test_a_runs_own_variable_wins_over_it(project: Project, tmp_path: Path) -> None:
    bench = project.bench
    by_flow_deploy(project, "with_parameters")
    said = {"policy_block": bench.policy(grids.flat(tmp_path)), "urgency": "critical"}
    run = bench.pending(project.deployed("with_parameters").id, job_variables=said)
    run_gate(bench.stack, run)
    assert bench.read(run).state_name == "PlacedFast"
    only(bench.jobs_of(run))
