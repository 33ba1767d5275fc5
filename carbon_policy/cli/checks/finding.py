"""What a check found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        level: How bad it is.
        what: What was looked at.
        says: What was found.
        mend: What to do about it; empty where there is nothing to do.
    """

    level: Level
    what: str
    says: str
    mend: str = ""


def guarded(what: str, check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """What a check finds; that it breaks is a finding too, and keeps no other check from being made."""
    try:
        yield from check()
    except Exception as error:
        yield Finding(Level.FAIL, what, str(error) or type(error).__name__)
