"""The base job template of the `carbon` pool: it starts the gate instead of the user's flow."""

from __future__ import annotations

import inspect
import re
from typing import Any

from carbon_policy.domain.job import JobSpec
from carbon_policy.orchestration.names import DEFAULT_POLICY_BLOCK, POLICY_BLOCK
from carbon_policy.orchestration.process_command import process_command

# Without the gate Prefect's engine is asked for it all the same: it fails too, but says so in the run's own log.
GATE_COMMAND = process_command(
    '"$python" -c "import carbon_policy.orchestration" && exec "$python" -m carbon_policy.orchestration.gate; '
    "export PREFECT__FLOW_ENTRYPOINT=carbon_policy.orchestration.gate.gate; "
    'exec "$python" -m prefect.engine'
)
"""What a worker of the pool starts for every run."""

# What a process worker offers and a gate can use; the rest is for the job, on its site.
_KEPT = ("env", "working_dir", "stream_output")

_ATTRIBUTE = re.compile(r"^    (\w+): (.+)$", re.MULTILINE)

_EXAMPLES_BY_FORMAT = {"duration": ["45m", "1h30m", "PT45M"], "date-time": ["2026-11-22T06:00:00Z"]}
_EXAMPLES_BY_NAME: dict[str, list[Any]] = {
    "allowed_hours": ["22:00-06:00"],
    "timezone": ["Europe/Berlin"],
    "allowed_zones": ["DE, FR", ["DE", "FR"]],
    "allowed_sites": ["eco", ["fast", "eco"]],
}


def gate_template(process: dict[str, Any]) -> dict[str, Any]:
    """The gate's template.

    Variables for the chosen site's pool pass through the gate, so unknown ones are not refused.

    Args:
        process: The template of a process pool.
    """
    offered = process["variables"]["properties"]
    return {
        "job_configuration": {
            "command": GATE_COMMAND,
            **{name: process["job_configuration"][name] for name in _KEPT},
        },
        "variables": {
            "type": "object",
            "properties": {**policy_variables(), **{name: offered[name] for name in _KEPT}},
        },
    }


def policy_variables() -> dict[str, dict[str, Any]]:
    """A JSON schema for each thing that may be said of a job in job variables, as a form shows it.

    None has a default: a value filled in here would hide what the decorator and the policy block say.
    """
    described = dict(_ATTRIBUTE.findall(inspect.getdoc(JobSpec) or ""))
    schema = JobSpec.model_json_schema()
    fields = {
        name: _form_field(name, described.get(name, ""), field, schema["$defs"])
        for name, field in schema["properties"].items()
    }
    fields[POLICY_BLOCK] = {
        "title": "Policy block",
        "description": f"The Carbon Policy block to decide by. Unset: the settings', else {DEFAULT_POLICY_BLOCK}.",
        "type": "string",
        "examples": [DEFAULT_POLICY_BLOCK],
    }
    return fields


def _form_field(
    name: str, description: str, field: dict[str, Any], definitions: dict[str, Any]
) -> dict[str, Any]:
    kind = next((kind for kind in field.get("anyOf", ()) if kind.get("type") != "null"), field)
    if "$ref" in kind:
        kind = definitions[kind["$ref"].rpartition("/")[2]]
    form = {
        "title": name.replace("_", " ").capitalize(),
        "description": f"{description} Unset: the decorator's, else the policy block's{_last_resort(field)}.",
        # Not the format: Prefect would hold `45m` against ISO 8601.
        **{key: kind[key] for key in ("type", "enum", "minimum", "maximum") if key in kind},
    }
    if kind["type"] == "array":
        del form["type"]
        # A command line gives text.
        form["anyOf"] = [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]
    examples = _EXAMPLES_BY_NAME.get(name) or _EXAMPLES_BY_FORMAT.get(kind.get("format", ""))
    return {**form, "examples": examples} if examples else form


def _last_resort(field: dict[str, Any]) -> str:
    default = field.get("default")
    if default is None or default == []:
        return ""
    return f", else {str(default).lower() if isinstance(default, bool) else default}"
