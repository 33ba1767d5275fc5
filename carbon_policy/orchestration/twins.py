"""Twins: the deployments of a user's flow on the sites' pools, made and kept in step.

A flow run can never change its work pool, so a deployment that is placed by carbon-policy needs one deployment
of the same flow for each site. They are made when first needed, never scheduled, and tagged.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import WorkPool
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound

from carbon_policy.domain.site import Site
from carbon_policy.orchestration.directory import pool_variables
from carbon_policy.orchestration.names import PLACED, TAG_TWIN, twin_name
from carbon_policy.orchestration.refusals import refused_input
from carbon_policy.orchestration.variables import infrastructure_part


def ensure_twin(
    client: SyncPrefectClient, deployment: DeploymentResponse, flow_name: str, site: Site, pool: WorkPool
) -> UUID:
    """The twin of a deployment on a site, made or brought into step; nothing is written where it is in step.

    Args:
        client: A client of the server.
        deployment: The user's deployment.
        flow_name: Name of its flow.
        site: Where the twin is to run.
        pool: The site's work pool.

    Returns:
        The twin's id.

    Raises:
        InvalidInputError: The pool refuses a job variable, such as one above its cap; the message is the server's.
    """
    wanted = twin_fields(deployment, site, pool)
    name = twin_name(deployment.name, site.name)
    try:
        twin = client.read_deployment_by_name(f"{flow_name}/{name}")
    except ObjectNotFound:
        twin = None
    if twin is not None and not twin.schedules and not twin.paused and _in_step(twin, wanted):
        return twin.id
    with refused_input(f"Work pool {pool.name} refuses the job variables of {flow_name}/{deployment.name}"):
        return client.create_deployment(
            flow_id=deployment.flow_id, name=name, schedules=[], paused=False, **wanted
        )


def twin_fields(deployment: DeploymentResponse, site: Site, pool: WorkPool) -> dict[str, Any]:
    """What a twin must be, as arguments of `create_deployment`. Pure."""
    known = pool_variables(pool)
    variables = {
        name: value
        for name, value in infrastructure_part(deployment.job_variables).items()
        if name.split(".", 1)[0] in known
    }
    return {
        "work_pool_name": pool.name,
        "version": deployment.version,
        "parameters": dict(deployment.parameters or {}),
        "description": f"The twin of {deployment.name} on {site.name}, kept in step by carbon-policy; edits are lost.",
        "tags": sorted({*deployment.tags, TAG_TWIN}),
        "path": deployment.path,
        "entrypoint": deployment.entrypoint,
        "pull_steps": deployment.pull_steps,
        "parameter_openapi_schema": deployment.parameter_openapi_schema,
        "enforce_parameter_schema": deployment.enforce_parameter_schema,
        "concurrency_limit": _concurrency_limit(deployment),
        "concurrency_options": deployment.concurrency_options,
        # A run of the twin is where it should be: nobody decides about it again.
        "job_variables": {**variables, PLACED: site.name},
    }


def _concurrency_limit(deployment: DeploymentResponse) -> int | None:
    limit = deployment.global_concurrency_limit
    return limit.limit if limit is not None else None


def _in_step(twin: DeploymentResponse, wanted: dict[str, Any]) -> bool:
    # The response's own `concurrency_limit` is deprecated, and warns.
    found = {
        "concurrency_limit": _concurrency_limit(twin),
        "tags": sorted(twin.tags),
        "parameters": dict(twin.parameters or {}),
    }
    return all(
        (found[name] if name in found else getattr(twin, name, None)) == value
        for name, value in wanted.items()
    )
