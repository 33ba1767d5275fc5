"""Docker pools as the project's own files make them, and a look at what runs in them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.schemas.objects import FlowRun

from carbon_policy.provision.files import Infrastructure
from carbon_policy.provision.project import read_project
from carbon_policy.provision.templates import base_job_template
from tests.support.bench import SUPPORT, Bench, unique

ROOT = Path(__file__).parents[2]
_MOUNTED = "/mnt/tests"
_PULL = [{"prefect.deployments.steps.set_working_directory": {"directory": _MOUNTED}}]


def docker_pool(bench: Bench, like: str) -> str:
    """A pool of a test's own with the template that `deployments/pools.yaml` gives to `fast` or `eco`."""
    [entry] = [pool for pool in read_project(ROOT).work_pools if pool.name == like]
    kind, template = entry.form(Infrastructure.DOCKER)
    return bench.pool(unique(like), base_job_template(kind, template), kind)


def docker_job(bench: Bench, pool: str, **variables: Any) -> UUID:
    """A deployment whose job stays in its container until it is stopped, or as long as its parameters say."""
    mounted = {"volumes": [f"{SUPPORT}:{_MOUNTED}:ro"], **variables}
    return bench.deploy(pool, "jobs_in_container.py:contained", pull_steps=_PULL, job_variables=mounted)


def containers_of(run: FlowRun) -> list[str]:
    """Ids of a run's containers, whatever their state."""
    command = ["docker", "ps", "--all", "--quiet", "--filter", f"label=io.prefect.flow-run-id={run.id}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def inspect(container: str) -> dict[str, Any]:
    """What the engine itself says of a container."""
    done = subprocess.run(["docker", "inspect", container], capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout)[0])
