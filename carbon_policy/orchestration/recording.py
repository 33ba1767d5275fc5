"""Recording a decorator's arguments with the deployment, whichever way it is deployed.

`prefect deploy`, `flow.deploy()`, `prefect.deploy()` and `carbon-policy apply` all build a `RunnerDeployment`, let it
take its defaults from the flow, and apply it. Those two steps are extended here: at the first the flow object and the
deployment are in one place, and only at the second is the work pool known for certain. The gate then reads the
arguments from the server, without importing the user's code. tests/contract/test_recording.py holds each way against
a real server.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from prefect.deployments.runner import RunnerDeployment

from carbon_policy.orchestration.names import DECLARED

DECLARED_ATTRIBUTE = "carbon_declared"
"""Attribute of a decorated flow: what its decorator said, as plain JSON."""


_HELD = "_carbon_declared"


def install() -> None:
    """Extend `RunnerDeployment`; a second call changes nothing."""
    if hasattr(RunnerDeployment, "_carbon_policy_records"):
        return
    RunnerDeployment._carbon_policy_records = True  # type: ignore[attr-defined]
    _extend("_set_defaults_from_flow", _hold)
    _extend("apply", _record)
    _extend("aapply", _record)


def _extend(name: str, first: Callable[..., None]) -> None:
    """Make a method of `RunnerDeployment` do something first, with the same arguments."""
    original = getattr(RunnerDeployment, name)

    @functools.wraps(original)
    def extended(self: RunnerDeployment, *args: Any, **kwargs: Any) -> Any:
        first(self, *args, **kwargs)
        return original(self, *args, **kwargs)

    setattr(RunnerDeployment, name, extended)


def _hold(deployment: RunnerDeployment, flow: Any) -> None:
    declared = getattr(flow, DECLARED_ATTRIBUTE, None)
    if declared is not None:
        object.__setattr__(deployment, _HELD, dict(declared))


def _record(deployment: RunnerDeployment, *_: Any, work_pool_name: str | None = None, **__: Any) -> None:
    declared = getattr(deployment, _HELD, None)
    # A served deployment has no pool and may hold no job variables; its process has the decorator itself.
    if declared is not None and (work_pool_name or deployment.work_pool_name):
        deployment.job_variables = {**(deployment.job_variables or {}), DECLARED: declared}
