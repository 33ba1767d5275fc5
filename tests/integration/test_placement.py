"""Runs that are placed, end to end: a real server, and real process workers on carbon, fast and eco.

All runs are started at once, each named after its case; a test then waits for its own.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.schedules import IntervalSchedule

from carbon_policy.domain.ledger import LedgerEntry
from carbon_policy.orchestration.collect import collect
from carbon_policy.orchestration.names import TAG_PLACED
from carbon_policy.orchestration.records import read_decision
from carbon_policy.store.ledger import Ledger
from tests.support import grids
from tests.support.bench import CARBON, ECO, FAST, Bench, only, unique
from tests.support.jobs import marks
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(400)]

# A busy machine may need longer to ask than the grid needs to turn green; then it is asked of a later window.
GREEN_IN_S = (45, 150, 400)
FLEXIBLE = {"urgency": "flexible", "finish_within": "30m", "expected_duration": "2s"}
PATIENCE_S = 240


class Placements:
    """The runs of this module by case, and what their jobs noted."""

    def __init__(self, bench: Bench, folder: Path) -> None:
        self.bench = bench
        self._folder = folder
        self._runs: dict[str, FlowRun] = {}
        self._markers: dict[str, Path] = {}
        self.flat = bench.policy(grids.flat(folder))

    def deploy(
        self,
        case: str,
        pool: str,
        policy: str,
        flow: str = "jobs.py:plain",
        said: dict[str, Any] | None = None,
        **more: Any,
    ) -> UUID:
        """A deployment whose job notes that it ran."""
        name = unique(case)
        # Of the last one: an earlier one may have been given up.
        self._markers[case] = self._folder / f"{name}.txt"
        return self.bench.deploy(
            pool,
            flow,
            flow=name,
            job_variables={"expected_duration": "2s", **(said or {}), "policy_block": policy},
            parameters={"marker": str(self._markers[case]), **more.pop("parameters", {})},
            **more,
        )

    def start(self, case: str, *args: Any, run: dict[str, Any] | None = None, **more: Any) -> None:
        """Deploy a job, and start a run of it."""
        self._runs[case] = self.bench.run(self.deploy(case, *args, **more), name=case, **(run or {}))

    def start_waiting(self, case: str, pool: str, *args: Any, **more: Any) -> None:
        """Start a run that is put back to wait for a green window."""
        for green_in_s in GREEN_IN_S:
            dips = self.bench.policy(grids.greener_in(self._folder, green_in_s))
            self.start(case, pool, dips, *args, **more)
            self.bench.until(self[case], _was_decided, "it was decided", PATIENCE_S)
            if "Deferred" in self.bench.state_names(self[case]):
                return
        raise AssertionError(f"It never waited.\n{self.bench.describe(self[case])}")

    def __getitem__(self, case: str) -> FlowRun:
        return self._runs[case]

    def __setitem__(self, case: str, run: FlowRun) -> None:
        self._runs[case] = run

    def marks(self, case: str) -> list[list[str]]:
        """What the job's code noted: run id, time, environment."""
        return marks(self._markers[case])

    def ended(self, case: str) -> FlowRun:
        """The gate's run, when it has ended."""
        return self.bench.until_final(self[case], PATIENCE_S)

    def job(self, case: str) -> FlowRun:
        """The job's run, when it has ended; it ran once."""
        self.ended(case)
        job = self.bench.until_final(only(self.bench.jobs_of(self[case])), PATIENCE_S)
        assert len(self.marks(case)) == 1, self.bench.describe(self[case])
        return job


@pytest.fixture(scope="module")
def placed(shared_bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Placements]:
    """All runs, started at once; workers that take two at a time."""
    bench, stack = shared_bench, shared_bench.stack
    with bench.settings():
        workers = [stack.start_worker(pool) for pool in (CARBON, FAST, ECO)]
        placed = Placements(bench, tmp_path_factory.mktemp("marks"))
        env = {"env": {"MARK": "deployment", "OTHER": "kept"}}
        placed.start_waiting("waits", CARBON, said=FLEXIBLE)
        placed.start_waiting("aware-waits", FAST, "jobs_aware.py:flexible", said={"allowed_sites": "fast"})
        placed.start("critical", CARBON, placed.flat, said={"urgency": "critical", **env})
        run = {"job_variables": {"env": {"MARK": "run", "OTHER": "kept"}}, "tags": ["mine"]}
        placed.start("eco", CARBON, placed.flat, said=env, run=run)
        placed.start("stays", CARBON, placed.flat, said={"wait": True})
        placed.start("fails", CARBON, placed.flat, said={"wait": True}, parameters={"fails": True})
        placed.start("observes", CARBON, placed.flat, said={"mode": "observe", **FLEXIBLE})
        # As in an image without carbon_policy.
        off = {"env": {"PREFECT_PLUGINS_ENABLED": "false"}}
        placed.start("unmeasured", CARBON, placed.flat, said={"urgency": "critical", **off})
        placed.start("aware-here", FAST, placed.flat, "jobs_aware.py:critical")
        placed.start("aware-twin", FAST, placed.flat, "jobs_aware.py:normal")
        yield placed
        for worker in workers:
            stack.stop_worker(worker)
        bench.tidy()


class TestWhereItGoes:
    """Fast or eco, and both sides know."""

    def test_critical_goes_to_fast_at_once(self, placed: Placements) -> None:
        run, job = placed.ended("critical"), placed.job("critical")
        assert run.state_name == "PlacedFast"
        assert (job.state_name, job.work_pool_name) == ("Completed", FAST)
        assert "Deferred" not in placed.bench.state_names(run)

    def test_what_saves_on_eco_goes_there(self, placed: Placements) -> None:
        assert placed.ended("eco").state_name == "PlacedEco"
        assert placed.job("eco").work_pool_name == ECO

    def test_the_message_says_why_and_links_to_the_job(self, placed: Placements) -> None:
        state = placed.ended("eco").state
        assert state is not None
        assert state.message is not None
        assert state.message.startswith("greener-site: ")
        assert f"/runs/flow-run/{placed.job('eco').id}" in state.message

    def test_gate_and_job_name_each_other(self, placed: Placements) -> None:
        run, job = placed.ended("eco"), placed.job("eco")
        assert run.labels["carbon-policy.job-run"] == str(job.id)
        assert job.labels["carbon-policy.gate-run"] == str(run.id)
        assert job.job_variables is not None
        assert job.job_variables["carbon_gate_run"] == str(run.id)

    def test_the_job_has_the_runs_name_tags_and_parameters(self, placed: Placements) -> None:
        run, job = placed.ended("eco"), placed.job("eco")
        assert (job.name, job.parameters) == (run.name, run.parameters)
        assert set(job.tags) >= {"mine", TAG_PLACED}

    def test_a_deployments_infrastructure_variables_reach_the_job(self, placed: Placements) -> None:
        placed.job("critical")
        assert placed.marks("critical")[0][2] == "deployment"

    def test_a_runs_infrastructure_variables_reach_the_job_and_win(self, placed: Placements) -> None:
        placed.job("eco")
        assert placed.marks("eco")[0][2] == "run"

    def test_the_policy_task_is_seen_under_the_run(self, placed: Placements) -> None:
        run = placed.ended("eco")
        found = placed.bench.client.request(
            "POST", "/task_runs/filter", json={"task_runs": {"flow_run_id": {"any_": [str(run.id)]}}}
        ).json()
        assert [item["state_type"] for item in found] == ["COMPLETED"]
        assert found[0]["name"].startswith("carbon-policy")

    def test_observing_runs_at_once_on_fast_and_records_what_would_have_been(
        self, placed: Placements
    ) -> None:
        run = placed.ended("observes")
        assert (run.state_name, placed.job("observes").work_pool_name) == ("PlacedFast", FAST)
        decision = read_decision(placed.bench.client, run.id)
        assert decision is not None
        assert decision.reason == "observed"
        assert decision.would_have is not None
        assert decision.would_have.site == "eco"


class TestWhoAsks:
    """The ways in which a run comes to be."""

    def test_a_job_variable_on_the_command_line(self, placed: Placements) -> None:
        deployment = placed.deploy("cli", CARBON, placed.flat)
        known = placed.bench.client.read_deployment(deployment)
        flow = placed.bench.client.read_flow(known.flow_id).name
        command = ["deployment", "run", f"{flow}/nightly", "--job-variable", "urgency=critical"]
        placed.bench.stack.run([sys.executable, "-m", "prefect", *command])
        placed["cli"] = only(_runs_of(placed.bench, deployment))
        assert placed.ended("cli").state_name == "PlacedFast"

    def test_a_schedule(self, placed: Placements) -> None:
        """The scheduler's own runs are placed like any other."""
        soon = datetime.now(UTC) + timedelta(seconds=8)
        schedule = IntervalSchedule(interval=timedelta(hours=6), anchor_date=soon)
        deployment = placed.deploy(
            "scheduled", CARBON, placed.flat, schedules=[DeploymentScheduleCreate(schedule=schedule)]
        )
        # What the server's scheduler does once a minute.
        placed.bench.client.request(
            "POST", "/deployments/{id}/schedule", path_params={"id": deployment}, json={"min_runs": 1}
        )
        runs = wait_for(lambda: _runs_of(placed.bench, deployment), 30, "the scheduler made runs")
        first = min(runs, key=lambda run: run.expected_start_time or soon)
        assert first.auto_scheduled
        placed["scheduled"] = first
        assert placed.ended("scheduled").state_name == "PlacedEco"
        assert len(placed.bench.jobs_of(first)) == 1
        placed.bench.client.delete_deployment(deployment)


class TestStaying:
    """`wait: true`: the gate's run ends as its job ends."""

    def test_it_completes_with_its_job(self, placed: Placements) -> None:
        run, job = placed.ended("stays"), placed.job("stays")
        assert (run.state_name, job.state_name) == ("Completed", "Completed")
        assert run.end_time is not None
        assert job.end_time is not None
        assert run.end_time >= job.end_time

    def test_it_fails_with_its_job(self, placed: Placements) -> None:
        run, job = placed.ended("fails"), placed.job("fails")
        assert (run.state_name, job.state_name) == ("Failed", "Failed")
        assert run.state is not None
        assert "the job's own failure" in (run.state.message or "")


class TestWaiting:
    """Deferred, woken, and run once."""

    def test_a_gated_run_waits_and_is_placed_when_it_is_green(self, placed: Placements) -> None:
        job = placed.job("waits")
        assert job.state_name == "Completed"
        assert "Deferred" in placed.bench.state_names(placed["waits"])
        assert placed.ended("waits").labels["carbon-policy.deferrals"] == 1
        [wait] = [state for state in placed.bench.states(placed["waits"]) if state.name == "Deferred"]
        assert wait.state_details.scheduled_time is not None
        assert job.created is not None
        assert job.created >= wait.state_details.scheduled_time

    def test_a_decorated_run_waits_in_place_and_runs_in_place(self, placed: Placements) -> None:
        run = placed.ended("aware-waits")
        assert run.state_name == "Completed"
        assert "Deferred" in placed.bench.state_names(run)
        assert len(placed.marks("aware-waits")) == 1
        assert placed.bench.jobs_of(run) == []


class TestDecorated:
    """A decorated flow, deployed on the fast pool itself."""

    def test_runs_where_it_is_when_that_is_right(self, placed: Placements) -> None:
        run = placed.ended("aware-here")
        assert run.state_name == "Completed"
        assert [mark[0] for mark in placed.marks("aware-here")] == [str(run.id)]
        assert TAG_PLACED in run.tags

    def test_is_sent_to_its_twin_where_that_saves(self, placed: Placements) -> None:
        run, job = placed.ended("aware-twin"), placed.job("aware-twin")
        assert run.state_name == "PlacedEco"
        assert job.work_pool_name == ECO
        assert [mark[0] for mark in placed.marks("aware-twin")] == [str(job.id)]


ACCOUNTED = ("unmeasured", "critical", "eco", "aware-here", "aware-twin", "waits")


@pytest.fixture(scope="module")
def ledger(placed: Placements, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    """What the collector made of these jobs."""
    for case in ACCOUNTED:
        placed.ended(case)
        for job in placed.bench.jobs_of(placed[case]):
            placed.bench.until_final(job, PATIENCE_S)
    with (
        placed.bench.settings(),
        Ledger(f"sqlite:///{tmp_path_factory.mktemp('ledger') / 'ledger.db'}") as ledger,
    ):
        collect(placed.bench.client, ledger, placed.flat)
        yield ledger


class TestLedger:
    """The collector reads from the server what the jobs left there."""

    def test_holds_one_row_for_each_job_run(self, placed: Placements, ledger: Ledger) -> None:
        rows = [entry.job_run_id for entry in ledger.entries()]
        assert len(rows) == len(set(rows))
        for case in ACCOUNTED:
            assert _ran(placed, case) in rows

    @pytest.mark.parametrize("case", ACCOUNTED)
    def test_grams_are_energy_times_intensity_slot_by_slot(
        self, placed: Placements, ledger: Ledger, case: str
    ) -> None:
        entry = _entry(placed, ledger, case)
        by_hand = sum(slot.energy_kwh * slot.gco2_per_kwh for slot in entry.slots)
        assert entry.slots
        assert entry.gco2 == pytest.approx(by_hand, rel=1e-9)
        assert sum(slot.energy_kwh for slot in entry.slots) == pytest.approx(entry.energy_kwh * entry.pue)

    def test_a_job_that_left_no_reading_gets_the_sites_power_and_says_so(
        self, placed: Placements, ledger: Ledger
    ) -> None:
        entry = _entry(placed, ledger, "unmeasured")
        seconds = (entry.ended_at - entry.started_at).total_seconds()
        assert entry.energy_kwh == pytest.approx(60 * seconds / 3.6e6)
        assert (entry.measured_kwh, entry.estimated_kwh) == (0, pytest.approx(entry.energy_kwh))
        assert "the run left no reading" in entry.energy_note

    @pytest.mark.parametrize("case", ["critical", "aware-here", "aware-twin"])
    def test_a_job_beside_the_plugin_left_its_own_reading(
        self, placed: Placements, ledger: Ledger, case: str
    ) -> None:
        """Decorated or not."""
        assert "the run left no reading" not in _entry(placed, ledger, case).energy_note

    def test_says_where_it_ran_and_why(self, placed: Placements, ledger: Ledger) -> None:
        entry = _entry(placed, ledger, "aware-twin")
        assert (entry.tier, entry.reason) == ("eco", "greener-site")
        assert entry.gate_run_id == str(placed["aware-twin"].id)

    def test_a_second_pass_changes_nothing(self, placed: Placements, ledger: Ledger) -> None:
        before = [_entry(placed, ledger, case) for case in ACCOUNTED]
        again = collect(placed.bench.client, ledger, placed.flat)
        # Jobs of other tests may have ended meanwhile.
        assert not {entry.job_run_id for entry in before} & set(again.recorded)
        assert [_entry(placed, ledger, case) for case in ACCOUNTED] == before


def _ran(placed: Placements, case: str) -> str:
    """The id of the run that ran a case's code: the job's, or where it was not sent away its own."""
    return str(only(placed.bench.jobs_of(placed[case]) or [placed[case]]).id)


def _entry(placed: Placements, ledger: Ledger, case: str) -> LedgerEntry:
    [entry] = [entry for entry in ledger.entries() if entry.job_run_id == _ran(placed, case)]
    return entry


def _runs_of(bench: Bench, deployment: UUID) -> list[FlowRun]:
    filters = {"flow_runs": {"deployment_id": {"any_": [str(deployment)]}}}
    found = bench.client.request("POST", "/flow_runs/filter", json=filters).json()
    return [FlowRun.model_validate(item) for item in found]


def _was_decided(run: FlowRun) -> bool:
    return run.state_name == "Deferred" or (run.state is not None and run.state.is_final())
