#!/usr/bin/env python3
"""Fails when a Python file has outgrown its budget: a file this long has more than one job (`make check`)."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 400
TEST_LIMIT = 600

# Path -> (its own limit, the reason why it may be longer). A reason that no longer holds is reported too.
EXCEPTIONS: dict[str, tuple[int, str]] = {}

# What tools make, besides the folders whose name begins with a dot.
NOT_OURS = {"build", "dist", "wheelhouse", "demo-output", "artifacts"}


def budget(name: str) -> int:
    """The most lines that this file may have without an exception."""
    return TEST_LIMIT if name.startswith("tests/") else LIMIT


def problems() -> list[str]:
    """One line for each file over its budget, and for each exception that is not needed or gives no reason."""
    found = []
    sizes = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).parts
        if not any(part in NOT_OURS or part.startswith(".") for part in parts):
            sizes["/".join(parts)] = len(path.read_text(encoding="utf-8").splitlines())
    for name, lines in sizes.items():
        limit = EXCEPTIONS[name][0] if name in EXCEPTIONS else budget(name)
        if lines > limit:
            found.append(f"{name}: {lines} lines, {lines - limit} more than its budget of {limit}")
    for name, (_, reason) in EXCEPTIONS.items():
        if sizes.get(name, 0) <= budget(name):
            found.append(f"{name}: no longer needs its exception")
        elif not reason.strip():
            found.append(f"{name}: its exception gives no reason")
    return found


if __name__ == "__main__":
    lines = problems()
    print("\n".join(lines) or "file sizes: within budget")
    sys.exit(1 if lines else 0)
