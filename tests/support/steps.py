"""Work in steps: each one's value hangs on all before it, so a lost or repeated one shows."""

from __future__ import annotations

import hashlib
from typing import Any

STEPS = 6
START: dict[str, Any] = {"step": 0, "digest": ""}


def after_step(state: dict[str, Any]) -> dict[str, Any]:
    """The state after one more step."""
    digest = hashlib.sha256(f"{state['digest']}{state['step']}".encode()).hexdigest()
    return {"step": state["step"] + 1, "digest": digest}


def outcome() -> str:
    """What a job that was never interrupted comes to."""
    state = START
    while state["step"] < STEPS:
        state = after_step(state)
    return str(state["digest"])
