"""`carbon-policy apply`: a project's files onto the server, as often as one likes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.exceptions import ObjectAlreadyExists, PrefectHTTPStatusError
from prefect.settings import get_current_settings

from carbon_policy.domain.errors import CarbonPolicyError, SetupError
from carbon_policy.provision.block_documents import plan_block
from carbon_policy.provision.files import Infrastructure
from carbon_policy.provision.flow_deployments import plan_deployment, warnings_of_folders
from carbon_policy.provision.infrastructure import choose_infrastructure
from carbon_policy.provision.interpolation import Secrets
from carbon_policy.provision.plan import Action, Plan, Step
from carbon_policy.provision.pools import forms_in_use, plan_pool
from carbon_policy.provision.project import Project, read_project

_HOW_TO_CONNECT = (
    "Start one with `prefect server start`, and point here with"
    " `prefect config set PREFECT_API_URL=http://127.0.0.1:4200/api`, or with the environment variable of that name."
)


async def apply(
    root: Path,
    infrastructure: Infrastructure | None = None,
    *,
    dry_run: bool = False,
    environment: Mapping[str, str] = os.environ,
) -> Plan:
    """Create or update the work pools, blocks and deployments of a project.

    Everything is read, checked and compared before anything is changed. What is in step is left alone, so applying
    again after a failure halfway finishes the work.

    Args:
        root: The project's folder, with `blocks/` and `deployments/`.
        infrastructure: The form of pools that have several; `None` for the one they have, else
            docker where an engine answers, else process.
        dry_run: Only find out what would change.
        environment: What `${NAME}` in the files is looked up in.

    Raises:
        InvalidInputError: A file is not right; the message names it, the path in it, and what to change.
        SetupError: The server cannot be reached, or a step failed; the message says which.
    """
    project = read_project(root, environment)
    if not get_current_settings().api.url:
        # Prefect would start a server of its own for as long as this runs, which would serve no worker.
        raise SetupError(f"No Prefect server is configured. {_HOW_TO_CONNECT}")
    async with get_client() as client:
        await _refuse_unreachable(client)
        form, why = choose_infrastructure(infrastructure, await forms_in_use(client, project))
        steps = await _plan(client, project, form)
        if not dry_run:
            for step in steps:
                await _make(step, project.secrets)
    changes = tuple(step.change for step in steps)
    warnings = warnings_of_folders(changes, project, applied=not dry_run)
    return Plan(changes, form.value, why, applied=not dry_run, warnings=warnings)


async def _plan(client: PrefectClient, project: Project, form: Infrastructure) -> list[Step]:
    """The steps in the order in which each finds what it needs."""
    try:
        return [
            *[await plan_pool(client, pool, project, form) for pool in project.work_pools],
            *[await plan_block(client, block, project) for block in project.blocks],
            *[await plan_deployment(client, deployment, project, form) for deployment in project.deployments],
        ]
    except httpx.HTTPError as error:
        raise SetupError(f"Nothing was changed; reading from the server failed: {_reason(error)}") from error


async def _make(step: Step, secrets: Secrets) -> None:
    change = step.change
    if change.action is Action.UNCHANGED:
        return
    try:
        await step.make()
    except CarbonPolicyError:
        raise
    except Exception as error:
        raise SetupError(
            f"Could not {change.action} {change.kind} {change.name}: {secrets.mask(_reason(error))}."
            " What comes before it is done; apply again to go on from here."
        ) from None  # Its text may hold what was sent, and so a secret.


def _reason(error: Exception) -> str:
    if isinstance(error, PrefectHTTPStatusError):
        try:
            return f"the server says {error.response.status_code}: {error.response.json()['detail']}"
        except (ValueError, KeyError, TypeError):
            return f"the server says {error.response.status_code}"
    if isinstance(error, ObjectAlreadyExists):
        return "somebody else has made it since it was looked for"
    return f"{type(error).__name__}: {error}"


async def _refuse_unreachable(client: PrefectClient) -> None:
    error = await client.api_healthcheck()
    if error is not None:
        raise SetupError(
            f"The Prefect server at {client.api_url} cannot be reached ({_reason(error)}). {_HOW_TO_CONNECT}"
        ) from error
