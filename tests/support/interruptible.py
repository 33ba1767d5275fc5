"""Interruptible jobs on a real server: placed as a gate places them, under a plan that ends at once."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State

from carbon_policy.domain.decision import Decision, Slice
from carbon_policy.orchestration import placement
from carbon_policy.orchestration.policy_task import decide_for
from tests.support.bench import CARBON, Bench, unique
from tests.support.jobs import marks

SAID = {
    "urgency": "flexible",
    "finish_within": "1h",
    "expected_duration": "2s",
    "interruptible": True,
    "shortest_slice": "0s",
    "stop_cost": "0s",
    "allowed_sites": "fast",
}


class Interruptible:
    """One job, and what it noted.

    Attributes:
        gate: The run that placed it.
        marker: Its notes.
    """

    def __init__(self, bench: Bench, folder: Path, policy: str, **parameters: Any) -> None:
        self.bench = bench
        self.marker = folder / f"{unique('marks')}.txt"
        wait = bool(parameters.pop("wait", False))
        deployment = bench.deploy(
            CARBON,
            "jobs_checkpointing.py:stepping",
            job_variables={**SAID, "policy_block": policy, "wait": wait},
            parameters={"marker": str(self.marker), **parameters},
        )
        self.gate = bench.pending(deployment)

    def place(self, monkeypatch: pytest.MonkeyPatch) -> State[Any]:
        """What its gate does; returns the state in which the gate's run ends."""
        monkeypatch.setattr(placement, "consult", _planned)
        with get_client(sync_client=True) as client:
            state = placement.place(client, self.bench.read(self.gate))
            assert isinstance(state, State)
            client.set_flow_run_state(self.gate.id, state, force=True)
        return state

    @property
    def job(self) -> FlowRun:
        """Its run; there is one."""
        [job] = self.bench.jobs_of(self.gate)
        return job

    def start(self) -> subprocess.Popen[bytes]:
        """A process of its job, as a worker starts it, but without a worker that would report its end."""
        self.bench.take(self.job)
        return subprocess.Popen(
            [sys.executable, "-m", "prefect.engine"],
            env=self.bench.stack.env | {"PREFECT__FLOW_RUN_ID": str(self.job.id)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    @property
    def outcome(self) -> str:
        """What it came to."""
        return self.marker.with_suffix(".out").read_text()

    @property
    def steps(self) -> int:
        """How many steps its code did, in all its processes."""
        return len(marks(self.marker))


def _planned(run_id: str, declared: Any = None) -> Decision:
    """The real decision, as a policy for interruptible jobs would make it: with a slice, which ends at once."""
    with get_client(sync_client=True) as client:
        run = client.read_flow_run(run_id)
        assert run.deployment_id is not None
        deployment = client.read_deployment(run.deployment_id)
        decision = decide_for(client, run, deployment, declared, datetime.now(UTC))
    assert decision.chosen is not None
    now = decision.evidence.now
    chosen = decision.chosen.model_copy(update={"slices": (Slice(start=now, finish=now),)})
    return decision.model_copy(update={"chosen": chosen})


def saved_files(bench: Bench, run: FlowRun) -> list[Path]:
    """The files that hold a run's saved states."""
    return sorted((bench.stack.home / "storage" / "carbon-policy" / "checkpoints" / str(run.id)).glob("*"))
