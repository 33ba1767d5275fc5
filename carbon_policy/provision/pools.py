"""Work pools: what the files make of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.objects import WorkPool
from prefect.exceptions import ObjectNotFound

from carbon_policy.domain.errors import SetupError
from carbon_policy.orchestration.directory import pool_variables, starts_gate
from carbon_policy.orchestration.names import WORKER_TYPE
from carbon_policy.provision.files import GATE_TYPES, Infrastructure, Template, WorkPoolEntry
from carbon_policy.provision.plan import Kind, Step, compared
from carbon_policy.provision.project import Project
from carbon_policy.provision.templates import base_job_template

_FIELDS = {"description": "description", "concurrency_limit": "concurrency_limit", "paused": "is_paused"}


async def plan_pool(
    client: PrefectClient, entry: WorkPoolEntry, project: Project, infrastructure: Infrastructure
) -> Step:
    """The step that makes a work pool what the files say.

    Args:
        client: A client of the server.
        entry: What the files say.
        project: All that the files say.
        infrastructure: The form in which a pool with several forms is made.

    Raises:
        SetupError: The pool exists with another type, or its worker is not installed.
    """
    worker_type, template = entry.form(infrastructure)
    existing = await read_pool(client, entry.name)
    by_hand: tuple[str, ...] = ()
    if existing is not None and existing.type != worker_type:
        by_hand = how_to_move(existing, worker_type, template)
    if existing is not None and existing.type != worker_type and not by_hand:
        other = (
            f", or apply with --infrastructure {existing.type}" if existing.type in entry.templates else ""
        )
        raise SetupError(
            f"{entry.where}: work pool {entry.name!r} exists with type {existing.type!r}, and a pool cannot become"
            f" {worker_type!r}. Delete it (prefect work-pool delete {entry.name}){other}."
        )
    wanted: dict[str, Any] = {
        field: getattr(entry, name) for name, field in _FIELDS.items() if name in entry.model_fields_set
    }
    wanted["base_job_template"] = base_job_template(worker_type, template)

    async def make() -> None:
        if existing is None:
            await client.create_work_pool(WorkPoolCreate(name=entry.name, type=worker_type, **wanted))
        else:
            await client.update_work_pool(entry.name, WorkPoolUpdate(**wanted))

    old = existing.model_dump(mode="json") if existing is not None else None
    change = compared(Kind.WORK_POOL, entry.name, old, wanted, project.secrets)
    return Step(replace(change, by_hand=by_hand), make)


def how_to_move(pool: WorkPool, worker_type: str, template: Template) -> tuple[str, ...]:
    """How people get a pool from one worker that places runs to the other, a line each.

    No pool can change its type, and this one need not: both have one base job template, and a worker of either type
    serves either pool.

    Args:
        pool: As it is on the server.
        worker_type: The type that the files say.
        template: The template that the files say.

    Returns:
        Nothing where either of the two types places no runs: then it is another pool altogether.
    """
    places = worker_type == WORKER_TYPE or (worker_type in GATE_TYPES and template.base == "gate")
    if not (places and starts_gate(pool) and pool.type in GATE_TYPES):
        return ()
    start = f"  prefect worker start --pool {pool.name} --type {worker_type}"
    lines = [
        f"Work pool {pool.name} is of type {pool.type}, and the files say {worker_type}. A pool keeps its type for"
        f" good, but a {worker_type} worker can serve this one as it is, and nothing is lost:",
    ]
    if worker_type == WORKER_TYPE:
        return (
            *lines,
            f"  stop its {pool.type} workers, and then",
            start,
            "  Runs that wait stay where they are and keep their times. Runs that were placed end as before; let those"
            " with the job variable wait end first, with the pool paused, as their gates go with the worker.",
        )
    return (
        *lines,
        f"  prefect work-pool pause {pool.name}",
        f"  when none of its runs is Running any more, stop its {pool.type} workers, and then",
        start,
        f"  prefect work-pool resume {pool.name}",
        "  Runs that wait stay where they are and keep their times. A run whose job is still under way when the last"
        f" {pool.type} worker stops, stays Running until carbon-policy overdue --fix finds it.",
    )


async def forms_in_use(client: PrefectClient, project: Project) -> set[Infrastructure]:
    """The forms in which the pools that have several are on the server already."""
    existing = [await read_pool(client, entry.name) for entry in project.work_pools if entry.templates]
    return {
        Infrastructure(pool.type)
        for pool in existing
        if pool is not None and pool.type in set(Infrastructure)
    }


async def read_pool(client: PrefectClient, name: str) -> WorkPool | None:
    """The pool on the server, or `None`."""
    try:
        return await client.read_work_pool(name)
    except ObjectNotFound:
        return None


async def pool_exists(client: PrefectClient, name: str, project: Project) -> bool:
    """Whether the pool is in the files or on the server."""
    return any(pool.name == name for pool in project.work_pools) or await read_pool(client, name) is not None


async def variables_of_pool(
    client: PrefectClient, name: str, project: Project, infrastructure: Infrastructure
) -> dict[str, Any]:
    """The job variables that a pool knows, with their schemas, as the files make it or else as it is on the server."""
    for entry in project.work_pools:
        if entry.name == name:
            template = base_job_template(*entry.form(infrastructure))
            return dict(template.get("variables", {}).get("properties", {}))
    existing = await read_pool(client, name)
    return dict(pool_variables(existing)) if existing is not None else {}


async def type_of_pool(
    client: PrefectClient, name: str, project: Project, infrastructure: Infrastructure
) -> str | None:
    """The worker type of a pool, as the files make it or else as it is on the server; `None` where there is no such."""
    for entry in project.work_pools:
        if entry.name == name:
            return entry.form(infrastructure)[0]
    existing = await read_pool(client, name)
    return existing.type if existing is not None else None
