"""The gate as a process of its own, started as a worker starts it, but without a worker."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from prefect.client.schemas.objects import FlowRun

from carbon_policy.demo.processes import PrefectStack

_CRASHING = Path(__file__).parent / "crashing_gate.py"
EXIT_CODE = 3
"""Of a gate that was killed on purpose."""


def start_gate(
    stack: PrefectStack, run: FlowRun, *, dies_after: str | None = None, fault: str | None = None
) -> subprocess.Popen[str]:
    """Start a gate for a run; `dies_after` names a function, `module:name`, after whose call it is gone."""
    command = [sys.executable, "-m", "carbon_policy.orchestration.gate"]
    if dies_after is not None:
        command = [sys.executable, str(_CRASHING), "after", dies_after]
    if fault is not None:
        command = [sys.executable, str(_CRASHING), "fault", fault]
    return subprocess.Popen(
        command,
        # Prefect's client tries again; more than once takes a test too long.
        env=stack.env | {"PREFECT__FLOW_RUN_ID": str(run.id), "PREFECT_CLIENT_MAX_RETRIES": "2"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def end_of(gate: subprocess.Popen[str], expected: int = 0, timeout_s: float = 90) -> str:
    """Wait for a gate's end; returns its output."""
    try:
        output, _ = gate.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        gate.kill()
        output, _ = gate.communicate()
        raise AssertionError(f"The gate did not end within {timeout_s:g} s:\n{output}") from None
    assert gate.returncode == expected, f"The gate ended with {gate.returncode}, not {expected}:\n{output}"
    return output


def run_gate(
    stack: PrefectStack, run: FlowRun, *, dies_after: str | None = None, fault: str | None = None
) -> str:
    """Run a gate for a run to its end, which must be the expected one."""
    gate = start_gate(stack, run, dies_after=dies_after, fault=fault)
    return end_of(gate, EXIT_CODE if dies_after else 0)
