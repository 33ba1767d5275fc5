"""What an apply changes, as data: made before anything is touched, and the same for a dry run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from carbon_policy.provision.interpolation import MASK, Secrets

# Environment variables are where tokens are put, and an old one is known to no file.
_ENVIRONMENT = frozenset({"env"})


class Action(StrEnum):
    """What becomes of one object on the server."""

    CREATE = "create"
    UPDATE = "update"
    UNCHANGED = "unchanged"


class Kind(StrEnum):
    """What the object is."""

    WORK_POOL = "work pool"
    BLOCK = "block"
    DEPLOYMENT = "deployment"


@dataclass(frozen=True)
class FieldChange:
    """One value that changes, fit to be shown: what came from the environment and what a block keeps secret is masked.

    Attributes:
        name: Where it is, with dots: `base_job_template.variables.properties.nano_cpus.default`.
        old: The value on the server; `None` where there is none.
        new: The value in the files.
    """

    name: str
    old: Any
    new: Any


@dataclass(frozen=True)
class Change:
    """What becomes of one object.

    Attributes:
        kind: What it is.
        name: A pool's name, a block's `type/name`, a deployment's `flow/name`.
        action: What is done.
        fields: What changes; empty unless it is an update.
        by_hand: What the files ask for and only people can do, a line each; empty where there is nothing.
        lacking: Work pools whose containers have no such folder as the one with a deployment's code.
    """

    kind: Kind
    name: str
    action: Action
    fields: tuple[FieldChange, ...] = ()
    by_hand: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What an apply changed, or would.

    Attributes:
        changes: In the order in which they are made: pools, blocks, deployments.
        infrastructure: The form in which pools are made, `docker` or `process`.
        why: Why it is that one, as a sentence.
        applied: Whether the changes were made; not so in a dry run.
        warnings: What will not work as it is, and what to do about it, a line each.
    """

    changes: tuple[Change, ...]
    infrastructure: str
    why: str
    applied: bool
    warnings: tuple[str, ...] = ()

    @property
    def pending(self) -> tuple[Change, ...]:
        """The changes that change something."""
        return tuple(change for change in self.changes if change.action is not Action.UNCHANGED)


@dataclass(frozen=True)
class Step:
    """A change, and how it is made.

    Attributes:
        change: What is shown.
        make: Makes it; calling it twice is harmless.
    """

    change: Change
    make: Callable[[], Awaitable[object]]


def compared(
    kind: Kind,
    name: str,
    old: Mapping[str, Any] | None,
    new: Mapping[str, Any],
    secrets: Secrets,
    secret_fields: frozenset[str] = frozenset(),
) -> Change:
    """The change that makes an object on the server what the files say.

    Args:
        kind: What it is.
        name: What it is called.
        old: The object's fields on the server, or `None` if there is no such object.
        new: The fields that the files set; others are left as they are.
        secrets: What must not be shown.
        secret_fields: Fields of which neither value is shown.
    """
    if old is None:
        return Change(kind, name, Action.CREATE)
    hidden = secret_fields | _ENVIRONMENT
    known = {field: old.get(field) for field in new}
    fields = tuple(_shown(field, secrets, hidden) for field in differences(known, new))
    return Change(kind, name, Action.UPDATE if fields else Action.UNCHANGED, fields)


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[FieldChange]:
    """The values that differ, each with the path to it; what only one side has differs from `None`."""
    found: list[FieldChange] = []
    for name in dict.fromkeys([*new, *old]):
        path, before, after = f"{prefix}{name}", old.get(name), new.get(name)
        if isinstance(before, dict) and isinstance(after, dict):
            found += differences(before, after, f"{path}.")
        elif before != after or (name in old) != (name in new):
            found.append(FieldChange(path, before, after))
    return found


def _shown(field: FieldChange, secrets: Secrets, hidden: frozenset[str]) -> FieldChange:
    if not hidden.isdisjoint(field.name.split(".")):
        return FieldChange(field.name, MASK, MASK)
    new = secrets.mask(field.new)
    # Where the new value is secret, the one that it replaces was.
    old = secrets.mask(field.old) if new == field.new else MASK
    return FieldChange(field.name, old, new)
