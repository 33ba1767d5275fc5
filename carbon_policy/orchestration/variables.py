"""Job variables: which speak to the policy, which to the infrastructure, and which to nobody."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import DeploymentResponse

from carbon_policy.domain.errors import InvalidInputError
from carbon_policy.domain.job import Urgency
from carbon_policy.domain.precedence import (
    DECORATOR,
    DEPLOYMENT,
    POLICY_BLOCK,
    RUN,
    SETTINGS,
    ResolvedSpec,
    resolve,
    unknown_name,
)
from carbon_policy.orchestration.blocks import CarbonPolicy
from carbon_policy.orchestration.names import (
    DECLARED,
    OWN_VARIABLES,
    POLICY_VARIABLES,
)
from carbon_policy.orchestration.names import (
    POLICY_BLOCK as POLICY_BLOCK_VARIABLE,
)
from carbon_policy.orchestration.settings import CarbonSettings


def policy_part(variables: Mapping[str, Any] | None) -> dict[str, Any]:
    """The variables that say something of the job itself."""
    return {
        name: value
        for name, value in (variables or {}).items()
        if name in POLICY_VARIABLES and name != POLICY_BLOCK_VARIABLE
    }


def infrastructure_part(variables: Mapping[str, Any] | None) -> dict[str, Any]:
    """The variables that are meant for a work pool."""
    return {
        name: value
        for name, value in (variables or {}).items()
        if name not in POLICY_VARIABLES and name not in OWN_VARIABLES
    }


def check_names(variables: Mapping[str, Any] | None, known_to_pools: Iterable[str], where: str) -> None:
    """Refuse a variable that neither the policy nor any site's pool knows; Prefect itself would ignore it.

    Raises:
        InvalidInputError: With the nearest name that is known.
    """
    known = POLICY_VARIABLES | OWN_VARIABLES | set(known_to_pools)
    for name in variables or {}:
        # "env.KEY" overrides one key of a variable.
        if name.split(".", 1)[0] not in known:
            raise unknown_name(name, known - OWN_VARIABLES, where)


def policy_block_name(
    run: FlowRun | None, deployment: DeploymentResponse | None, settings: CarbonSettings
) -> str:
    """The policy block to decide by: the run's, the deployment's, or the settings'."""
    for variables in (
        run.job_variables if run else None,
        deployment.job_variables if deployment else None,
    ):
        name = (variables or {}).get(POLICY_BLOCK_VARIABLE)
        if name is not None:
            return str(name)
    return settings.policy_block


def resolve_spec(
    run_variables: Mapping[str, Any] | None,
    deployment_variables: Mapping[str, Any] | None,
    declared: Mapping[str, Any] | None,
    policy: CarbonPolicy | None,
    settings: CarbonSettings,
) -> ResolvedSpec:
    """Settle what is said of a job from every layer.

    Args:
        run_variables: The run's job variables.
        deployment_variables: The deployment's; may hold what a decorator declared.
        declared: The decorator's arguments where the decorator itself is asking.
        policy: The policy block, if there is one.
        settings: The machine's settings.

    Raises:
        InvalidInputError: A value was refused; the message names its layer.
    """
    recorded = (deployment_variables or {}).get(DECLARED) or {}
    if not isinstance(recorded, Mapping):
        raise InvalidInputError(
            f"The deployment's job variable {DECLARED!r} is not what carbon-policy recorded there."
        )
    layers: dict[str, dict[str, Any]] = {
        RUN: policy_part(run_variables),
        DEPLOYMENT: policy_part(deployment_variables),
        DECORATOR: dict(declared if declared is not None else recorded),
        POLICY_BLOCK: policy.as_layer() if policy else {},
        SETTINGS: settings.as_layer(),
    }
    resolved = resolve(layers)
    flexible_window = policy.flexible_finish_within if policy else None
    if resolved.spec.urgency is Urgency.FLEXIBLE and not resolved.spec.has_window and flexible_window:
        # Flexible says that it may wait, and not how long; the team's answer is in the block.
        layers[POLICY_BLOCK] |= {"finish_within": max(flexible_window, resolved.spec.duration)}
        resolved = resolve(layers)
    return resolved
