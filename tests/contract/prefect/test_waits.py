"""What the carbon worker rests on and Prefect does not promise: waits, leases, cancellations and events.

A real server, and no worker: what a worker does is done here, step by step.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.responses import SetStateStatus
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.exceptions import Pause
from prefect.states import Cancelled, Cancelling, Completed, Running, Scheduled

from carbon_policy.domain.decision import Decision
from carbon_policy.orchestration.deferral import deferrals_of, submitted_at_of
from carbon_policy.orchestration.names import DECISION_DATA, LABEL_PARENT, LABEL_TIER, TAG_PLACED
from carbon_policy.orchestration.placement import Placed, cancel_run
from carbon_policy.orchestration.records import planned_of
from carbon_policy.orchestration.replan import waiting_runs
from carbon_policy.orchestration.waits import Wait, put_to_wait, wait_of
from carbon_policy.worker.batch import due_runs, read_runs
from carbon_policy.worker.clock import ServerClock
from carbon_policy.worker.desk import put_off
from carbon_policy.worker.gates import leave_running, take
from carbon_policy.worker.lease import STALE_S, Lease
from carbon_policy.worker.signals import Signals, listen
from tests.support.bench import CARBON, FAST, Bench, unique
from tests.support.waiting import wait_for
from tests.unit.worker.decided import deferral

pytestmark = [pytest.mark.server, pytest.mark.timeout(180)]

HEARD_WITHIN_S = 20.0


def in_an_hour() -> datetime:
    # With microseconds, as a decision has them: the server must give back and compare every one.
    return datetime.now(UTC) + timedelta(hours=1, microseconds=1)


def to(until: datetime, due_at: datetime | None = None) -> Decision:
    """A decision to wait."""
    return deferral(start=until, ask_again_at=until, evidence={"submitted_at": due_at or datetime.now(UTC)})


def wait(client: Any, run: FlowRun, until: datetime, **fields: Any) -> bool:
    said = Wait(until=until, due_at=run.expected_start_time, deferrals=1, decision="abc", **fields)
    return put_to_wait(client, run, until, "Waits.", said, to(until))


def in_list(bench: Bench, run: FlowRun) -> FlowRun:
    """A run as lists have it, which is how a worker reads."""
    [found] = bench.client.read_flow_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run.id])))
    return found


def scheduled_run(bench: Bench, deployment: UUID) -> FlowRun:
    """The next run of a deployment that its schedule has made."""
    bench.client.request(
        "POST", "/deployments/{id}/schedule", path_params={"id": deployment}, json={"min_runs": 3}
    )
    found = bench.client.request(
        "POST", "/flow_runs/filter", json={"flow_runs": {"deployment_id": {"any_": [str(deployment)]}}}
    ).json()
    first = bench.read(UUID(min(found, key=lambda run: run["expected_start_time"])["id"]))
    assert first.auto_scheduled
    return first


def due_run(bench: Bench, deployment: UUID) -> FlowRun:
    """The same, when it is due."""
    run = scheduled_run(bench, deployment)
    wait_for(
        lambda: bool(run.expected_start_time and datetime.now(UTC) > run.expected_start_time), 10, "it is due"
    )
    return run


def nightly(
    bench: Bench, flow: str | None = None, due_in: timedelta = timedelta(seconds=1), **fields: Any
) -> UUID:
    """A deployment with a schedule, whose first run is due soon."""
    schedule = IntervalSchedule(interval=timedelta(hours=6), anchor_date=datetime.now(UTC) + due_in)
    return bench.deploy(CARBON, flow=flow, schedules=[DeploymentScheduleCreate(schedule=schedule)], **fields)


@pytest.fixture
def run(bench: Bench) -> FlowRun:
    """A run that is due now, and on a pool that no worker serves."""
    return bench.read(bench.run(bench.deploy(CARBON)))


class TestWaits:
    """`put_to_wait`: one change of state that says it all."""

    def test_the_data_of_a_wait_is_read_back_from_a_list(self, bench: Bench, run: FlowRun) -> None:
        until = in_an_hour()
        assert wait(bench.client, run, until)
        read = in_list(bench, run)
        said = wait_of(read)
        assert said is not None
        assert (said.until, said.due_at, said.deferrals, said.decision) == (
            until,
            run.expected_start_time,
            1,
            "abc",
        )
        assert (read.state_name, read.next_scheduled_start_time) == ("Deferred", until)
        assert read.state is not None
        assert read.state.data[DECISION_DATA]["reason"] == "greener-later"
        assert "evidence" not in read.state.data[DECISION_DATA]

    def test_a_second_wait_replaces_the_first(self, bench: Bench, run: FlowRun) -> None:
        assert wait(bench.client, run, in_an_hour())
        later = in_an_hour() + timedelta(hours=2)
        assert wait(bench.client, in_list(bench, run), later)
        read = in_list(bench, run)
        assert read.next_scheduled_start_time == later
        said = wait_of(read)
        assert said is not None
        assert said.until == later

    def test_the_first_due_time_stays(self, bench: Bench, run: FlowRun) -> None:
        wait(bench.client, run, in_an_hour())
        read = in_list(bench, run)
        assert read.expected_start_time == run.expected_start_time
        assert submitted_at_of(read, datetime.now(UTC)) == run.expected_start_time

    def test_an_earlier_start_than_due_is_called_advanced(self, bench: Bench) -> None:
        due = datetime.now(UTC) + timedelta(hours=5)
        run = bench.read(bench.run(bench.deploy(CARBON), state=Scheduled(scheduled_time=due)))
        earlier = in_an_hour()
        assert put_to_wait(
            bench.client, run, earlier, "Greener.", Wait(until=earlier, due_at=due), to(earlier, due)
        )
        read = in_list(bench, run)
        assert (read.state_name, read.expected_start_time) == ("Advanced", run.expected_start_time)
        assert run.id in {one.id for one in waiting_runs(bench.client, CARBON)}

    def test_a_run_that_was_taken_is_left_alone(self, bench: Bench, run: FlowRun) -> None:
        bench.take(run)
        assert not wait(bench.client, run, in_an_hour())
        assert bench.read(run).state_name == "Pending"

    def test_a_run_that_was_moved_is_left_alone(self, bench: Bench, run: FlowRun) -> None:
        wait(bench.client, run, in_an_hour())
        as_read = in_list(bench, run)
        moved = in_an_hour() + timedelta(microseconds=7)
        wait(bench.client, as_read, moved)
        assert not wait(bench.client, as_read, in_an_hour() + timedelta(hours=3))
        assert bench.read(run).next_scheduled_start_time == moved

    def test_a_run_whose_state_has_another_name_is_left_alone(self, bench: Bench, run: FlowRun) -> None:
        due = run.next_scheduled_start_time
        state = Scheduled(name="AwaitingConcurrencySlot", scheduled_time=due)
        bench.client.set_flow_run_state(run.id, state, force=True)
        assert bench.read(run).next_scheduled_start_time == due
        assert not wait(bench.client, run, in_an_hour())
        assert bench.read(run).state_name == "AwaitingConcurrencySlot"

    @pytest.mark.parametrize("state", [Cancelled(), Completed()], ids=["cancelled", "completed"])
    def test_a_run_that_has_ended_is_left_alone(self, bench: Bench, run: FlowRun, state: State[Any]) -> None:
        bench.client.set_flow_run_state(run.id, state)
        assert not wait(bench.client, run, in_an_hour())
        assert bench.read(run).state_type is state.type

    def test_a_run_that_was_deleted_is_none(self, bench: Bench, run: FlowRun) -> None:
        bench.client.delete_flow_run(run.id)
        assert not wait(bench.client, run, in_an_hour())

    def test_the_server_hands_it_out_again_when_its_time_has_come(self, bench: Bench, run: FlowRun) -> None:
        wait(bench.client, run, datetime.now(UTC) + timedelta(seconds=60))
        pool, clock = CARBON, ServerClock()
        now = datetime.now(UTC)
        assert run.id not in {one.id for one in due_runs(bench.client, pool, (), now, clock)}
        [found] = [
            one
            for one in due_runs(bench.client, pool, (), now + timedelta(minutes=2), clock)
            if one.id == run.id
        ]
        assert wait_of(found) is not None

    def test_a_released_run_that_has_waited_knows_when_it_was_first_due(
        self, bench: Bench, run: FlowRun
    ) -> None:
        """The new state has no data; the server's own note of the first due time does."""
        wait(bench.client, run, in_an_hour())
        bench.client.set_flow_run_state(run.id, Scheduled(scheduled_time=datetime.now(UTC)), force=True)
        read = in_list(bench, run)
        assert wait_of(read) is None
        assert submitted_at_of(read, datetime.now(UTC)) == run.expected_start_time


class TestDueRuns:
    """What the server hands out."""

    def test_a_run_that_was_taken_meanwhile_is_not_among_the_due_ones(
        self, bench: Bench, run: FlowRun, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Else its wait would be written over the Pending of the worker that has it."""

        def taken_first(client: Any, ids: Any) -> Iterator[FlowRun]:
            bench.take(run)
            return read_runs(client, ids)

        monkeypatch.setattr("carbon_policy.worker.batch.read_runs", taken_first)
        found = due_runs(bench.client, CARBON, (), datetime.now(UTC), ServerClock())
        assert run.id not in {one.id for one in found}

    def test_only_the_queues_that_are_served(self, bench: Bench) -> None:
        pool = bench.pool(unique("queues"), kind="carbon-aware")
        bench.client.create_work_queue("one", work_pool_name=pool)
        here = bench.run(bench.deploy(pool, work_queue_name="one"))
        bench.run(bench.deploy(pool))
        now = datetime.now(UTC)
        assert [one.id for one in due_runs(bench.client, pool, ["one"], now, ServerClock())] == [here.id]
        assert len(due_runs(bench.client, pool, [], now, ServerClock())) == 2


class TestPutOff:
    """A due run that is put to wait by the planner."""

    def test_a_run_that_a_schedule_made_is_begun_first(self, bench: Bench) -> None:
        run = due_run(bench, nightly(bench))
        until = in_an_hour()
        assert put_off(bench.client, run, to(until))
        read = in_list(bench, run)
        assert (read.state_name, read.next_scheduled_start_time, read.run_count) == ("Deferred", until, 1)
        assert bench.state_names(run) == ["Scheduled", "Pending", "Deciding", "Deferred"]
        assert deferrals_of(read) == 1
        plan = planned_of(read)
        assert plan is not None
        assert (plan.site, plan.start) == ("fast", until)

    def test_any_other_waits_by_one_change_of_state(self, bench: Bench, run: FlowRun) -> None:
        assert put_off(bench.client, run, to(in_an_hour()))
        assert bench.state_names(run) == ["Scheduled", "Deferred"]

    def test_one_that_was_taken_is_left_alone(self, bench: Bench, run: FlowRun) -> None:
        bench.take(run)
        assert not put_off(bench.client, run, to(in_an_hour()))
        made = due_run(bench, nightly(bench))
        bench.take(made)
        assert not put_off(bench.client, made, to(in_an_hour()))
        assert bench.state_names(made) == ["Scheduled", "Pending"]

    def test_a_worker_whose_clock_is_a_little_ahead_takes_nothing_that_it_cannot_put_off(
        self, bench: Bench
    ) -> None:
        """Prefect lets no run begin before its time; one that is left Pending would be found minutes later."""
        run = scheduled_run(bench, nightly(bench, due_in=timedelta(seconds=3)))
        put_off(bench.client, run, to(in_an_hour()))
        assert bench.read(run).state_type is StateType.SCHEDULED

    def test_a_new_deployment_deletes_runs_of_its_schedule_but_not_one_that_was_begun(
        self, bench: Bench
    ) -> None:
        flow = unique("flow")
        deployment = nightly(bench, flow)
        first = due_run(bench, deployment)
        others = [run for run in bench.runs_of_flow(first) if run.id != first.id]
        assert others
        put_off(bench.client, first, to(in_an_hour()))
        # A run whose wait was only written, and that never began, goes as any other of the schedule.
        bare = bench.read(others[0])
        assert wait(bench.client, bare, in_an_hour())
        assert nightly(bench, flow, parameters={"changed": True}) == deployment
        left = {run.id for run in bench.runs_of_flow(first)}
        assert first.id in left
        assert bare.id not in left
        assert bench.read(first).state_name == "Deferred"

    def test_one_that_was_put_off_since_it_was_read_is_not_taken(self, bench: Bench, run: FlowRun) -> None:
        """By another worker, whose gates stand in line: the engine would sleep in its thread until it is due."""
        assert put_off(bench.client, run, to(in_an_hour()))
        assert not take(bench.client, run)
        assert bench.read(run).state_name == "Deferred"

    def test_it_wakes_and_can_be_taken_again(self, bench: Bench) -> None:
        run = due_run(bench, nightly(bench))
        put_off(bench.client, run, to(datetime.now(UTC) - timedelta(seconds=1)))
        assert bench.due(CARBON, run)
        assert take(bench.client, bench.read(run))


class TestConcurrencyLimit:
    """A deployment's own limit."""

    def test_a_wait_neither_holds_a_place_nor_frees_anybodys(self, bench: Bench) -> None:
        deployment = bench.deploy(CARBON, concurrency_limit=1)
        holder, waiting, third = (bench.read(bench.run(deployment)) for _ in range(3))
        assert take(bench.client, holder)
        assert put_off(bench.client, waiting, to(in_an_hour()))
        assert not take(bench.client, third), "The wait has freed the place of the run that holds it."
        assert bench.read(third).state_name == "AwaitingConcurrencySlot"

    def test_a_run_that_is_begun_and_put_off_gives_its_place_back(self, bench: Bench) -> None:
        deployment = nightly(bench, concurrency_limit=1)
        run = due_run(bench, deployment)
        assert put_off(bench.client, run, to(in_an_hour()))
        other = bench.read(bench.run(deployment))
        assert take(bench.client, other)
        # And it gave back one place, not two.
        assert not take(bench.client, bench.read(bench.run(deployment)))

    def test_a_scheduled_run_is_not_put_off_while_there_is_no_place_to_begin_it(self, bench: Bench) -> None:
        deployment = nightly(bench, concurrency_limit=1)
        run = due_run(bench, deployment)
        assert take(bench.client, bench.read(bench.run(deployment)))
        assert not put_off(bench.client, run, to(in_an_hour()))
        assert bench.read(run).state_name == "AwaitingConcurrencySlot"

    def test_a_run_that_finds_no_place_when_it_wakes_knows_how_often_it_was_deferred(
        self, bench: Bench
    ) -> None:
        """Prefect then gives it a state of its own."""
        deployment = bench.deploy(CARBON, concurrency_limit=1)
        run, other = (bench.read(bench.run(deployment)) for _ in range(2))
        a_moment_ago = datetime.now(UTC) - timedelta(seconds=1)
        assert put_off(bench.client, run, to(a_moment_ago, due_at=a_moment_ago - timedelta(minutes=1)))
        assert take(bench.client, other)
        assert not take(bench.client, bench.read(run))
        assert bench.read(run).state_name == "AwaitingConcurrencySlot"
        assert deferrals_of(bench.read(run)) == 1

    def test_a_run_whose_job_is_under_way_holds_its_place_and_renews_it(self, bench: Bench) -> None:
        deployment = bench.deploy(CARBON, concurrency_limit=1)
        run = bench.read(bench.run(deployment))
        assert take(bench.client, run)
        bench.client.set_flow_run_state(run.id, Running())
        bench.client.set_flow_run_state(run.id, State(type=StateType.RUNNING, name="PlacedEco"))
        state = in_list(bench, run).state
        assert state is not None
        lease = state.state_details.deployment_concurrency_lease_id
        assert lease is not None
        bench.client.renew_concurrency_lease(lease, 300)
        assert not take(bench.client, bench.read(bench.run(deployment)))
        bench.client.set_flow_run_state(run.id, Completed())
        assert take(bench.client, bench.read(bench.run(deployment)))


class TestCancel:
    """Cancel in the UI proposes Cancelling."""

    def test_a_waiting_run_is_cancelled_at_once(self, bench: Bench, run: FlowRun) -> None:
        put_off(bench.client, run, to(in_an_hour()))
        bench.client.set_flow_run_state(run.id, Cancelling())
        assert bench.read(run).state_name == "Cancelled"

    def test_so_is_one_that_was_begun_before_it_waited(self, bench: Bench) -> None:
        run = due_run(bench, nightly(bench))
        put_off(bench.client, run, to(in_an_hour()))
        cancel_run(bench.client, run.id)
        assert bench.read(run).state_name == "Cancelled"

    def test_a_run_whose_job_is_under_way_is_cancelling_until_it_is_told_of_the_end(
        self, bench: Bench, run: FlowRun
    ) -> None:
        _place(bench, run)
        bench.client.set_flow_run_state(run.id, Cancelling())
        assert bench.read(run).state_name == "Cancelling"
        answer = bench.client.set_flow_run_state(run.id, Cancelled(message="As its job."))
        assert answer.status is SetStateStatus.ACCEPT

    def test_a_gate_does_not_say_placed_over_a_cancellation(self, bench: Bench, run: FlowRun) -> None:
        bench.take(run)
        bench.client.set_flow_run_state(run.id, Running())
        begun = bench.read(run)
        bench.client.set_flow_run_state(run.id, Cancelling())
        with pytest.raises(Pause):
            leave_running(bench.client, begun, _on_eco(bench, run))
        assert bench.read(run).state_type is StateType.CANCELLING

    def test_a_gate_does_not_bring_back_a_run_whose_job_has_ended_already(
        self, bench: Bench, run: FlowRun
    ) -> None:
        """The event of a short job's end may be there before its gate has said where it is."""
        bench.take(run)
        bench.client.set_flow_run_state(run.id, Running())
        begun = bench.read(run)
        bench.client.set_flow_run_state(run.id, Completed(message="As its job."))
        with pytest.raises(Pause):
            leave_running(bench.client, begun, _on_eco(bench, run))
        assert bench.read(run).state_name == "Completed"


class TestLease:
    """The variable whose name is unique."""

    def test_the_server_makes_a_name_once_and_deletes_an_id_once(self, bench: Bench) -> None:
        body = {"name": f"a_{uuid4().hex}", "value": {"worker": "one", "beats": 0}}
        made = bench.client.request("POST", "/variables/", json=body).json()
        with pytest.raises(httpx.HTTPStatusError) as second:
            bench.client.request("POST", "/variables/", json=body)
        assert second.value.response.status_code == 409
        params = {"id": made["id"]}
        bench.client.request("DELETE", "/variables/{id}", path_params=params)
        for method, said in (("DELETE", {}), ("PATCH", {"json": {"value": {"beats": 1}}})):
            with pytest.raises(httpx.HTTPStatusError) as gone:
                bench.client.request(method, "/variables/{id}", path_params=params, **said)
            assert gone.value.response.status_code == 404

    def test_one_holds_the_others_watch_and_one_of_them_follows(self, bench: Bench) -> None:
        pool, seconds = unique("Pool with spaces"), [0.0]
        first, second, third = (
            Lease(bench.client, pool, name, stopwatch=lambda: seconds[0]) for name in ("a", "b", "c")
        )
        assert [first.beat(), second.beat(), third.beat()] == [True, False, False]
        seconds[0] += STALE_S - 1
        assert first.beat()
        assert not second.beat()
        assert not third.beat()
        seconds[0] += STALE_S
        assert not first.held
        assert [second.beat(), third.beat()] == [True, False]
        assert not first.beat()
        second.give_up()
        assert third.beat()
        third.give_up()


@contextlib.contextmanager
def listening(bench: Bench) -> Iterator[Callable[[Callable[[Signals], Any]], None]]:
    """Signals that hear the server's events; gives a way to wait for what they say."""
    pool_id = bench.client.read_work_pool(CARBON).id
    with asyncio.Runner() as runner:
        signals, task = Signals(), None

        async def begin() -> asyncio.Task[None]:
            return asyncio.create_task(listen(lambda: pool_id, signals))

        async def until(heard: Callable[[Signals], Any]) -> None:
            async with asyncio.timeout(HEARD_WITHIN_S):
                while not heard(signals):
                    await asyncio.sleep(0.05)

        async def end() -> None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

        task = runner.run(begin())
        runner.run(until(lambda now: now.connected))
        signals.due.clear()
        signals.news.clear()
        yield lambda heard: runner.run(until(heard))
        runner.run(end())


class TestEvents:
    """What a worker hears, on the server's own connection."""

    def test_a_new_run_of_the_pool_is_due(self, bench: Bench) -> None:
        deployment = bench.deploy(CARBON)
        with listening(bench) as until:
            bench.run(deployment)
            until(lambda heard: heard.due.is_set())

    def test_a_job_that_ends_is_heard_of_whatever_pool_it_is_on(self, bench: Bench, run: FlowRun) -> None:
        job = _job(bench, run)
        with listening(bench) as until:
            bench.client.set_flow_run_state(job.id, Completed(message="Done."))
            until(lambda heard: heard.news.is_set() and job.id in heard.ended)

    @pytest.mark.parametrize("begun", [True, False], ids=["running", "waiting"])
    def test_a_cancelled_run_is_heard_of(self, bench: Bench, run: FlowRun, begun: bool) -> None:
        if begun:
            _place(bench, run)
        with listening(bench) as until:
            cancel_run(bench.client, run.id)
            until(lambda heard: heard.news.is_set() and run.id in heard.cancelled)

    def test_runs_of_other_pools_are_not_heard_of(self, bench: Bench, run: FlowRun) -> None:
        other = bench.run(bench.deploy(FAST))
        with listening(bench) as until:
            cancel_run(bench.client, other.id)
            cancel_run(bench.client, run.id)

            def both(heard: Signals) -> bool:
                assert other.id not in heard.cancelled
                return run.id in heard.cancelled

            until(both)


def _job(bench: Bench, parent: FlowRun) -> FlowRun:
    """A placed job that no worker serves, begun."""
    job = bench.pending(
        bench.deploy(FAST),
        tags=[TAG_PLACED],
        labels={LABEL_PARENT: str(parent.id), LABEL_TIER: "eco"},
    )
    bench.client.set_flow_run_state(job.id, Running())
    return bench.read(job)


def _on_eco(bench: Bench, run: FlowRun) -> Placed:
    return Placed(_job(bench, run), "greener-site: it is on eco.", wait=True)


def _place(bench: Bench, run: FlowRun) -> None:
    """What a gate leaves of a run."""
    bench.take(run)
    bench.client.set_flow_run_state(run.id, Running())
    with get_client(sync_client=True) as client, pytest.raises(Pause):
        leave_running(client, bench.read(run), _on_eco(bench, run))
    assert bench.read(run).state_name == "PlacedEco"
