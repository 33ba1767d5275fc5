"""`carbon-policy init`: the starter files, which are this project's own root folders."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

STARTER = ("flows", "blocks", "deployments", "prefect.yaml")


class Outcome(StrEnum):
    """What became of one file."""

    WROTE = "wrote"
    REPLACED = "replaced"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class StarterFile:
    """One file of the starter.

    Attributes:
        path: Relative to the folder that was written to.
        outcome: What became of it; one that exists is skipped unless it was to be replaced.
    """

    path: Path
    outcome: Outcome


def starter_root() -> Traversable:
    """Where the starter files are: in the installed package, or in the repository that it is run from."""
    package = files("carbon_policy")
    shipped = package / "starter"
    return shipped if shipped.is_dir() else package / ".."


def write_starter(target: Path, *, force: bool = False) -> list[StarterFile]:
    """Write the starter files into a user's project.

    Args:
        target: The project's folder; made if need be.
        force: Replace files that exist and differ.
    """
    return [_write(source, target, path, force) for path, source in _starter_files()]


def _write(source: Traversable, target: Path, path: Path, force: bool) -> StarterFile:
    destination, content = target / path, source.read_bytes()
    exists = destination.exists()
    if exists and (not force or destination.read_bytes() == content):
        return StarterFile(path, Outcome.SKIPPED)
    destination.parent.mkdir(parents=True, exist_ok=True)
    destination.write_bytes(content)
    return StarterFile(path, Outcome.REPLACED if exists else Outcome.WROTE)


def _starter_files() -> Iterator[tuple[Path, Traversable]]:
    root = starter_root()
    for name in STARTER:
        yield from _below(Path(name), root / name)


def _below(path: Path, source: Traversable) -> Iterator[tuple[Path, Traversable]]:
    if source.is_file():
        yield path, source
    elif source.is_dir():
        for child in sorted(source.iterdir(), key=lambda item: item.name):
            # What Python and editors leave behind.
            if not child.name.startswith((".", "__pycache__")):
                yield from _below(path / child.name, child)
