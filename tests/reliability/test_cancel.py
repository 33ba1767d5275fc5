"""Cancel, wherever a run is: it has ended within half a minute, and nothing is left behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.states import Cancelling

from tests.support import grids
from tests.support.bench import CARBON, FAST, Bench, only
from tests.support.containers import containers_of, docker_job, docker_pool
from tests.support.gates import run_gate
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.server, pytest.mark.slow]

AT_MOST_S = 30
FLEXIBLE = {"urgency": "flexible", "finish_within": "1h", "expected_duration": "2s"}


def cancel(bench: Bench, run: FlowRun) -> None:
    """What the Cancel button does."""
    bench.client.set_flow_run_state(run.id, Cancelling())


@pytest.fixture(scope="module")
def workers(shared_bench: Bench) -> Iterator[None]:
    """Workers on carbon and fast."""
    stack = shared_bench.stack
    names = [stack.start_worker(pool) for pool in (CARBON, FAST)]
    yield
    for name in names:
        stack.stop_worker(name)
    shared_bench.tidy()


def test_while_deferred(bench: Bench, tmp_path: Path) -> None:
    """Not even a worker is needed."""
    policy = bench.policy(grids.greener_in(tmp_path, 1200))
    run = bench.pending(bench.deploy(CARBON, job_variables={**FLEXIBLE, "policy_block": policy}))
    run_gate(bench.stack, run)
    cancel(bench, bench.until_named(run, "Deferred"))
    assert bench.until_final(run, AT_MOST_S).state_name == "Cancelled"
    assert bench.jobs_of(run) == []


def test_while_its_job_runs_and_it_waits_for_it(bench: Bench, workers: None, tmp_path: Path) -> None:
    """The job is cancelled with it: no orphan goes on."""
    said = {"urgency": "critical", "wait": True, "policy_block": bench.policy(grids.flat(tmp_path))}
    parameters = {"marker": str(tmp_path / "marks.txt"), "lasts_s": 600}
    run = bench.run(bench.deploy(CARBON, "jobs.py:plain", job_variables=said, parameters=parameters))
    wait_for(lambda: (tmp_path / "marks.txt").exists(), 120, "the job runs", lambda: bench.describe(run))
    cancel(bench, run)
    assert bench.until_final(run, AT_MOST_S).state_name == "Cancelled"
    assert bench.until_final(only(bench.jobs_of(run)), AT_MOST_S).state_name == "Cancelled"


def test_the_job_itself_while_it_runs(bench: Bench, workers: None, tmp_path: Path) -> None:
    said = {"urgency": "critical", "policy_block": bench.policy(grids.flat(tmp_path))}
    parameters = {"marker": str(tmp_path / "marks.txt"), "lasts_s": 600}
    run = bench.run(bench.deploy(CARBON, "jobs.py:plain", job_variables=said, parameters=parameters))
    wait_for(lambda: (tmp_path / "marks.txt").exists(), 120, "the job runs", lambda: bench.describe(run))
    job = only(bench.jobs_of(run))
    cancel(bench, job)
    assert bench.until_final(job, AT_MOST_S).state_name == "Cancelled"
    assert bench.read(run).state_name == "PlacedFast"


@pytest.mark.docker
def test_the_job_while_it_runs_in_a_container(bench: Bench) -> None:
    pool = docker_pool(bench, "fast")
    worker = bench.stack.start_worker(pool, "docker")
    try:
        # Placed by hand: it is the job's container that matters.
        deployment = docker_job(bench, pool, carbon_placed="fast")
        run = bench.run(deployment, parameters={"lasts_s": 600})
        bench.until_named(run, "Running", 120)
        assert containers_of(run)
        cancel(bench, run)
        assert bench.until_final(run, AT_MOST_S).state_name == "Cancelled"
        wait_for(lambda: not containers_of(run), AT_MOST_S, "the container is gone")
    finally:
        bench.stack.stop_worker(worker)
