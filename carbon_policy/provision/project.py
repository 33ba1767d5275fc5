"""A project's files, read as one: YAML, references to the environment, and errors that name the place."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import ValidationError

from carbon_policy.domain.errors import CarbonPolicyError, InvalidInputError, SetupError
from carbon_policy.provision.files import (
    BlockEntry,
    DeploymentEntry,
    Entry,
    KeyPath,
    ProjectFile,
    WorkPoolEntry,
    dotted,
)
from carbon_policy.provision.interpolation import Secrets

FOLDERS = ("deployments", "blocks")

E = TypeVar("E", bound=Entry)


@dataclass(frozen=True)
class Project:
    """What the files say.

    Attributes:
        root: The project's folder.
        work_pools: In the order of the files.
        blocks: In the order of the files.
        deployments: In the order of the files.
        secrets: What must not be shown.
    """

    root: Path
    work_pools: tuple[WorkPoolEntry, ...]
    blocks: tuple[BlockEntry, ...]
    deployments: tuple[DeploymentEntry, ...]
    secrets: Secrets = field(repr=False)


def read_project(root: Path, environment: Mapping[str, str] = os.environ) -> Project:
    """Read `deployments/*.yaml` and `blocks/*.yaml`.

    Args:
        root: The project's folder.
        environment: What `${NAME}` is looked up in.

    Raises:
        SetupError: There are no such files.
        InvalidInputError: A file cannot be read; the message names it, the path in it, and what to change.
    """
    paths = [path for folder in FOLDERS for path in sorted((root / folder).glob("*.y*ml"))]
    if not paths:
        raise SetupError(
            f"There is nothing to apply in {root}: neither blocks/*.yaml nor deployments/*.yaml."
            " Write the starter files with carbon-policy init."
        )
    secrets = Secrets(environment)
    files = [(path.relative_to(root).as_posix(), _read_file(path, root, secrets)) for path in paths]
    pools = _located("work_pools", [(name, file.work_pools) for name, file in files])
    blocks = _located("blocks", [(name, file.blocks) for name, file in files])
    deployments = _located("deployments", [(name, file.deployments) for name, file in files])
    _refuse_doubles((pool.name, pool) for pool in pools)
    _refuse_doubles((block.reference, block) for block in blocks)
    _refuse_doubles((f"{item.entrypoint} as {item.name}", item) for item in deployments)
    return Project(root, pools, blocks, deployments, secrets)


def refused(error: ValidationError, secrets: Secrets, file: str, path: KeyPath = ()) -> InvalidInputError:
    """A refusal by pydantic as ours: with the place of each problem, without the values, which may be secret.

    Args:
        error: What pydantic says.
        secrets: What must not be shown.
        file: The file that is refused.
        path: The place in it from which pydantic's own paths go on.
    """
    lines = []
    for problem in error.errors():
        cause = problem.get("ctx", {}).get("error")
        message = str(cause) if isinstance(cause, CarbonPolicyError) else f"{problem['msg']}."
        place = dotted((*path, *problem["loc"]))
        lines.append(": ".join(part for part in (file, place, secrets.mask(message)) if part))
    return InvalidInputError("\n".join(lines))


def _read_file(path: Path, root: Path, secrets: Secrets) -> ProjectFile:
    name = path.relative_to(root).as_posix()
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), _Yaml12)  # noqa: S506  A SafeLoader.
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{name}: this is not YAML: {error}") from error
    if not isinstance(data, dict):
        raise InvalidInputError(
            f"{name}: a file holds the lists {', '.join(ProjectFile.model_fields)}; write one of them."
        )
    try:
        return ProjectFile.model_validate(
            {key: secrets.resolve(item, f"{name}: {key}") for key, item in data.items()}
        )
    except ValidationError as error:
        # Not `from error`: pydantic's text holds the values.
        raise refused(error, secrets, name) from None


def _located(key: str, lists: Iterable[tuple[str, list[E]]]) -> tuple[E, ...]:
    return tuple(
        entry.located(file, (key, index)) for file, entries in lists for index, entry in enumerate(entries)
    )


def _refuse_doubles(entries: Iterable[tuple[str, Entry]]) -> None:
    seen: dict[str, str] = {}
    for name, entry in entries:
        if name in seen:
            raise InvalidInputError(f"{entry.where}: {name} is in {seen[name]} too; keep one of them.")
        seen[name] = entry.where


class _Yaml12(yaml.SafeLoader):
    """YAML with the plain scalars of version 1.2: `mode: off` and `zone: NO` are text, and so are dates."""


_Yaml12.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in resolvers
        if tag not in ("tag:yaml.org,2002:bool", "tag:yaml.org,2002:timestamp")
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Yaml12.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile("^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
