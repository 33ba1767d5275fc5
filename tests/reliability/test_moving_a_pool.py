"""A pool goes from one kind of worker to the other, and from one release to the next: nothing is lost, nothing doubled.

Whatever a worker leaves of a waiting run is on the server: a gate in a process leaves it in labels, a carbon worker in
the data of the run's state. Either reads both, and no worker is told that a pool was another's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.states import Completed, Failed
from prefect.workers.process import ProcessWorker

from carbon_policy.orchestration.gate_template import gate_template
from carbon_policy.orchestration.names import (
    DEFERRED,
    LABEL_CHILD,
    LABEL_DEFERRALS,
    LABEL_DEFERRED_UNTIL,
    LABEL_PLAN,
    LABEL_SUBMITTED,
    WORKER_TYPE,
)
from carbon_policy.orchestration.overdue import OverdueKind, find_overdue, re_place
from carbon_policy.orchestration.waits import wait_in, wait_of
from tests.support import grids
from tests.support.bench import Bench, only, unique
from tests.support.gates import end_of, start_gate
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.server, pytest.mark.slow]

RUNS = 3
GREEN_IN_S, GREEN_FOR_S = 75, 60
FAR_S = 1500
LATER = timedelta(minutes=10)
PLACED = ("PlacedFast", "PlacedEco")
SAID = {"urgency": "flexible", "finish_within": "1h", "expected_duration": "2s"}

Pool = Callable[[str], str]
"""Makes a pool of a type, and gives its name."""


@pytest.fixture
def pool(bench: Bench) -> Iterator[Pool]:
    made: list[str] = []

    def make(kind: str) -> str:
        made.append(
            bench.pool(unique("moving"), gate_template(ProcessWorker.get_default_base_job_template()), kind)
        )
        return made[-1]

    yield make
    for name in list(bench.stack.workers):
        if name.startswith("moving-"):
            bench.stack.stop_worker(name)
    bench.tidy()


def deployed(bench: Bench, pool: str, grid: str, **said: str) -> UUID:
    return bench.deploy(pool, job_variables={**SAID, "policy_block": bench.policy(grid), **said})


@contextlib.contextmanager
def worker(bench: Bench, pool: str, kind: str) -> Iterator[str]:
    """A worker on a pool for as long as that lasts, stopped as a service manager stops one."""
    name = bench.stack.start_worker(pool, kind, f"{pool}-{unique(kind)}-worker")
    yield name
    if name in bench.stack.workers:
        bench.stack.stop_worker(name)


def starts(run: FlowRun) -> datetime:
    start = run.next_scheduled_start_time
    assert start is not None
    return start


def under_way_or_placed(bench: Bench, run: FlowRun) -> FlowRun:
    return bench.until(run, lambda now: now.state_name in PLACED, "a run is placed", 150)


def assert_placed_once_and_not_before(bench: Bench, run: FlowRun, start: datetime) -> FlowRun:
    """One job, made in the run's own time; returns the job."""
    job = only(bench.jobs_of(run))
    assert job.created is not None
    # A worker looks ahead by its prefetch, and a process begins a little early.
    assert job.created >= start - timedelta(seconds=11), bench.describe(run)
    assert bench.read(run).labels[LABEL_CHILD] == str(job.id)
    return job


def end(bench: Bench, job: FlowRun, state: State[None] | None = None) -> None:
    """What the site's worker would come to say of a job."""
    bench.client.set_flow_run_state(job.id, state or Completed(), force=True)


def test_runs_that_a_gate_deferred_are_taken_up_by_a_carbon_worker(
    bench: Bench, pool: Pool, tmp_path: Path
) -> None:
    name = pool("process")
    deployment = deployed(bench, name, grids.greener_in(tmp_path, GREEN_IN_S, GREEN_FOR_S))
    runs = [bench.pending(deployment) for _ in range(RUNS)]
    for gate in [start_gate(bench.stack, run) for run in runs]:
        end_of(gate)
    waiting = [bench.until_named(run, DEFERRED) for run in runs]
    for run in waiting:
        assert run.labels[LABEL_DEFERRALS] == 1
        assert run.state is not None
        assert wait_in(run.state.data) is None
    with worker(bench, name, WORKER_TYPE):
        for before in waiting:
            after = under_way_or_placed(bench, before)
            # It stays as long as its job, and then ends as that.
            assert after.state_type is StateType.RUNNING
            end(bench, assert_placed_once_and_not_before(bench, before, starts(before)))
        for run in waiting:
            assert bench.until_final(run).state_name == "Completed"
            only(bench.jobs_of(run))


def test_runs_that_a_carbon_worker_deferred_are_taken_up_by_gates(
    bench: Bench, pool: Pool, tmp_path: Path
) -> None:
    name = pool(WORKER_TYPE)
    deployment = deployed(bench, name, grids.greener_in(tmp_path, GREEN_IN_S, GREEN_FOR_S))
    with worker(bench, name, WORKER_TYPE):
        waiting = [bench.until_named(bench.run(deployment), DEFERRED) for _ in range(RUNS)]
        at_once = bench.run(deployed(bench, name, grids.flat(tmp_path), urgency="critical"))
        under_way = under_way_or_placed(bench, at_once)
        assert under_way.state_type is StateType.RUNNING
    for run in waiting:
        assert run.state is not None
        assert wait_in(run.state.data) is not None
        assert LABEL_DEFERRALS not in run.labels
        assert starts(bench.read(run)) == starts(run)
    with worker(bench, name, "process"):
        for run in waiting:
            after = under_way_or_placed(bench, run)
            assert after.state_type is StateType.COMPLETED
            assert_placed_once_and_not_before(bench, run, starts(run))
        # Gates look at no job of somebody else's: the sweep finds the run whose job has ended.
        job = only(bench.jobs_of(under_way))
        assert bench.read(under_way).state_type is StateType.RUNNING
        end(bench, job)
        later = datetime.now(UTC) + LATER
        [left] = [
            found for found in find_overdue(bench.client, later, pool=name) if found.run.id == under_way.id
        ]
        assert left.kind is OverdueKind.GATE_VANISHED
        re_place(bench.client, left, datetime.now(UTC))
        assert bench.until_final(under_way).state_name in PLACED
        assert only(bench.jobs_of(under_way)).id == job.id


def test_jobs_that_gates_placed_are_left_alone_by_a_carbon_worker(
    bench: Bench, pool: Pool, tmp_path: Path
) -> None:
    name = pool("process")
    critical = deployed(bench, name, grids.flat(tmp_path), urgency="critical")
    # One gate has ended, as its job was placed; of one that was to wait with its job, the process is gone.
    placed, alone = bench.pending(critical), bench.pending(critical, job_variables={"wait": True})
    end_of(start_gate(bench.stack, placed))
    assert bench.read(placed).state_type is StateType.COMPLETED
    with _gate_that_is_gone(bench, alone):
        pass
    with worker(bench, name, WORKER_TYPE):
        end(bench, only(bench.jobs_of(alone)), Failed(message="out of memory"))
        ended = bench.until_final(alone)
        assert ended.state_name == "Failed"
        assert ended.state is not None
        assert "out of memory" in str(ended.state.message)
    assert bench.read(placed).state_name in PLACED
    for run in (placed, alone):
        only(bench.jobs_of(run))


@contextlib.contextmanager
def _gate_that_is_gone(bench: Bench, run: FlowRun) -> Iterator[None]:
    gate = start_gate(bench.stack, run)
    try:
        bench.until(run, lambda now: LABEL_CHILD in now.labels, "a gate has placed its job")
        yield
    finally:
        gate.kill()
        gate.communicate()


def test_a_rolling_restart_leaves_alone_what_the_last_release_put_to_wait(
    bench: Bench, pool: Pool, tmp_path: Path
) -> None:
    """Its gates left labels and a time, as gates in processes still do, and a state without data."""
    name = pool("process")
    deployment = deployed(bench, name, grids.greener_in(tmp_path, FAR_S, GREEN_FOR_S))
    runs = [bench.pending(deployment) for _ in range(RUNS)]
    for gate in [start_gate(bench.stack, run) for run in runs]:
        end_of(gate)
    before = [bench.until_named(run, DEFERRED) for run in runs]
    for run in before:
        assert run.state is not None
        assert wait_in(run.state.data) is None
        assert {LABEL_DEFERRALS, LABEL_SUBMITTED, LABEL_DEFERRED_UNTIL, LABEL_PLAN} <= run.labels.keys()

    # One worker goes as the next comes.
    with contextlib.ExitStack() as new:
        with worker(bench, name, "process"):
            first = new.enter_context(worker(bench, name, WORKER_TYPE))
            wait_for(lambda: "plans for the pool" in bench.stack.log_tail(first), 60, "a carbon worker plans")
        second = new.enter_context(worker(bench, name, WORKER_TYPE))
        bench.stack.stop_worker(first)
        wait_for(lambda: "plans for the pool" in bench.stack.log_tail(second), 60, "the next one plans")
        wait_for(lambda: f"{RUNS} waiting: " in bench.stack.log_tail(second), 150, "all was decided again")
        assert f"{RUNS} waiting: {RUNS} kept" in bench.stack.log_tail(second)
    for was, run in zip(before, map(bench.read, runs), strict=True):
        assert (run.state_name, starts(run)) == (DEFERRED, starts(was)), bench.describe(run)
        assert run.state is not None
        assert was.state is not None
        # Nobody has touched it, and it can be read as ever.
        assert run.state.id == was.state.id
        assert wait_of(run) == wait_of(was)
        assert bench.jobs_of(run) == []
