"""A job that is killed at any moment goes on from its last checkpoint: nothing is lost, nothing is done differently.

The argument. A state is written to one of two places in turn, with a number and a checksum, and the place of the last
whole one is never written to: so whatever a killed process leaves, the last whole state is there. A run's state is
kept under the run's id, and the run stays on its site once it has begun, so whoever starts it again finds it. Where
it is put to wait, that is one state transition on the server, after its state was saved.

The moments, in order: before a state is saved, half-way through, after it, before the run is put to wait, after.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from prefect.states import Scheduled

from carbon_policy.orchestration.overdue import OverdueKind, find_overdue, re_place
from tests.support import grids
from tests.support.bench import Bench
from tests.support.interruptible import Interruptible, saved_files
from tests.support.steps import STEPS, outcome

pytestmark = [pytest.mark.server, pytest.mark.slow]

# The steps whose state was not whole when the process was killed are done again, and no others.
REPEATED = {
    "before a save": 1,
    "half-way through a save": 1,
    "after a save": 0,
    "before it waits": 0,
    "after it waits": 0,
}
PATIENCE_S = 200


@pytest.fixture(scope="module")
def killed(
    shared_bench: Bench, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, tuple[Interruptible, subprocess.Popen[bytes]]]]:
    """One job for each moment and its first process, all started at once."""
    bench, folder = shared_bench, tmp_path_factory.mktemp("killed")
    with bench.settings(), pytest.MonkeyPatch.context() as monkeypatch:
        policy = bench.policy(grids.flat(folder))
        jobs = {}
        for dies in REPEATED:
            stops = [3] if "waits" in dies else []
            job = Interruptible(bench, folder, policy, dies=dies, stops=stops)
            job.place(monkeypatch)
            jobs[dies] = (job, job.start())
        yield jobs
        for _, process in jobs.values():
            process.kill()
            process.wait()
        bench.tidy()


@pytest.mark.parametrize("dies", REPEATED)
def test_a_job_that_is_killed_goes_on_from_its_last_checkpoint(
    bench: Bench, killed: dict[str, tuple[Interruptible, subprocess.Popen[bytes]]], dies: str
) -> None:
    job, process = killed[dies]
    run = job.job
    assert process.wait(PATIENCE_S) == -signal.SIGKILL, bench.describe(run)
    assert saved_files(bench, run)
    bench.report_crash(run)
    if dies == "after it waits":
        [lost] = [item for item in find_overdue(bench.client, datetime.now(UTC)) if item.run.id == run.id]
        assert lost.kind is OverdueKind.WAIT_LOST
        re_place(bench.client, lost, datetime.now(UTC))
    else:
        bench.client.set_flow_run_state(run.id, Scheduled(), force=True)
    assert job.start().wait(PATIENCE_S) == 0
    if dies == "before it waits":
        assert bench.read(run).state_name == "Deferred", bench.describe(run)
        assert job.start().wait(PATIENCE_S) == 0
    assert bench.read(run).state_name == "Completed", bench.describe(run)
    assert job.outcome == outcome()
    assert job.steps == STEPS + REPEATED[dies]
    # Still the one job of its gate, and its state is needed no more.
    assert job.job.id == run.id
    assert saved_files(bench, run) == []
