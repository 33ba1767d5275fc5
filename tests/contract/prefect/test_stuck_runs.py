"""Runs that a dead worker left half way, and runs that are not due yet, on a real server without a worker."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.states import Cancelled, Completed, Crashed, Late, Pending, Running
from prefect.workers.process import ProcessWorker

from carbon_policy.orchestration import overdue, placement
from carbon_policy.orchestration.blocks import CarbonSite
from carbon_policy.orchestration.names import LABEL_CHILD, LABEL_PARENT, TAG_PLACED, WORKER_TYPE
from carbon_policy.orchestration.overdue import OverdueKind
from carbon_policy.orchestration.placement import idempotency_key
from carbon_policy.orchestration.waits import Wait, put_to_wait, wait_of
from carbon_policy.orchestration.world import World
from carbon_policy.worker import gates
from carbon_policy.worker.ahead import advance, early_starts
from carbon_policy.worker.mirror import Mirror
from carbon_policy.worker.recovery import NOBODY_FOR, put_back_late, recover
from carbon_policy.worker.stranded import Stranded
from tests.support import grids
from tests.support.bench import FAST, Bench, unique
from tests.support.waiting import wait_for
from tests.unit.worker.decided import deferral

pytestmark = [pytest.mark.server, pytest.mark.timeout(180)]

LONG_AFTER = NOBODY_FOR + timedelta(seconds=30)


@pytest.fixture
def pool(bench: Bench) -> str:
    """A pool of its own, so that what others left is not found."""
    return bench.pool(unique("stuck"), kind=WORKER_TYPE)


class TestRecovery:
    """`recover`: whoever left it, it goes on."""

    def _recovered(
        self, bench: Bench, pool: str, is_mine: Callable[[UUID], bool] = lambda _: False
    ) -> list[tuple[UUID, OverdueKind]]:
        failures: list[Any] = []
        now = datetime.now(UTC) + LONG_AFTER
        found = recover(bench.client, pool, now, is_mine, lambda *what: failures.append(what))
        assert failures == []
        return [(run.id, kind) for run, kind in found]

    @pytest.mark.parametrize(
        ("states", "kind"),
        [
            ([Pending()], OverdueKind.STUCK_PENDING),
            ([Pending(), Running()], OverdueKind.GATE_VANISHED),
            ([Pending(), Running(name="Deciding")], OverdueKind.GATE_VANISHED),
            ([Pending(), Running(), Crashed(message="No good answer.")], OverdueKind.GATE_CRASHED),
        ],
        ids=["taken", "running", "begun-by-the-planner", "crashed"],
    )
    def test_one_that_was_left_half_way_is_due_again(
        self, bench: Bench, pool: str, states: list[State[Any]], kind: OverdueKind
    ) -> None:
        run = bench.run(bench.deploy(pool))
        for state in states:
            bench.client.set_flow_run_state(run.id, state)
        assert recover(bench.client, pool, datetime.now(UTC), lambda _: False, lambda *_: None) == []
        assert self._recovered(bench, pool, lambda run_id: run_id == run.id) == []
        assert self._recovered(bench, pool) == [(run.id, kind)]
        assert bench.read(run).state_type is StateType.SCHEDULED
        bench.take(run)

    def test_one_whose_job_is_under_way_is_not_stuck(self, bench: Bench, pool: str) -> None:
        run, _ = self._placed(bench, pool)
        assert self._recovered(bench, pool) == []
        assert bench.read(run).state_name == "PlacedFast"

    def test_one_that_ended_as_its_job_is_not_stuck(self, bench: Bench, pool: str) -> None:
        run, job = self._placed(bench, pool)
        for one in (job, run):
            bench.client.set_flow_run_state(one.id, Crashed(message="Killed."))
        assert self._recovered(bench, pool) == []

    def test_one_that_crashed_with_its_job_is_not_revived_when_that_is_deleted(
        self, bench: Bench, pool: str
    ) -> None:
        # Its gate died before it said where the job is; whoever ends the run writes it down.
        run, job = self._placed(bench, pool, linked=False)
        bench.client.set_flow_run_state(job.id, Crashed(message="Killed."))
        mirror = Mirror(bench.client, pool, lambda _: False, Stranded(bench.client, pool))
        assert mirror.jobs_ended([job.id]).ended
        assert bench.read(run).labels[LABEL_CHILD] == str(job.id)
        bench.client.delete_flow_run(job.id)
        assert self._recovered(bench, pool) == []
        assert bench.read(run).state_name == "Crashed"

    def test_one_that_is_cancelled_in_that_moment_stays_cancelled(
        self, bench: Bench, pool: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = bench.run(bench.deploy(pool))
        bench.take(run)
        patch = overdue.patch_for_return

        def cancelled_meanwhile(*args: Any, **more: Any) -> None:
            patch(*args, **more)
            bench.client.set_flow_run_state(run.id, Cancelled())

        monkeypatch.setattr(overdue, "patch_for_return", cancelled_meanwhile)
        self._recovered(bench, pool)
        assert bench.read(run).state_name == "Cancelled"

    def test_one_that_waits_and_nobody_woke_is_offered_to_all_and_left(self, bench: Bench, pool: str) -> None:
        run = bench.run(bench.deploy(pool))
        assert self._recovered(bench, pool) == []
        assert bench.state_names(run) == ["Scheduled"]

    def test_those_of_other_pools_are_their_workers(self, bench: Bench, pool: str) -> None:
        other = bench.run(bench.deploy(bench.pool(unique("other"), kind=WORKER_TYPE)))
        bench.take(other)
        assert self._recovered(bench, pool) == []
        assert bench.read(other).state_name == "Pending"

    def test_a_second_pass_finds_nothing(self, bench: Bench, pool: str) -> None:
        bench.take(bench.run(bench.deploy(pool)))
        assert len(self._recovered(bench, pool)) == 1
        assert self._recovered(bench, pool) == []

    def _placed(self, bench: Bench, pool: str, *, linked: bool = True) -> tuple[FlowRun, FlowRun]:
        flow = unique("flow")
        run = bench.run(bench.deploy(pool, flow=flow))
        job = bench.run(
            bench.deploy(FAST, flow=flow, name="nightly@fast"),
            tags=[TAG_PLACED],
            labels={LABEL_PARENT: str(run.id)},
            idempotency_key=idempotency_key(run),
            state=Pending(),
        )
        bench.client.set_flow_run_state(job.id, Running())
        bench.take(run)
        bench.client.set_flow_run_state(run.id, Running())
        if linked:
            bench.client.update_flow_run_labels(run.id, {LABEL_CHILD: str(job.id)})
        bench.client.set_flow_run_state(run.id, State(type=StateType.RUNNING, name="PlacedFast"))
        return run, job


class TestMarkedLate:
    """Prefect looks for late runs, and marks them a moment later, whatever they are by then."""

    def test_a_wait_that_was_written_over_is_given_back(self, bench: Bench, pool: str) -> None:
        run = bench.read(bench.run(bench.deploy(pool)))
        until = datetime.now(UTC) + timedelta(hours=1)
        said = Wait(until=until, due_at=run.expected_start_time, deferrals=2, decision="abc")
        decision = deferral(start=until, ask_again_at=until)
        assert put_to_wait(bench.client, run, until, "Waits.", said, decision)
        bench.client.set_flow_run_state(run.id, Late(scheduled_time=until), force=True)
        assert wait_of(bench.read(run)) is None
        assert [one.id for one in put_back_late(bench.client, pool, datetime.now(UTC))] == [run.id]
        waits = bench.read(run)
        assert waits.state_name == "Deferred"
        assert waits.next_scheduled_start_time == until
        assert wait_of(waits) == said
        # One that is late in truth, or that never waited, is left.
        late = bench.run(bench.deploy(pool), state=Late(scheduled_time=until))
        assert put_back_late(bench.client, pool, datetime.now(UTC)) == []
        assert bench.read(late).state_name == "Late"


class TestGate:
    """A gate in the worker's process that meets a server that gives no good answer."""

    @pytest.mark.parametrize("fails", ["after the job was made", "as it says where the job is"])
    def test_a_run_whose_job_is_there_ends_as_the_job_whatever_answers_were_lost(
        self, bench: Bench, pool: str, tmp_path: Path, fails: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def no_answer(*_: Any) -> None:
            raise httpx.ReadTimeout("the reply was lost")

        if fails.startswith("after"):
            create = placement.create_child

            def created(*args: Any) -> None:
                create(*args)
                no_answer()

            monkeypatch.setattr(placement, "create_child", created)
        else:
            monkeypatch.setattr(gates, "leave_running", no_answer)
        said = {"policy_block": bench.policy(grids.flat(tmp_path)), "urgency": "critical"}
        run = bench.read(bench.run(bench.deploy(pool, job_variables=said)))
        self._gate(bench, run)
        [job] = bench.jobs_of(run)
        monkeypatch.undo()
        recover(
            bench.client,
            pool,
            datetime.now(UTC) + LONG_AFTER,
            lambda _: False,
            lambda *what: pytest.fail(str(what)),
        )
        # Left as it is, and linked to its job by whoever looks; it ends as the job does, and there is one.
        assert bench.read(run).state_type is StateType.RUNNING, bench.describe(run)
        mirror = Mirror(bench.client, pool, lambda _: False, Stranded(bench.client, pool))
        mirror.look(datetime.now(UTC) + LONG_AFTER)
        assert bench.read(run).labels[LABEL_CHILD] == str(job.id)
        bench.client.set_flow_run_state(job.id, Completed())
        mirror.look(datetime.now(UTC) + LONG_AFTER)
        assert bench.read(run).state_name == "Completed", bench.describe(run)
        assert [one.id for one in bench.jobs_of(run)] == [job.id]

    @pytest.mark.parametrize("wrong", ["job variable", "parameter"])
    def test_a_run_that_is_refused_where_it_would_be_placed_says_so(
        self, bench: Bench, pool: str, tmp_path: Path, wrong: str
    ) -> None:
        template = ProcessWorker.get_default_base_job_template()
        template["variables"]["properties"]["ranks"] = {"type": "integer", "maximum": 1}
        site = bench.pool(unique("site"), template)
        bench.seem_served(site)
        CarbonSite(work_pool=site, tier="fast", zone="DE", power_w=60).save(site)
        said = {"policy_block": bench.policy(grids.flat(tmp_path), sites=[site]), "urgency": "critical"}
        deployment = bench.deploy(pool, job_variables=said)
        run = bench.run(
            deployment,
            parameters={"epochs": "many"},
            job_variables={"ranks": 4} if wrong == "job variable" else {},
        )
        if wrong == "parameter":
            # While it waited, its flow came to take a number.
            schema = {"type": "object", "properties": {"epochs": {"type": "integer"}}}
            client = bench.client
            path = {"id": deployment}
            client.request(
                "PATCH",
                "/deployments/{id}",
                path_params=path,
                json={"parameter_openapi_schema": schema, "enforce_parameter_schema": True},
            )
        self._gate(bench, bench.read(run))
        ended = bench.read(run)
        assert (ended.state_type, ended.state_name) == (StateType.FAILED, "Refused"), bench.describe(run)
        assert ended.state is not None
        for word in (f"Work pool {site} refuses", "ranks" if wrong == "job variable" else "epochs"):
            assert word in (ended.state.message or "")

    def _gate(self, bench: Bench, run: FlowRun) -> None:
        one = gates.Gates(bench.client, 1, lambda *_: None)
        one.start(run, None, None)
        wait_for(lambda: not one.count, 60, "the gate is done")
        one.close()


class TestAhead:
    """Runs that a schedule made, and that may start early."""

    def _scheduled(self, bench: Bench, pool: str, policy: str, due_in: timedelta, **said: Any) -> FlowRun:
        schedule = IntervalSchedule(interval=timedelta(days=2), anchor_date=datetime.now(UTC) + due_in)
        deployment = bench.deploy(
            pool,
            job_variables={"policy_block": policy, "expected_duration": "2s", **said},
            schedules=[DeploymentScheduleCreate(schedule=schedule)],
        )
        bench.client.request(
            "POST", "/deployments/{id}/schedule", path_params={"id": deployment}, json={"min_runs": 1}
        )
        filters = {"flow_runs": {"deployment_id": {"any_": [str(deployment)]}}}
        found = bench.client.request("POST", "/flow_runs/filter", json=filters).json()
        return bench.read(UUID(min(found, key=lambda run: run["expected_start_time"])["id"]))

    def _advanced(self, bench: Bench, pool: str) -> list[UUID]:
        world = World(bench.client, datetime.now(UTC))
        return [run.id for run, _ in advance(bench.client, world, early_starts(bench.client, pool, world))]

    @pytest.fixture
    def green_now(self, bench: Bench, tmp_path: Path) -> str:
        """A policy on a grid that is green for ten minutes, and then brown."""
        return bench.policy(grids.trace(tmp_path, [grids.GREEN] * 600 + [grids.BROWN]))

    def test_it_is_moved_to_the_green_and_keeps_its_due_time(
        self, bench: Bench, pool: str, green_now: str
    ) -> None:
        run = self._scheduled(bench, pool, green_now, timedelta(minutes=20), start_early="30m")
        assert self._advanced(bench, pool) == [run.id]
        moved = bench.read(run)
        assert (moved.state_name, moved.expected_start_time) == ("Advanced", run.expected_start_time)
        assert moved.next_scheduled_start_time is not None
        assert run.expected_start_time is not None
        assert moved.next_scheduled_start_time < run.expected_start_time
        said = wait_of(moved)
        assert said is not None
        assert (said.due_at, said.deferrals) == (run.expected_start_time, 0)
        assert self._advanced(bench, pool) == []

    @pytest.mark.parametrize(
        ("due_in_m", "said"),
        [(20, {}), (20, {"start_early": "5m"}), (20, {"start_early": "30m", "mode": "observe"})],
        ids=["no-leave", "not-so-early", "only-observed"],
    )
    def test_others_stay_where_they_are(
        self, bench: Bench, pool: str, green_now: str, due_in_m: int, said: dict[str, Any]
    ) -> None:
        run = self._scheduled(bench, pool, green_now, timedelta(minutes=due_in_m), **said)
        assert self._advanced(bench, pool) == []
        assert bench.state_names(run) == ["Scheduled"]

    def test_nothing_is_moved_where_it_saves_nothing(self, bench: Bench, pool: str, tmp_path: Path) -> None:
        run = self._scheduled(
            bench, pool, bench.policy(grids.flat(tmp_path)), timedelta(minutes=20), start_early="30m"
        )
        assert self._advanced(bench, pool) == []
        assert bench.state_names(run) == ["Scheduled"]

    def test_a_deployment_of_which_nonsense_is_said_keeps_no_other_from_it(
        self, bench: Bench, pool: str, green_now: str
    ) -> None:
        early = {"start_early": "30m"}
        for bad in (
            {"policy_block": "not-there"},
            {"start_early": "soon"},
            {"earliest_start": "9999-12-31T23:59:59Z"},
            {"timezone": "../etc", "allowed_hours": "22:00-06:00"},
        ):
            said = {**early, **bad}
            self._scheduled(bench, pool, said.pop("policy_block", green_now), timedelta(minutes=20), **said)
        run = self._scheduled(bench, pool, green_now, timedelta(minutes=20), **early)
        assert run.id in self._advanced(bench, pool)

    def test_one_that_another_takes_or_ends_meanwhile_is_left_to_them(
        self, bench: Bench, pool: str, green_now: str
    ) -> None:
        run = self._scheduled(bench, pool, green_now, timedelta(minutes=20), start_early="30m")
        world = World(bench.client, datetime.now(UTC))
        early = early_starts(bench.client, pool, world)
        decide = world.deployment

        def ends_first(deployment_id: UUID) -> Any:
            bench.client.set_flow_run_state(run.id, Completed())
            return decide(deployment_id)

        world.deployment = ends_first  # type: ignore[method-assign]
        assert list(advance(bench.client, world, early)) == []
        assert bench.read(run).state_name == "Completed"
