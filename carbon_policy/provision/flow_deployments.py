"""Deployments: what the files make of them, as `prefect deploy` would."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
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
from carbon_policy.provision.plan import Action, Change, Kind, Step, compared
from carbon_policy.provision.pools import pool_exists, type_of_pool, variables_of_pool
from carbon_policy.provision.project import Project

_NOT_FOUND = 404
_IN_CONTAINERS = "docker"
"""The type of pools whose jobs see no folder of the machine."""


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
    change = compared(Kind.DEPLOYMENT, name, old, wanted, project.secrets)
    lacking = await _pools_without_its_code(client, entry, fields, project, infrastructure)
    return Step(replace(change, lacking=lacking), make)


def warnings_of_folders(changes: Sequence[Change], project: Project, *, applied: bool) -> tuple[str, ...]:
    """What to do about deployments whose code lies in a folder of this machine, and whose jobs run in containers.

    Args:
        changes: Of pools and deployments.
        project: What the files say.
        applied: Whether the changes were made.

    Returns:
        A line each; nothing where there are no such deployments.
    """
    lacking = [change for change in changes if change.lacking]
    if not lacking:
        return ()
    root, pools = (
        project.root.resolve(),
        list(dict.fromkeys(pool for change in lacking for pool in change.lacking)),
    )
    names, where = ", ".join(change.name for change in lacking), ", ".join(pools)
    there = [
        change.name
        for change in changes
        if change.kind is Kind.WORK_POOL and (applied or change.action is not Action.CREATE)
    ]
    both = [pool.name for pool in project.work_pools if Infrastructure.PROCESS in pool.templates]
    lines = [
        f"The code of {names} is in {root}, a folder of this machine. Jobs on {where} run in containers, which have"
        " no such folder: they will crash. Do one of these, and apply again:",
    ]
    if set(pools) <= set(both):
        # A pool keeps its type for good.
        gone = [pool for pool in pools if pool in there]
        first = f"stop the workers of {', '.join(gone)}, and then " if gone else ""
        deletes = "".join(f"prefect work-pool delete {pool} && " for pool in gone)
        lines.append(
            f"  run jobs as processes: {first}{deletes}carbon-policy apply --infrastructure {Infrastructure.PROCESS}"
        )
    return (
        *lines,
        f'  lend containers the folder, if their workers are on this machine: volumes: ["{root}:{root}:ro"] in the'
        " job_variables of the deployment; what the code imports must be in the image",
        "  bring an image with the code in it: image, and directory for where it lies there, in the deployment",
    )


async def _pools_without_its_code(
    client: PrefectClient,
    entry: DeploymentEntry,
    fields: dict[str, Any],
    project: Project,
    infrastructure: Infrastructure,
) -> tuple[str, ...]:
    """The pools on which a deployment's jobs may run, in containers that have not the folder of this machine."""
    root = str(project.root.resolve())
    if fields["pull_steps"] != _pull_steps(root):
        return ()  # Its code is elsewhere, and we are told where.
    placed = entry.work_pool == CARBON_POOL or DECLARED in fields["job_variables"]
    found = []
    for pool in dict.fromkeys(
        [entry.work_pool, *(sorted(await _site_pools(client, project)) if placed else ())]
    ):
        if await type_of_pool(client, pool, project, infrastructure) != _IN_CONTAINERS:
            continue
        default = (
            (await variables_of_pool(client, pool, project, infrastructure)).get("volumes", {}).get("default")
        )
        if not _is_mounted(root, entry.variables.get("volumes", default)):
            found.append(pool)
    return tuple(found)


def _is_mounted(folder: str, volumes: Any) -> bool:
    """Whether one of Docker's volumes, `here:there` or `here:there:ro`, puts something where the folder is."""
    parts = [str(volume).split(":") for volume in (volumes if isinstance(volumes, list) else [])]
    return any(len(part) > 1 and PurePosixPath(folder).is_relative_to(part[1]) for part in parts)


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
    return flow.name, {
        "version": flow.version,
        # The server would keep no description as the text `None`.
        "description": entry.description or flow.description or "",
        "tags": entry.tags,
        "entrypoint": entry.entrypoint,
        "pull_steps": _pull_steps(_directory(entry, project.root)),
        "parameters": entry.parameters,
        "parameter_openapi_schema": parameter_schema(flow).model_dump(exclude_unset=True),
        "enforce_parameter_schema": True,
        "work_pool_name": entry.work_pool,
        "job_variables": {**entry.variables, **({DECLARED: declared} if declared is not None else {})},
        "schedules": _schedules(entry),
        "concurrency_limit": entry.concurrency_limit,
    }


def _directory(entry: DeploymentEntry, root: Path) -> str | None:
    """Where a job's process begins; `None` for a module that is installed, which needs no folder."""
    if entry.directory or ":" in entry.entrypoint:
        return entry.directory or str(root.resolve())
    package = entry.entrypoint.partition(".")[0]
    ours = (root / package).exists() or (root / f"{package}.py").exists()
    return str(root.resolve()) if ours else None


def _pull_steps(directory: str | None) -> list[dict[str, Any]]:
    if directory is None:
        return []
    return [{"prefect.deployments.steps.set_working_directory": {"directory": directory}}]


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
    known = [
        frozenset(await variables_of_pool(client, pool, project, infrastructure)) for pool in sorted(pools)
    ]
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
