"""Nobody wakes a run: the sweep finds it, says so, and places its job once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.states import Scheduled

from carbon_policy.domain.errors import InvalidInputError, SetupError
from carbon_policy.orchestration.names import LABEL_CHECKPOINT
from carbon_policy.orchestration.overdue import Overdue, OverdueKind, find_overdue, re_place, release
from carbon_policy.orchestration.records import read_decision
from tests.support import grids
from tests.support.bench import CARBON, Bench, only
from tests.support.gates import run_gate

pytestmark = [pytest.mark.server, pytest.mark.slow]

LATER = timedelta(hours=3)
A_LONG_TIME_S = 1200


def found(bench: Bench, run: FlowRun, after: timedelta = LATER) -> list[Overdue]:
    """What the sweep says of a run when so much time has gone by."""
    return [item for item in find_overdue(bench.client, datetime.now(UTC) + after) if item.run.id == run.id]


@pytest.fixture
def waiting(bench: Bench, tmp_path: Path) -> FlowRun:
    """A run that its gate put back to wait, on a pool that has no worker."""
    said = {"urgency": "flexible", "finish_within": "1h", "expected_duration": "2s"}
    policy = bench.policy(grids.greener_in(tmp_path, A_LONG_TIME_S))
    run = bench.pending(bench.deploy(CARBON, job_variables={**said, "policy_block": policy}))
    run_gate(bench.stack, run)
    return bench.until_named(run, "Deferred")


class TestNobodyWokeIt:
    """No worker was on the carbon pool when its time came."""

    def test_it_is_not_overdue_before_its_time(self, bench: Bench, waiting: FlowRun) -> None:
        assert found(bench, waiting, timedelta(0)) == []

    def test_it_is_found_where_prefect_marked_it_late_over_its_wait(
        self, bench: Bench, waiting: FlowRun
    ) -> None:
        due = bench.read(waiting).next_scheduled_start_time
        late: State[None] = Scheduled(name="Late", scheduled_time=due)
        bench.client.set_flow_run_state(waiting.id, late, force=True)
        assert only(found(bench, waiting)).kind is OverdueKind.NOT_WOKEN

    def test_a_job_that_was_stopped_half_way_is_never_placed_anew(
        self, bench: Bench, waiting: FlowRun
    ) -> None:
        bench.client.update_flow_run_labels(waiting.id, {LABEL_CHECKPOINT: 3})
        [overdue] = found(bench, waiting)
        with pytest.raises(SetupError, match="goes on where it stands: look at the worker"):
            re_place(bench.client, overdue, datetime.now(UTC))
        assert bench.read(waiting).state_name == "Deferred"

    def test_it_is_reported_in_a_sentence(self, bench: Bench, waiting: FlowRun) -> None:
        [overdue] = found(bench, waiting)
        assert overdue.kind is OverdueKind.NOT_WOKEN
        assert overdue.late_by > timedelta(hours=2)
        assert waiting.name in overdue.sentence
        assert "is a worker on its pool?" in overdue.sentence

    def test_it_is_placed_from_outside_once(self, bench: Bench, waiting: FlowRun) -> None:
        [overdue] = found(bench, waiting)
        re_place(bench.client, overdue, datetime.now(UTC))
        job, run = only(bench.jobs_of(waiting)), bench.read(waiting)
        assert run.state_name in ("PlacedFast", "PlacedEco")
        assert run.labels["carbon-policy.job-run"] == str(job.id)
        assert found(bench, waiting) == []
        # Somebody who looked at the same time does the same again.
        assert "left alone" in re_place(bench.client, overdue, datetime.now(UTC))
        only(bench.jobs_of(waiting))

    def test_how_often_it_was_deferred_stays_true(self, bench: Bench, waiting: FlowRun) -> None:
        re_place(bench.client, found(bench, waiting)[0], datetime.now(UTC))
        decision = read_decision(bench.client, waiting.id)
        assert decision is not None
        assert decision.evidence.deferrals == 1

    def test_a_worker_that_woke_it_meanwhile_keeps_it(self, bench: Bench, waiting: FlowRun) -> None:
        [overdue] = found(bench, waiting)
        bench.take(waiting)
        assert "left alone" in re_place(bench.client, overdue, datetime.now(UTC))
        assert bench.read(waiting).state_type is StateType.PENDING
        assert bench.jobs_of(waiting) == []

    def test_a_missed_window_is_skipped_where_the_job_says_so(self, bench: Bench, tmp_path: Path) -> None:
        said = {"urgency": "flexible", "finish_within": "1h", "expected_duration": "2s", "on_missed": "skip"}
        policy = bench.policy(grids.greener_in(tmp_path, A_LONG_TIME_S))
        run = bench.pending(bench.deploy(CARBON, job_variables={**said, "policy_block": policy}))
        run_gate(bench.stack, run)
        re_place(bench.client, found(bench, run)[0], datetime.now(UTC) + LATER)
        assert bench.read(run).state_name == "Skipped"
        assert bench.jobs_of(run) == []


class TestAWorkerDied:
    """Between taking a run and starting it, or while it ran the gate."""

    def test_a_run_that_stays_pending_is_started_again(self, bench: Bench, tmp_path: Path) -> None:
        policy = bench.policy(grids.flat(tmp_path))
        run = bench.pending(bench.deploy(CARBON, job_variables={"policy_block": policy}))
        assert found(bench, run, timedelta(0)) == []
        [overdue] = found(bench, run)
        assert overdue.kind is OverdueKind.STUCK_PENDING
        re_place(bench.client, overdue, datetime.now(UTC))
        assert bench.due(CARBON, run)
        bench.take(run)
        run_gate(bench.stack, run)
        only(bench.jobs_of(run))

    def test_a_job_that_its_gate_waits_for_is_not_overdue(self, bench: Bench, tmp_path: Path) -> None:
        policy = bench.policy(grids.flat(tmp_path))
        run = bench.pending(bench.deploy(CARBON, job_variables={"policy_block": policy, "wait": True}))
        run_gate(bench.stack, run, dies_after="carbon_policy.orchestration.placement:create_child")
        assert bench.read(run).state_type is StateType.RUNNING
        assert found(bench, run) == []


class TestRelease:
    """Someone says: go now."""

    def test_a_released_run_is_placed_at_once_and_keeps_the_note(
        self, bench: Bench, waiting: FlowRun
    ) -> None:
        release(bench.client, waiting.id, "the customer calls", datetime.now(UTC))
        bench.take(waiting)
        run_gate(bench.stack, waiting)
        run, decision = bench.read(waiting), read_decision(bench.client, waiting.id)
        assert run.state_name == "PlacedFast"
        assert run.labels["carbon-policy.release-note"] == "the customer calls"
        assert decision is not None
        assert decision.reason == "released"
        only(bench.jobs_of(waiting))

    def test_only_a_run_that_waits_can_be_released(self, bench: Bench, waiting: FlowRun) -> None:
        bench.take(waiting)
        with pytest.raises(InvalidInputError, match="only a run that waits"):
            release(bench.client, waiting.id, "too late", datetime.now(UTC))
