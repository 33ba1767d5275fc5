"""One order in which settings win, resolved in one pure function that remembers where each came from."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from carbon_policy.domain.errors import CarbonPolicyError, InvalidInputError
from carbon_policy.domain.job import JobSpec

RUN, DEPLOYMENT, DECORATOR, POLICY_BLOCK, SETTINGS, DEFAULT = LAYERS = (
    "this run's job variables",
    "the deployment's job variables",
    "the decorator",
    "the policy block",
    "settings",
    "default",
)
"""The layers, the winning one first."""

# Two ways to say one thing: where a higher layer uses the one, a lower layer's other is dropped.
_SAME_THING = ({"start_within", "start_by"}, {"finish_within", "finish_by"})


class ResolvedSpec(BaseModel):
    """A job's settings and, for each, the layer that it came from.

    Attributes:
        spec: The settings.
        sources: Field of `spec` to one of `LAYERS`.
    """

    model_config = ConfigDict(frozen=True)

    spec: JobSpec
    sources: dict[str, str]


def setting_names() -> frozenset[str]:
    """Every name that a layer may set."""
    return frozenset(JobSpec.model_fields)


def unknown_name(name: str, known: Iterable[str], where: str) -> InvalidInputError:
    """The error for a name that nobody knows, with the nearest that somebody does."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    hint = f"Did you mean {close[0]!r}?" if close else f"Known: {', '.join(known)}."
    return InvalidInputError(f"{where} sets {name!r}, which is unknown. {hint}")


def resolve(layers: Mapping[str, Mapping[str, Any]]) -> ResolvedSpec:
    """Settle a job's settings from its layers.

    Args:
        layers: Name of a layer (one of `LAYERS`) to what it sets; `None` values count as not set.

    Raises:
        InvalidInputError: A name is unknown, or a value is refused; the message names the layer.
    """
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for layer in LAYERS:
        given = {name: value for name, value in layers.get(layer, {}).items() if value is not None}
        for name in given:
            if name not in JobSpec.model_fields:
                raise unknown_name(name, JobSpec.model_fields, layer.capitalize())
            rivals: set[str] = next((pair for pair in _SAME_THING if name in pair), {name})
            if all(rival not in sources or sources[rival] == layer for rival in rivals):
                values.setdefault(name, given[name])
                sources.setdefault(name, layer)
    try:
        spec = JobSpec(**values)
    except ValidationError as error:
        raise refusal(error, sources) from error
    return ResolvedSpec(
        spec=spec, sources={name: sources.get(name, DEFAULT) for name in JobSpec.model_fields}
    )


def refusal(
    error: ValidationError, sources: Mapping[str, str] | None = None, *, values: bool = True
) -> CarbonPolicyError:
    """A pydantic error as one that says what to change, and where the value came from.

    Args:
        error: The error.
        sources: Where each field came from.
        values: Whether to say what was given; not where it may be a secret.
    """
    lines = []
    for problem in error.errors():
        cause = problem.get("ctx", {}).get("error")
        name = ".".join(str(part) for part in problem["loc"])
        origin = (sources or {}).get(str(problem["loc"][0]) if problem["loc"] else "")
        where = f" ({origin})" if origin else ""
        if isinstance(cause, CarbonPolicyError):
            lines.append(f"{name}{where}: {cause}" if name else str(cause))
        else:
            given = f"; got {problem['input']!r}" if values else ""
            lines.append(f"{name}{where}: {problem['msg']}{given}.")
    return InvalidInputError(" ".join(lines))
