"""Making the demo's server what a team's would be: pools, blocks, deployments, by the same code as `apply`."""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import timedelta
from importlib.resources import as_file
from pathlib import Path
from typing import Any

from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient
from prefect.flows import load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema

from carbon_policy.demo.day import Day
from carbon_policy.demo.jobs import DemoJob
from carbon_policy.grid.replay import ReplayClock
from carbon_policy.orchestration.blocks import CarbonPolicy
from carbon_policy.orchestration.names import CARBON_POOL, DEFAULT_POLICY_BLOCK
from carbon_policy.provision.apply import apply
from carbon_policy.provision.files import Infrastructure
from carbon_policy.provision.starter import starter_root

JOBS_IN_IMAGE = "/opt/carbon"
"""Where the job image has the flows."""

_DEPLOYMENT = "demo"

# The start of a process or a container, on two busy cores.
_START_LATENCY = timedelta(seconds=20)


def make_server(day: Day, infrastructure: Infrastructure) -> None:
    """Create pools, blocks and sites from the starter files, as a new user's `carbon-policy apply` would."""
    with as_file(starter_root()) as root:
        asyncio.run(apply(root, infrastructure, environment={**os.environ, "CARBON_ZONE": day.zone}))


def start_day(day: Day, clock: ReplayClock) -> None:
    """Start the day's clock: from here on every decision sees the replayed grid."""
    source = day.source(clock.began_at)
    source.save("demo", overwrite=True)
    policy = CarbonPolicy.load(DEFAULT_POLICY_BLOCK)
    assert isinstance(policy, CarbonPolicy)  # noqa: S101  Not a coroutine: no event loop runs here.
    policy.grid_sources = [f"{source.get_block_type_slug()}/demo"]
    # An hour of the day is worth a hop; here it passes in seconds.
    policy.minimum_deferral = timedelta(hours=1) / clock.speed
    policy.start_latency = _START_LATENCY
    policy.save(DEFAULT_POLICY_BLOCK, overwrite=True)


def deploy(
    client: SyncPrefectClient, jobs: list[DemoJob], infrastructure: Infrastructure, folder: Path
) -> dict[str, Any]:
    """Deploy the jobs' flows to the carbon pool; returns flow to deployment id.

    The flows themselves know nothing of carbon: each run says by job variables what it may do.
    """
    in_image = infrastructure is Infrastructure.DOCKER
    deployed = {}
    with as_file(starter_root()) as root:
        for name in dict.fromkeys(job.flow for job in jobs):
            entrypoint = f"flows/{name}.py:{name}"
            flow: Flow[..., Any] = load_flow_from_entrypoint(
                str(root / entrypoint), use_placeholder_flow=False
            )
            schema = parameter_schema(flow)
            parameters = {} if in_image else {"output_dir": str(folder)}
            deployed[name] = client.create_deployment(
                flow_id=client.create_flow_from_name(flow.name),
                name=_DEPLOYMENT,
                work_pool_name=CARBON_POOL,
                entrypoint=entrypoint,
                parameters={key: value for key, value in parameters.items() if key in schema.properties},
                pull_steps=[
                    {
                        "prefect.deployments.steps.set_working_directory": {
                            "directory": JOBS_IN_IMAGE if in_image else str(root)
                        }
                    }
                ],
                parameter_openapi_schema=schema.model_dump(exclude_unset=True),
                job_variables={
                    "env": {"PREFECT_INTEGRATIONS_CARBON_MEASURE_EVERY_S": "1"},
                    # The engine alone, without the supervisor that prepares workspaces and obeys a Cancel from the UI:
                    # it would double the CPU that a dozen short jobs take of two cores. And behind the server and
                    # the carbon worker, whose lateness would be hours of this day. The eco pool for processes has a
                    # command of its own, and no such variable.
                    "command": f"nice -n 5 {'python' if in_image else sys.executable} -m prefect.engine",
                },
            )
    return deployed


def submit(client: SyncPrefectClient, job: DemoJob, deployment_id: Any, speed: float) -> Any:
    """Start a run as `prefect deployment run --job-variable urgency=...` would; returns its id."""
    variables: dict[str, Any] = {
        "urgency": job.urgency,
        "expected_duration": _on_the_wall(job.takes, speed),
    }
    if job.finish_within is not None:
        variables["finish_within"] = _on_the_wall(job.finish_within, speed)
    run = client.create_flow_run_from_deployment(
        deployment_id, parameters=job.parameters, name=job.name, job_variables=variables
    )
    return run.id


def _on_the_wall(duration: timedelta, speed: float) -> str:
    """A time of the replayed day as it passes here."""
    return f"{(duration / speed).total_seconds():.3f}s"
