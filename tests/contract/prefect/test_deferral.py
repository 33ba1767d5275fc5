"""What Prefect does to a run that is put back to wait, and that ours comes back.

A test for each row of the table "Deferring a run in place". Those named `prefect_...` state what Prefect 3.8 does
by itself: if that changes, they go red first, and `orchestration/deferral.py` can be made simpler. All runs are
started at once on one worker; each test then waits for its own.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Cancelling

from carbon_policy.demo.processes import PrefectStack
from carbon_policy.orchestration.overdue import OverdueKind, find_overdue, re_place
from tests.support import grids
from tests.support.bench import SUPPORT, Bench, unique
from tests.support.jobs import marks
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(300)]

BOTH = ("naive", "ours")
A_WHILE_S = 600.0
# Processes that start together slow each other down on a small machine; a run that waits takes no place.
AT_ONCE = 3


class Cases:
    """The runs of this module, by name, and what their processes noted."""

    def __init__(self, bench: Bench, folder: Path) -> None:
        self.bench = bench
        self.pool = bench.pool(unique("bare"), limit=AT_ONCE)
        self._folder = folder
        self._runs: dict[str, FlowRun] = {}

    def start(
        self, case: str, flow: str, retries: int | None = None, limit: int | None = None, **parameters: object
    ) -> None:
        """Deploy a flow and start a run of it."""
        deployment = self.bench.deploy(
            self.pool, f"jobs_deferring.py:{flow}", flow=unique(flow), concurrency_limit=limit
        )
        for name in [case] if limit is None else [case, f"{case}-second"]:
            given = {**parameters, "marker": str(self._marker(name))}
            self._runs[name] = self.bench.run(deployment, name=name, parameters=given)

    def _marker(self, case: str) -> Path:
        return self._folder / f"{case}.txt"

    def __getitem__(self, case: str) -> FlowRun:
        return self._runs[case]

    def starts(self, case: str) -> list[datetime]:
        """When processes of a case's run began."""
        return [datetime.fromisoformat(mark[1]) for mark in marks(self._marker(case))]

    def ends(self, case: str) -> FlowRun:
        """A case's run, when it has ended."""
        return self.bench.until_final(self[case], 240)

    def waits(self, case: str) -> FlowRun:
        """A case's run, when it is deferred."""
        return self.bench.until_named(self[case], "Deferred", 240)


@pytest.fixture(scope="module")
def cases(shared_bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cases]:
    """All runs, started at once."""
    bench = shared_bench
    with bench.settings():
        cases = Cases(bench, tmp_path_factory.mktemp("marks"))
        for recipe in BOTH:
            # Those that wait long, or for which a test must act, go first.
            cases.start(f"cancel-{recipe}", "hopping", recipe=recipe, wait_s=A_WHILE_S)
            cases.start(f"retried-{recipe}", "after_retry", recipe=recipe)
            cases.start(f"crash-{recipe}", "hopping", recipe=recipe, exit_code=1, wait_s=15.0)
            cases.start(f"retries-{recipe}", "with_retries", recipe=recipe)
        cases.start("limited-ours", "hopping", limit=1, recipe="ours", wait_s=A_WHILE_S)
        cases.start("naive", "hopping", recipe="naive")
        cases.start("ours", "hopping", recipe="ours", swallow=True)
        cases.start("returning", "returning")
        cases.start("task", "in_task")
        cases.start("subflow", "in_subflow")
        cases.start("aware-subflow", "with_aware_child")
        worker = bench.stack.start_worker(cases.pool, env={"PREFECT_WORKER_PREFETCH_SECONDS": "2"})
        yield cases
        bench.stack.stop_worker(worker)
        bench.tidy()


class TestPrefectByItself:
    """If one of these goes red on a newer Prefect, `deferral.py` may be doing too much."""

    def test_prefect_crashes_a_run_that_returns_scheduled(self, cases: Cases) -> None:
        assert cases.ends("returning").state_type is StateType.CRASHED

    def test_prefect_wakes_a_run_that_raises_pause(self, cases: Cases) -> None:
        assert cases.ends("naive").state_name == "Completed"
        assert len(cases.starts("naive")) == 2

    def test_prefect_offers_no_worker_a_run_deferred_after_a_retry_in_its_process(self, cases: Cases) -> None:
        run = cases.waits("retried-naive")
        assert run.empirical_policy.retry_type == "in_process"
        assert not cases.bench.due(cases.pool, run)

    def test_prefect_counts_each_deferral_as_an_attempt(self, cases: Cases) -> None:
        assert cases.ends("retries-naive").state_name == "Failed"
        assert len(cases.starts("retries-naive")) == 3

    def test_prefect_lets_a_crash_overwrite_the_deferral(self, cases: Cases) -> None:
        assert cases.ends("crash-naive").state_type is StateType.CRASHED
        assert cases.bench.state_names(cases["crash-naive"])[-2:] == ["Deferred", "Crashed"]

    def test_prefect_leaves_the_task_running_that_deferred_its_flow(self, cases: Cases) -> None:
        run = cases.waits("task")
        assert _tasks_of(cases.bench, run) == {"deferring_task": "RUNNING"}

    def test_prefect_leaves_the_parent_running_whose_subflow_deferred(self, cases: Cases) -> None:
        parent = cases["subflow"]
        [child] = wait_for(lambda: _children(cases.bench, parent), 120, "the subflow began")
        cases.bench.until_named(child, "Deferred", 120)
        assert cases.bench.read(cases["subflow"]).state_name == "Running"

    def test_prefect_lets_pause_reach_a_direct_caller_and_leaves_an_orphan(
        self, cases: Cases, stack: PrefectStack, tmp_path: Path
    ) -> None:
        marker = tmp_path / "direct.txt"
        done = stack.run([sys.executable, str(SUPPORT / "jobs_deferring.py"), "naive", str(marker)])
        assert "Pause reached the caller" in done.stdout
        orphan = cases.bench.read(_run_id(marker))
        assert (orphan.state_name, orphan.deployment_id) == ("Deferred", None)


class TestOurs:
    """The recipe in `orchestration/deferral.py`."""

    def test_is_woken_on_time_and_completes(self, cases: Cases) -> None:
        run = cases.ends("ours")
        assert run.state_name == "Completed"
        due = [s.state_details.scheduled_time for s in cases.bench.states(run) if s.name == "Deferred"]
        assert len(due) == 1
        for moment, began in zip(due, cases.starts("ours")[1:], strict=True):
            assert moment is not None
            assert began >= moment
        assert run.labels["carbon-policy.deferrals"] == 1

    def test_leaves_its_process_with_exit_code_0(self, cases: Cases) -> None:
        """A worker proposes Crashed for any other, whatever the run's state says."""
        assert "Crashed" not in cases.bench.state_names(cases.ends("ours"))

    def test_is_woken_after_a_retry_in_its_process(self, cases: Cases) -> None:
        assert cases.ends("retried-ours").state_name == "Completed"
        assert len(cases.starts("retried-ours")) == 3

    def test_leaves_the_flow_its_own_retries(self, cases: Cases) -> None:
        assert cases.ends("retries-ours").state_name == "Completed"
        assert len(cases.starts("retries-ours")) == 4

    def test_survives_an_except_exception_around_it(self, cases: Cases) -> None:
        assert "Deferred" in cases.bench.state_names(cases.ends("ours"))

    def test_frees_the_deployments_slot_while_it_waits(self, cases: Cases) -> None:
        """Two runs share a limit of one, and both came to wait."""
        cases.waits("limited-ours")
        cases.waits("limited-ours-second")

    def test_cancel_while_deferred_ends_cancelled_where_prefect_hangs(self, cases: Cases) -> None:
        runs = [cases.waits(f"cancel-{recipe}") for recipe in BOTH]
        for run in runs:
            # As the Cancel button does.
            cases.bench.client.set_flow_run_state(run.id, Cancelling())
        assert cases.bench.until_final(runs[1], 30).state_name == "Cancelled"
        assert cases.bench.read(runs[0]).state_name == "Cancelling"

    def test_a_wait_that_a_crash_overwrote_is_put_back_and_kept(self, cases: Cases) -> None:
        """The process ended badly after the deferral, so the worker reported a crash: the sweep takes it back."""
        run = cases.ends("crash-ours")
        assert cases.bench.state_names(run)[-2:] == ["Deferred", "Crashed"]
        now = datetime.now(UTC)
        lost = [item for item in find_overdue(cases.bench.client, now) if item.run.id == run.id]
        assert [item.kind for item in lost] == [OverdueKind.WAIT_LOST]
        re_place(cases.bench.client, lost[0], now)
        assert cases.ends("crash-ours").state_name == "Completed"
        assert len(cases.starts("crash-ours")) == 2

    def test_a_decorated_subflow_runs_at_once_and_its_parent_ends(self, cases: Cases) -> None:
        assert cases.ends("aware-subflow").state_name == "Completed"
        assert len(cases.starts("aware-subflow")) == 1

    def test_a_direct_call_of_a_decorated_flow_runs_at_once(self, bench: Bench, tmp_path: Path) -> None:
        bench.policy(grids.greener_in(tmp_path, 600))
        marker = tmp_path / "direct.txt"
        done = bench.stack.run([sys.executable, str(SUPPORT / "jobs_deferring.py"), "aware", str(marker)])
        assert done.stdout.splitlines()[-1] == "done"
        assert bench.read(_run_id(marker)).state_name == "Completed"


def _tasks_of(bench: Bench, run: FlowRun) -> dict[str, str]:
    found = bench.client.request(
        "POST", "/task_runs/filter", json={"task_runs": {"flow_run_id": {"any_": [str(run.id)]}}}
    ).json()
    return {item["name"].rpartition("-")[0]: item["state_type"] for item in found}


def _children(bench: Bench, run: FlowRun) -> list[FlowRun]:
    return bench.client.read_flow_runs(
        flow_run_filter=FlowRunFilter.model_validate({"parent_flow_run_id": {"any_": [run.id]}})
    )


def _run_id(marker: Path) -> UUID:
    return UUID(marks(marker)[0][0])
