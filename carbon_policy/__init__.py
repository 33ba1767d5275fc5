"""Carbon-aware placement of AI jobs on Prefect: now on a fast pool, now on an eco pool, or later.

Importing this package costs next to nothing; a name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from carbon_policy.domain.decision import Action as Action
    from carbon_policy.domain.decision import Decision as Decision
    from carbon_policy.domain.decision import Evidence as Evidence
    from carbon_policy.domain.decision import ReasonCode as ReasonCode
    from carbon_policy.domain.errors import CarbonPolicyError as CarbonPolicyError
    from carbon_policy.domain.errors import InvalidInputError as InvalidInputError
    from carbon_policy.domain.job import JobSpec as JobSpec
    from carbon_policy.domain.job import Urgency as Urgency
    from carbon_policy.domain.signal import IntensitySeries as IntensitySeries
    from carbon_policy.domain.site import Site as Site
    from carbon_policy.orchestration.blocks import CarbonPolicy as CarbonPolicy
    from carbon_policy.orchestration.blocks import CarbonSite as CarbonSite
    from carbon_policy.orchestration.checkpoint import checkpoint as checkpoint
    from carbon_policy.orchestration.checkpoint import restore as restore
    from carbon_policy.orchestration.decorator import carbon_aware as carbon_aware
    from carbon_policy.policies import decide as decide

_HOME = {
    "Action": "domain.decision",
    "CarbonPolicy": "orchestration.blocks",
    "CarbonPolicyError": "domain.errors",
    "CarbonSite": "orchestration.blocks",
    "Decision": "domain.decision",
    "Evidence": "domain.decision",
    "IntensitySeries": "domain.signal",
    "InvalidInputError": "domain.errors",
    "JobSpec": "domain.job",
    "ReasonCode": "domain.decision",
    "Site": "domain.site",
    "Urgency": "domain.job",
    "carbon_aware": "orchestration.decorator",
    "checkpoint": "orchestration.checkpoint",
    "decide": "policies",
    "restore": "orchestration.checkpoint",
}

__all__ = [*sorted(_HOME), "__version__"]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    if name in _HOME:
        return getattr(import_module(f"carbon_policy.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__


def _version() -> str:
    # Costs as much as all the rest of a command's `--help`.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("prefect-carbon-policy")
    except PackageNotFoundError:  # A source tree that was never installed.
        return "0"
