"""Jobs that can be interrupted: their steps are those of `steps.py`.

What the grid would say is said by the parameter `stops`: after which steps the policy answers that the run is to wait.
All else is the real thing: the plan, the asking, the evidence, the deferral. `dies` names a moment at which the first
process that comes to it is killed.
"""

from __future__ import annotations

import asyncio
import os
import signal
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

# Its own folder is all that a job's process sees of the tests.
from jobs import leave_mark
from prefect import flow
from prefect.filesystems import LocalFileSystem
from steps import START, STEPS, after_step

import carbon_policy
from carbon_policy import carbon_aware
from carbon_policy.domain.decision import Action, Decision, ReasonCode, Slice
from carbon_policy.orchestration import checkpoint as checkpointing
from carbon_policy.orchestration import deferral, placement, slicing

WAIT_S = 3


def with_slice(decision: Decision, start: datetime, finish: datetime, **changes: Any) -> Decision:
    """A decision as a policy for interruptible jobs makes it."""
    assert decision.chosen is not None
    chosen = decision.chosen.model_copy(update={"slices": (Slice(start=start, finish=finish),)})
    return decision.model_copy(update={"chosen": chosen, "start": start, **changes})


def plan_slices(stops: list[int]) -> None:
    """Let every plan end at once, so that the policy is asked at every checkpoint, and let it answer by `stops`."""
    real_decide, real_consult = slicing.decide_for, placement.consult

    def consult(*args: Any, **kwargs: Any) -> Decision:
        decision = real_consult(*args, **kwargs)
        return with_slice(decision, decision.evidence.now, decision.evidence.now)

    def decide_for(*args: Any, **kwargs: Any) -> Decision:
        decision = real_decide(*args, **kwargs)
        evidence = decision.evidence
        stopped = evidence.deferrals
        if stopped == len(stops) or round(evidence.progress * STEPS) < stops[stopped]:
            goes_on = {"action": Action.RUN, "reason": ReasonCode.SLICE_NOW, "ask_again_at": None}
            return with_slice(decision, evidence.now, evidence.now, **goes_on)
        later = evidence.now + timedelta(seconds=WAIT_S)
        why = {"action": Action.DEFER, "reason": ReasonCode.GREENER_SLICES, "ask_again_at": later}
        return with_slice(decision, later, later, **why)

    slicing.decide_for = decide_for  # type: ignore[assignment]
    placement.consult = consult  # type: ignore[assignment]
    checkpointing.ASKED_AT_MOST_EVERY = slicing.ASKED_AT_MOST_EVERY = timedelta(0)


def die_once(marker: str) -> None:
    """As by `kill -9`, but a process that comes here later lives."""
    died = Path(marker).with_suffix(".died")
    if not died.exists():
        died.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def arm(dies: str | None, marker: str) -> None:
    """Be killed at a moment that `dies` names."""
    if dies == "half-way through a save":
        whole = LocalFileSystem.write_path

        def write_path(self: LocalFileSystem, path: str, content: bytes, **kwargs: Any) -> Any:
            # Its third, so that there is something to lose.
            if b'"number": 3,' in content[:200]:
                whole(self, path, content=content[: len(content) // 2], **kwargs)
                die_once(marker)
            return whole(self, path, content=content, **kwargs)

        LocalFileSystem.write_path = write_path  # type: ignore[method-assign]
    if dies == "before it waits":

        def defer_in_place(*args: Any) -> None:
            die_once(marker)
            deferral.defer_in_place(*args)

        checkpointing.defer_in_place = defer_in_place  # type: ignore[assignment]
    if dies == "after it waits":
        propose = deferral.propose_state_sync

        def propose_state_sync(*args: Any, **kwargs: Any) -> Any:
            state = propose(*args, **kwargs)
            die_once(marker)
            return state

        deferral.propose_state_sync = propose_state_sync


def step(state: dict[str, Any], marker: str) -> dict[str, Any]:
    """One step of work; a mark says that it was done."""
    leave_mark(marker)
    return after_step(state)


@flow
def stepping(marker: str, stops: list[int] | None = None, dies: str | None = None) -> str:
    """Knows nothing of carbon but its checkpoints."""
    plan_slices(stops or [])
    arm(dies, marker)
    state = carbon_policy.restore(START)
    while state["step"] < STEPS:
        state = step(state, marker)
        if dies == "before a save" and state["step"] == 3:
            die_once(marker)
        carbon_policy.checkpoint(state, done=state["step"] / STEPS)
        if dies == "after a save" and state["step"] == 3:
            die_once(marker)
    Path(marker).with_suffix(".out").write_text(state["digest"])
    return str(state["digest"])


@carbon_aware(urgency="flexible", finish_within="1h", expected_duration="2s", interruptible=True)
@flow
async def aware(marker: str, stops: list[int] | None = None) -> str:
    """Decides in its own process, and says nothing of how far it is."""
    state = carbon_policy.restore(START)
    while state["step"] < STEPS:
        state = step(state, marker)
        await asyncio.sleep(0)
        carbon_policy.checkpoint(state, done=state["step"] / STEPS)
    Path(marker).with_suffix(".out").write_text(state["digest"])
    return str(state["digest"])


if os.environ.get("STOPS"):
    # A decorated flow decides before its own code is reached.
    plan_slices([int(stop) for stop in os.environ["STOPS"].split(",")])
