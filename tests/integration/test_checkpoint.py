"""Interruptible jobs, end to end: a real server, and a real process worker on fast.

All runs are started at once, each named after its case; a test then waits for its own.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextvars import copy_context
from pathlib import Path
from typing import Any

import pytest
from prefect import flow, task
from prefect.client.schemas.objects import FlowRun, State

import carbon_policy
from carbon_policy.domain.errors import InvalidInputError
from carbon_policy.orchestration import checkpoint as checkpointing
from carbon_policy.orchestration.records import read_decision, read_energy
from tests.support import grids
from tests.support.bench import FAST, Bench, only, unique
from tests.support.interruptible import SAID, Interruptible, saved_files
from tests.support.jobs import marks
from tests.support.steps import STEPS, outcome

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(400)]

PATIENCE_S = 240


class Cases:
    """The runs of this module, and the end of the gate that waits for its job."""

    def __init__(self, bench: Bench, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        policy = bench.policy(grids.flat(folder))
        self.twice = Interruptible(bench, folder, policy, stops=[2, 4], wait=True)
        self.gate_end: list[State[Any]] = []
        run = copy_context().run
        self.gate = threading.Thread(
            target=lambda: run(lambda: self.gate_end.append(self.twice.place(monkeypatch)))
        )
        self.gate.start()
        self.marker = folder / f"{unique('marks')}.txt"
        deployment = bench.deploy(
            FAST,
            "jobs_checkpointing.py:aware",
            job_variables={**SAID, "policy_block": policy, "env": {"STOPS": "3"}},
            parameters={"marker": str(self.marker)},
        )
        self.in_place = bench.run(deployment)


@pytest.fixture(scope="module")
def cases(shared_bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cases]:
    with shared_bench.settings(), pytest.MonkeyPatch.context() as monkeypatch:
        worker = shared_bench.stack.start_worker(FAST)
        cases = Cases(shared_bench, tmp_path_factory.mktemp("checkpoints"), monkeypatch)
        yield cases
        shared_bench.stack.stop_worker(worker)
        shared_bench.tidy()


@pytest.fixture(scope="module")
def twice(cases: Cases, shared_bench: Bench) -> FlowRun:
    """The job that was interrupted twice, when it has ended, and its gate's run with it."""
    cases.gate.join(timeout=PATIENCE_S)
    assert cases.gate_end
    return shared_bench.read(cases.twice.job)


class TestPlaced:
    """A job that a gate placed, on its site's pool."""

    def test_interrupted_twice_it_comes_to_the_same(self, bench: Bench, cases: Cases, twice: FlowRun) -> None:
        assert twice.state_name == "Completed", bench.describe(twice)
        assert bench.state_names(twice).count("Deferred") == 2
        assert bench.state_names(twice).count("Running") == 3
        assert cases.twice.outcome == outcome()
        assert cases.twice.steps == STEPS

    def test_its_gate_waits_as_long_as_it_does(self, bench: Bench, cases: Cases, twice: FlowRun) -> None:
        assert cases.gate_end[0].name == "Completed"
        assert only(bench.jobs_of(cases.twice.gate)).id == twice.id

    def test_each_wait_says_why_and_what_is_saved(self, bench: Bench, twice: FlowRun) -> None:
        waits = [state for state in bench.states(twice) if state.name == "Deferred"]
        assert [(state.message or "").split()[-5] for state in waits] == ["33%", "67%"]
        assert all((state.message or "").startswith("greener-slices: ") for state in waits)

    def test_each_stretch_left_its_energy(self, bench: Bench, twice: FlowRun) -> None:
        assert len(read_energy(bench.client, twice.id)) == 3

    def test_nothing_is_saved_of_it_any_more(self, bench: Bench, twice: FlowRun) -> None:
        assert saved_files(bench, twice) == []


class TestInPlace:
    """A decorated, asynchronous flow that decided in its own process."""

    def test_interrupted_it_comes_to_the_same_and_stays(self, bench: Bench, cases: Cases) -> None:
        run = bench.until_final(cases.in_place, PATIENCE_S)
        assert run.state_name == "Completed", bench.describe(run)
        assert bench.state_names(run).count("Deferred") == 1
        assert cases.marker.with_suffix(".out").read_text() == outcome()
        assert len(marks(cases.marker)) == STEPS
        assert bench.runs_of_flow(run) == [run]

    def test_it_is_accounted_by_the_decision_that_it_began_by(self, bench: Bench, cases: Cases) -> None:
        run = bench.until_final(cases.in_place, PATIENCE_S)
        decision = read_decision(bench.client, run.id)
        assert decision is not None
        assert (decision.action, decision.evidence.progress) == ("run", 0)


class TestWhereItMayNotStop:
    """It saves, and goes on."""

    @pytest.fixture(autouse=True)
    def stop(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def stop(*args: Any) -> None:
            raise AssertionError("it must not be asked whether to stop")

        monkeypatch.setattr(checkpointing, "_stop_where_planned", stop)

    def test_a_direct_call_and_its_retry(self, bench: Bench) -> None:
        found = []

        @flow(retries=1, retry_delay_seconds=0)
        def direct() -> int:
            state: int = carbon_policy.restore(0)
            found.append(state)
            carbon_policy.checkpoint(state + 1, done=0.5)
            if state == 0:
                raise ValueError("a real failure")
            return state

        assert direct() == 1
        assert found == [0, 1]

    def test_a_subflow_and_a_task(self, bench: Bench) -> None:
        @flow
        def child() -> str:
            carbon_policy.checkpoint("the child's")
            return carbon_policy.restore("none")

        @task
        def saving() -> str:
            carbon_policy.checkpoint("the task's")
            return carbon_policy.restore("none")

        @flow
        def parent() -> list[str]:
            return [child(), saving(), carbon_policy.restore("none")]

        assert parent() == ["the child's", "the task's", "the task's"]

    def test_no_run_at_all(self) -> None:
        carbon_policy.checkpoint({"epoch": 1})
        assert carbon_policy.restore({"epoch": 0}) == {"epoch": 0}

    def test_a_share_that_is_none_is_refused(self) -> None:
        with pytest.raises(InvalidInputError, match=r"done is 1\.5; give the share"):
            carbon_policy.checkpoint({}, done=1.5)
