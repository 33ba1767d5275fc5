"""Deployments: what the files make of them, as `prefect deploy` would."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from typing import Any

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.objects import DeploymentSchedule
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.flows import Flow, load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema

from carbon_policy.domain.errors import InvalidInputError
from carbon_policy.domain.precedence import DEPLOYMENT, resolve
from carbon_policy.orchestration.blocks import CarbonSite
from carbon_policy.orchestration.names import CARBON_POOL, DECLARED
from carbon_policy.orchestration.recording import DECLARED_ATTRIBUTE
from carbon_policy.orchestration.variables import check_names, policy_part
from carbon_policy.provision.files import DeploymentEntry, Infrastructure
from carbon_policy.provision.plan import Kind, Step, compared
from carbon_policy.provision.pools import pool_exists, variables_of_pool
from carbon_policy.provision.project import Project

_NOT_FOUND = 404


async def plan_deployment(
    client: PrefectClient, entry: DeploymentEntry, project: Project, infrastructure: Infrastructure
) -> Step:
    """The step that makes a deployment what the files say.

    Args:
        client: A client of the server.
        entry: What the files say.
        project: All that the files say; entrypoints are relative to its folder.
        infrastructure: The form in which a pool with several forms is made.

    Raises:
        InvalidInputError: The pool does not exist, the flow cannot be loaded, or what is said of the job is refused.
    """
    if not await pool_exists(client, entry.work_pool, project):
        raise InvalidInputError(
            f"{entry.where}.work_pool: there is no work pool {entry.work_pool!r}, neither in the files nor on the"
            " server; correct the name, or add it."
        )
    if entry.work_pool == CARBON_POOL:
        await _check_job(client, entry, project, infrastructure)
    flow_name, fields = _fields(entry, project)
    name = f"{flow_name}/{entry.name}"
    try:
        existing = await client.read_deployment_by_name(name)
    except ObjectNotFound:
        existing = None

    async def make() -> None:
        # The server's own upsert, as `prefect deploy` uses it.
        await client.create_deployment(await client.create_flow_from_name(flow_name), entry.name, **fields)

    wanted = {**fields, "schedules": [_schedule(schedule) for schedule in fields["schedules"]]}
    old = _stored(existing) if existing is not None else None
    return Step(compared(Kind.DEPLOYMENT, name, old, wanted, project.secrets), make)


def _fields(entry: DeploymentEntry, project: Project) -> tuple[str, dict[str, Any]]:
    """The flow's name, and the deployment as arguments of `create_deployment`."""
    try:
        with contextlib.chdir(project.root):
            # A stand-in for a flow that cannot be imported would have lost what its decorator says.
            flow: Flow[..., Any] = load_flow_from_entrypoint(entry.entrypoint, use_placeholder_flow=False)
    except Exception as error:  # Loading a flow runs the user's code.
        raise InvalidInputError(
            f"{entry.where}.entrypoint: {entry.entrypoint!r} cannot be loaded from {project.root}:"
            f" {type(error).__name__}: {project.secrets.mask(str(error))}"
        ) from None
    declared = getattr(flow, DECLARED_ATTRIBUTE, None)
    directory = entry.directory or str(project.root.resolve())
    return flow.name, {
        "version": flow.version,
        # The server would keep no description as the text `None`.
        "description": entry.description or flow.description or "",
        "tags": entry.tags,
        "entrypoint": entry.entrypoint,
        "pull_steps": [{"prefect.deployments.steps.set_working_directory": {"directory": directory}}],
        "parameters": entry.parameters,
        "parameter_openapi_schema": parameter_schema(flow).model_dump(exclude_unset=True),
        "enforce_parameter_schema": True,
        "work_pool_name": entry.work_pool,
        "job_variables": {**entry.variables, **({DECLARED: declared} if declared is not None else {})},
        "schedules": _schedules(entry),
        "concurrency_limit": entry.concurrency_limit,
    }


def _schedules(entry: DeploymentEntry) -> list[DeploymentScheduleCreate]:
    if entry.schedule is None:
        return []
    return [DeploymentScheduleCreate(schedule=entry.schedule.as_prefect(), active=entry.schedule.active)]


def _stored(deployment: DeploymentResponse) -> dict[str, Any]:
    """A deployment on the server in the words of `create_deployment`."""
    limit = deployment.global_concurrency_limit
    return {
        **deployment.model_dump(mode="json"),
        "schedules": [_schedule(schedule) for schedule in deployment.schedules],
        "concurrency_limit": limit.limit if limit is not None else None,
    }


def _schedule(schedule: DeploymentSchedule | DeploymentScheduleCreate) -> dict[str, Any]:
    return {"active": schedule.active, **schedule.schedule.model_dump(mode="json")}


async def _check_job(
    client: PrefectClient, entry: DeploymentEntry, project: Project, infrastructure: Infrastructure
) -> None:
    """Refuse what the gate would refuse of every run; Prefect ignores a job variable that it does not know."""
    pools = {CARBON_POOL, *await _site_pools(client, project)}
    known = [await variables_of_pool(client, pool, project, infrastructure) for pool in sorted(pools)]
    check_names(entry.variables, frozenset().union(*known), f"{entry.where}.job_variables")
    try:
        resolve({DEPLOYMENT: policy_part(entry.variables)})
    except InvalidInputError as error:
        raise InvalidInputError(f"{entry.where}.job_variables: {project.secrets.mask(str(error))}") from None


async def _site_pools(client: PrefectClient, project: Project) -> Collection[str]:
    slug = CarbonSite.get_block_type_slug()
    in_files = [block.data.get("work_pool") for block in project.blocks if block.type == slug]
    try:
        on_server = [
            document.data.get("work_pool") for document in await client.read_block_documents_by_type(slug)
        ]
    except PrefectHTTPStatusError as error:
        if error.response.status_code != _NOT_FOUND:
            raise
        on_server = []  # No site was ever saved here: the block type itself is unknown.
    return {str(pool) for pool in [*in_files, *on_server] if pool}
