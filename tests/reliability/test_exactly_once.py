"""A gated run starts its job once, or is waiting: never twice, never lost.

The argument. A gate's run has at most one job, since the job's run is created under an idempotency key made of the
gate's run, and the server keeps such keys unique in its database for a flow, whatever deployment they are sent to.
So a gate may be run again as often as one likes, by as many processes as one likes: the second creation gives back
the first one's run. Nothing is lost, since a gate's run ends only after its job is there: killed before, it is left
in a state - Crashed, or Running without a process - that `find_overdue` knows, and is started again. A deferral is
one state transition on the server; what comes before it (labels, policy) only prepares it and is set, not added to,
and what may come after it (a crash that overwrites it) is undone by the sweep.

The crash points, in order: decision made, decision recorded, twin made, job created, labels written, before the
final state; and for a deferral: labels written, policy patched, state accepted.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Scheduled

from carbon_policy.demo.processes import PrefectStack
from carbon_policy.orchestration.overdue import OverdueKind, find_overdue, re_place
from carbon_policy.orchestration.placement import idempotency_key
from tests.support import grids
from tests.support.bench import CARBON, ECO, FAST, Bench, only, unique
from tests.support.gates import run_gate, start_gate

pytestmark = [pytest.mark.server, pytest.mark.slow]

_PLACEMENT = "carbon_policy.orchestration.placement"
_DEFERRAL = "carbon_policy.orchestration.deferral"
LATER = timedelta(minutes=10)
A_LONG_TIME_S = 1200  # Nobody is to wake it.


def gated(bench: Bench, folder: Path, *, green_in_s: int | None = None) -> FlowRun:
    """A run on the carbon pool, taken by a worker, that its gate will place, or put back to wait."""
    grid = grids.flat(folder) if green_in_s is None else grids.greener_in(folder, green_in_s)
    said = {"urgency": "flexible", "finish_within": "1h", "expected_duration": "2s"}
    deployment = bench.deploy(CARBON, job_variables={**said, "policy_block": bench.policy(grid)})
    return bench.pending(deployment)


def swept(bench: Bench, run: FlowRun) -> OverdueKind:
    """Let the sweep find a run, and get it going; returns what it found."""
    later = datetime.now(UTC) + LATER
    [overdue] = [item for item in find_overdue(bench.client, later) if item.run.id == run.id]
    re_place(bench.client, overdue, datetime.now(UTC))
    return overdue.kind


def assert_placed_once(bench: Bench, run: FlowRun) -> None:
    """One job, found from either side, and the gate's run says so."""
    job, current = only(bench.jobs_of(run)), bench.read(run)
    assert current.state_name in ("PlacedFast", "PlacedEco"), bench.describe(run)
    assert current.labels["carbon-policy.job-run"] == str(job.id)
    assert len(bench.runs_of_flow(run)) == 2


def assert_waits_once(bench: Bench, run: FlowRun) -> None:
    """No job, and one wait that a worker will end."""
    assert bench.read(run).state_name == "Deferred", bench.describe(run)
    assert bench.due(CARBON, run)
    assert [item.id for item in bench.runs_of_flow(run)] == [run.id]


@pytest.mark.parametrize(
    "step",
    [
        pytest.param("consult", id="decision-made"),
        pytest.param("record_decision", id="decision-recorded"),
        pytest.param("ensure_twin", id="twin-made"),
        pytest.param("create_child", id="job-created"),
        pytest.param("add_labels", id="labels-written"),
        pytest.param("_placed", id="before-the-final-state"),
    ],
)
def test_a_gate_that_dies_while_it_places(bench: Bench, tmp_path: Path, step: str) -> None:
    run = gated(bench, tmp_path)
    run_gate(bench.stack, run, dies_after=f"{_PLACEMENT}:{step}")
    jobs_before = len(bench.jobs_of(run))
    # Its worker died with it: nobody reports a crash, and the run says Running.
    assert bench.read(run).state_type is StateType.RUNNING
    if jobs_before == 0:
        assert swept(bench, run) is OverdueKind.GATE_VANISHED
        bench.take(run)
    run_gate(bench.stack, run)
    assert_placed_once(bench, run)


@pytest.mark.parametrize(
    "step",
    [
        pytest.param("SyncPrefectClient.update_flow_run_labels", id="labels-written"),
        pytest.param("patch_for_return", id="policy-patched"),
        pytest.param("propose_state_sync", id="state-accepted"),
    ],
)
def test_a_gate_that_dies_while_it_defers(bench: Bench, tmp_path: Path, step: str) -> None:
    run = gated(bench, tmp_path, green_in_s=A_LONG_TIME_S)
    run_gate(bench.stack, run, dies_after=f"{_DEFERRAL}:{step}")
    # Its worker lives, and reports the process's exit code.
    bench.report_crash(run)
    assert bench.read(run).state_type is StateType.CRASHED
    kind = swept(bench, run)
    if kind is OverdueKind.GATE_CRASHED:
        bench.take(run)
        run_gate(bench.stack, run)
    else:
        # It was waiting already: the wait is put back as it was, and no gate is needed.
        assert kind is OverdueKind.WAIT_LOST
        assert step == "propose_state_sync"
    assert_waits_once(bench, run)
    assert bench.read(run).labels["carbon-policy.deferrals"] == 1


def test_a_gate_that_crashed_before_it_placed_is_started_again(bench: Bench, tmp_path: Path) -> None:
    run = gated(bench, tmp_path)
    run_gate(bench.stack, run, dies_after=f"{_PLACEMENT}:consult")
    bench.report_crash(run)
    assert swept(bench, run) is OverdueKind.GATE_CRASHED
    bench.take(run)
    run_gate(bench.stack, run)
    assert_placed_once(bench, run)


def test_a_gate_whose_job_is_placed_is_not_overdue(bench: Bench, tmp_path: Path) -> None:
    run = gated(bench, tmp_path)
    run_gate(bench.stack, run, dies_after=f"{_PLACEMENT}:create_child")
    bench.report_crash(run)
    assert not [
        item for item in find_overdue(bench.client, datetime.now(UTC) + LATER) if item.run.id == run.id
    ]


def test_two_gates_for_one_run_at_once(bench: Bench, tmp_path: Path) -> None:
    run = gated(bench, tmp_path)
    gates = [start_gate(bench.stack, run) for _ in range(2)]
    for gate in gates:
        gate.wait(timeout=90)
        assert gate.stdout is not None
        gate.stdout.close()
    assert_placed_once(bench, run)


def test_one_key_to_fast_and_to_eco_gives_one_run(bench: Bench) -> None:
    """Prefect's promise on which all of this rests: a key is unique for a flow, whatever the deployment."""
    flow = unique("flow")
    fast = bench.deploy(FAST, flow=flow, name="fast")
    eco = bench.deploy(ECO, flow=flow, name="eco")
    first = bench.run(fast, idempotency_key="one-job")
    second = bench.run(eco, idempotency_key="one-job")
    assert second.id == first.id
    assert second.deployment_id == fast


def test_a_lost_reply_to_the_creation_makes_no_second_job(bench: Bench, tmp_path: Path) -> None:
    """The server created the job's run, and the gate heard nothing but a ReadTimeout: it asks again."""
    run = gated(bench, tmp_path)
    run_gate(bench.stack, run, fault="lost-reply")
    assert_placed_once(bench, run)


def test_a_gate_that_gets_no_reply_crashes_and_is_not_failed(bench: Bench, tmp_path: Path) -> None:
    """A failed run is left to people; a crashed one is started again."""
    run = gated(bench, tmp_path)
    run_gate(bench.stack, run, fault="no-reply")
    state = bench.read(run).state
    assert state is not None
    assert state.type is StateType.CRASHED, bench.describe(run)
    assert "gave no good answer" in (state.message or "")
    bench.client.set_flow_run_state(run.id, Scheduled(), force=True)
    bench.take(run)
    run_gate(bench.stack, run)
    assert_placed_once(bench, run)


def test_a_restarted_server_still_wakes_what_waited(tmp_path: Path) -> None:
    with PrefectStack(survives_restarts=True) as stack, Bench(stack) as bench, bench.settings():
        run = gated(bench, tmp_path, green_in_s=45)
        run_gate(stack, run)
        before = bench.read(run)
        stack.stop_server()
        stack.start_server()
        after = bench.read(run)
        assert after.state_name == "Deferred"
        assert after.next_scheduled_start_time == before.next_scheduled_start_time
        stack.start_worker(CARBON)
        bench.until(run, lambda r: r.state is not None and r.state.is_final(), "it was woken", 120)
        assert_placed_once(bench, run)


def test_the_key_is_the_gates_run(bench: Bench, tmp_path: Path) -> None:
    run = gated(bench, tmp_path)
    run_gate(bench.stack, run)
    assert only(bench.jobs_of(run)).idempotency_key == idempotency_key(run)
