"""Base job templates: what a worker type offers, merged with what a team says of its pool."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from prefect.workers.base import BaseWorker

from carbon_policy.domain.errors import SetupError
from carbon_policy.orchestration.gate_template import gate_template
from carbon_policy.orchestration.process_command import process_command
from carbon_policy.provision.files import Template

_PACKAGES = {"docker": "prefect-carbon-policy[docker]", "kubernetes": "prefect-kubernetes"}


def base_job_template(worker_type: str, template: Template) -> dict[str, Any]:
    """The base job template of a work pool.

    Args:
        worker_type: The pool's type.
        template: What the files say of it.

    Raises:
        SetupError: No worker of this type is installed.
    """
    made = worker_template(worker_type)
    if template.base == "gate":
        made = gate_template(made)
    if template.command:
        # The variable of that name would be offered in the UI, and ignored.
        made["job_configuration"]["command"] = process_command(template.command)
        made["variables"]["properties"].pop("command", None)
    changes = {"job_configuration": template.job_configuration, "variables": template.variables}
    return dict(merge_patch(made, changes))


def worker_template(worker_type: str) -> dict[str, Any]:
    """The template that Prefect itself gives to a pool of this type.

    Raises:
        SetupError: No worker of this type is installed.
    """
    worker = BaseWorker.get_worker_class_from_type(worker_type)
    if worker is None:
        package = _PACKAGES.get(worker_type)
        remedy = (
            f"run pip install '{package}'" if package else "install the Prefect integration that brings them"
        )
        raise SetupError(f"Work pools of type {worker_type!r} are not known here; {remedy}.")
    return deepcopy(worker.get_default_base_job_template())


def merge_patch(target: Any, patch: Any) -> Any:
    """`target` changed by `patch`: mappings are merged, `None` takes a key away, all else replaces (RFC 7386)."""
    if not isinstance(patch, Mapping):
        return deepcopy(patch)
    merged = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged
