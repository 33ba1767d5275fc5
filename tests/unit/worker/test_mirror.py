"""Jobs' ends are brought to their runs, and cancellations to their jobs, whatever was missed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.schemas.objects import FlowRun, State, StateDetails, StateType
from prefect.exceptions import ObjectNotFound
from prefect.states import (
    Cancelled,
    Cancelling,
    Completed,
    Crashed,
    Failed,
    Pending,
    Running,
    Scheduled,
)

from carbon_policy.orchestration.names import LABEL_CHILD, LABEL_PARENT, TAG_PLACED
from carbon_policy.orchestration.placement import idempotency_key
from carbon_policy.worker import mirror as module
from carbon_policy.worker.mirror import Mirror
from carbon_policy.worker.stranded import Stranded
from tests.unit.worker.server import Server

A_MINUTE = timedelta(minutes=1)


class Placed:
    """A server with runs and their jobs, and the mirror of one pool."""

    def __init__(self) -> None:
        self.server = Server()
        self.mine: set[UUID] = set()
        client: Any = self.server
        self.mirror = Mirror(client, "aware", lambda run_id: run_id in self.mine, Stranded(client, "aware"))

    def pair(
        self, job: State[Any] | None = None, run: State[Any] | None = None, pool: str = "aware"
    ) -> tuple[FlowRun, FlowRun]:
        """A run, and the job that it placed."""
        state = run or State(type=StateType.RUNNING, name="PlacedEco", message="greener-site: on eco.")
        parent = self.server.add(state, pool=pool)
        child = self.server.add(
            job or Running(),
            pool="eco",
            tags=[TAG_PLACED],
            flow_id=parent.flow_id,
            idempotency_key=idempotency_key(parent),
            labels={LABEL_PARENT: str(parent.id)},
        )
        parent = parent.model_copy(update={"labels": {LABEL_CHILD: str(child.id)}})
        self.server.runs[parent.id] = parent
        return parent, child

    def look(self, after: timedelta = timedelta(0)) -> Any:
        return self.mirror.look(self.server.now + after)

    def name(self, run: FlowRun) -> str | None:
        return self.server.runs[run.id].state_name


@pytest.fixture
def placed() -> Placed:
    return Placed()


ENDS = [
    (Completed(message="done"), "Completed"),
    (Failed(message="a bug"), "Failed"),
    (Crashed(message="killed"), "Crashed"),
    (Cancelled(message="by hand"), "Cancelled"),
    (Failed(name="TimedOut", message="too long"), "TimedOut"),
    (Completed(name="Cached", message="known"), "Cached"),
]


class TestEnds:
    """A run ends as its job does."""

    @pytest.mark.parametrize(("state", "name"), ENDS, ids=[name for _, name in ENDS])
    @pytest.mark.parametrize("told", [True, False], ids=["told", "found"])
    def test_it_ends_alike_and_says_what_its_job_said(
        self, placed: Placed, state: State[Any], name: str, told: bool
    ) -> None:
        run, job = placed.pair(state)
        seen = placed.mirror.jobs_ended([job.id]) if told else placed.look()
        ended = placed.server.runs[run.id]
        assert (ended.state_name, ended.state_type) == (name, state.type)
        assert ended.state is not None
        assert str(state.message) in (ended.state.message or "")
        assert "greener-site: on eco." in (ended.state.message or "")
        [(told_run, told_job, told_name)] = seen.ended
        assert (told_run.id, told_job, told_name) == (run.id, job.id, name)

    @pytest.mark.parametrize(
        "state", [Running(), Pending(), Scheduled(name="Deferred")], ids=lambda s: s.name
    )
    def test_a_job_that_has_not_ended_ends_nothing(self, placed: Placed, state: State[Any]) -> None:
        run, job = placed.pair(state)
        assert placed.mirror.jobs_ended([job.id]).ended == []
        seen = placed.look()
        assert (seen.ended, seen.under_way) == ([], 1)
        assert placed.name(run) == "PlacedEco"

    def test_an_end_is_brought_once(self, placed: Placed) -> None:
        run, job = placed.pair(Completed())
        placed.look()
        assert placed.mirror.jobs_ended([job.id]).ended == []
        assert placed.look().ended == []
        assert placed.server.states[run.id] == ["Completed"]

    def test_a_run_that_has_ended_stays_as_it_ended(self, placed: Placed) -> None:
        run, job = placed.pair(Completed(), run=Failed(name="Refused"))
        placed.mirror.jobs_ended([job.id])
        placed.look()
        assert placed.server.states[run.id] == []

    def test_runs_of_other_pools_are_their_workers(self, placed: Placed) -> None:
        run, job = placed.pair(Completed(), pool="another")
        placed.mirror.jobs_ended([job.id])
        placed.look()
        assert placed.server.states[run.id] == []

    def test_jobs_of_which_nobody_knows_the_run_are_nothing(self, placed: Placed) -> None:
        job = placed.server.add(Completed(), tags=[TAG_PLACED], labels={LABEL_PARENT: str(uuid4())})
        bare = placed.server.add(Completed(), tags=[TAG_PLACED])
        assert placed.mirror.jobs_ended([job.id, bare.id, uuid4()]).ended == []

    def test_a_run_whose_gate_is_under_way_is_left_to_it(self, placed: Placed) -> None:
        run, _ = placed.pair(Completed())
        placed.mine.add(run.id)
        placed.look()
        assert placed.server.states[run.id] == []
        placed.mine.clear()
        placed.look()
        assert placed.server.states[run.id] == ["Completed"]


class TestDeleted:
    """A job's run that is gone."""

    def test_it_is_not_started_again_and_the_run_says_so(self, placed: Placed) -> None:
        run, job = placed.pair()
        del placed.server.runs[job.id]
        [(_, job_id, name)] = placed.look().ended
        assert (job_id, name) == (job.id, "JobDeleted")
        ended = placed.server.runs[run.id]
        assert (ended.state_name, ended.state_type) == ("JobDeleted", StateType.FAILED)
        assert ended.state is not None
        assert "start a new run" in (ended.state.message or "")

    def test_one_that_was_being_cancelled_is_cancelled(self, placed: Placed) -> None:
        run, job = placed.pair(run=Cancelling())
        del placed.server.runs[job.id]
        placed.look()
        assert placed.name(run) == "Cancelled"

    def test_one_that_a_list_leaves_out_is_not_gone(
        self, placed: Placed, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run, job = placed.pair()
        read = placed.server.read_flow_runs
        monkeypatch.setattr(
            placed.server, "read_flow_runs", lambda **said: [one for one in read(**said) if one.id != job.id]
        )
        placed.look()
        assert placed.server.states[run.id] == []


class TestCancelling:
    """Cancel, at every moment."""

    @pytest.mark.parametrize("told", [True, False], ids=["told", "found"])
    def test_it_is_passed_down_and_the_jobs_end_ends_the_run(self, placed: Placed, told: bool) -> None:
        run, job = placed.pair(run=Cancelling())
        if told:
            placed.mirror.runs_cancelled([run.id])
        else:
            placed.look()
        assert placed.name(job) == "Cancelling"
        assert placed.name(run) == "Cancelling"
        placed.server.set(job.id, Cancelled())
        placed.mirror.jobs_ended([job.id])
        assert placed.name(run) == "Cancelled"

    @pytest.mark.parametrize(
        "end", [Completed(message="done"), Failed(message="a bug")], ids=lambda s: s.name
    )
    def test_a_job_that_was_faster_leaves_its_run_cancelled_with_its_own_end_in_words(
        self, placed: Placed, end: State[Any]
    ) -> None:
        """Prefect lets a run that is cancelling end in no other way."""
        run, job = placed.pair(end, run=Cancelling())
        placed.mirror.jobs_ended([job.id])
        ended = placed.server.runs[run.id].state
        assert ended is not None
        assert (ended.name, str(end.message) in (ended.message or "")) == ("Cancelled", True)

    def test_it_is_asked_for_once(self, placed: Placed) -> None:
        run, job = placed.pair(run=Cancelling())
        for _ in range(3):
            placed.mirror.runs_cancelled([run.id])
            placed.look()
        assert placed.server.states[job.id] == ["Cancelling"]

    def test_one_that_was_never_placed_is_cancelled_when_no_gate_can_be_at_it(self, placed: Placed) -> None:
        state = Cancelling()
        run = placed.server.add(state)
        placed.mirror.look(state.timestamp + timedelta(seconds=29))
        assert placed.server.states[run.id] == []
        placed.mirror.look(state.timestamp + timedelta(seconds=31))
        ended = placed.server.runs[run.id].state
        assert ended is not None
        assert (ended.name, ended.message) == ("Cancelled", "Cancelled before its job was started.")

    def test_one_whose_job_it_does_not_know_of_takes_it_along(self, placed: Placed) -> None:
        """Its gate died between the job and the label."""
        state = Cancelling()
        run, job = placed.pair(run=state)
        placed.server.runs[run.id].labels.clear()
        placed.mirror.look(state.timestamp + A_MINUTE)
        assert [placed.name(job), placed.name(run)] == ["Cancelling", "Cancelling"]
        placed.server.set_flow_run_state(job.id, Cancelled())
        placed.mirror.look(state.timestamp + A_MINUTE)
        assert placed.name(run) == "Cancelled"

    def test_a_job_whose_run_was_cancelled_by_force_is_an_orphan_and_is_cancelled(
        self, placed: Placed
    ) -> None:
        _, job = placed.pair(run=Cancelled())
        _, ended = placed.pair(Completed(), run=Cancelled())
        _, others = placed.pair(run=Cancelled(), pool="another")
        _, failed = placed.pair(run=Failed())
        placed.look()
        assert [placed.name(one) for one in (job, ended, others, failed)] == [
            "Cancelling",
            "Completed",
            "Running",
            "Running",
        ]

    def test_a_job_that_cannot_be_cancelled_holds_up_no_end(
        self, placed: Placed, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        placed.pair(run=Cancelling())
        run, _ = placed.pair(Completed())

        def gone(*_: Any) -> None:
            raise ObjectNotFound(Exception("gone"))

        monkeypatch.setattr(module, "cancel_run", gone)
        placed.look()
        assert placed.name(run) == "Completed"


class TestPlaces:
    """Places in a deployment's limit are freed where nobody asks for them."""

    def _holding(self, placed: Placed) -> FlowRun:
        state = State[Any](
            type=StateType.RUNNING,
            name="PlacedEco",
            state_details=StateDetails(deployment_concurrency_lease_id=uuid4()),
        )
        return placed.pair(run=state)[0]

    def test_they_are_kept_and_not_asked_for_more_often_than_need_be(
        self, placed: Placed, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seconds = [1e6]
        monkeypatch.setattr(module.time, "monotonic", lambda: seconds[0])
        self._holding(placed)
        placed.pair()
        asked = []
        for _ in range(31):
            placed.look()
            asked.append(placed.server.asked.count("renew"))
            seconds[0] += 10
        assert asked[0] == 1
        # Prefect frees one that is not renewed for 300 s.
        assert asked[-1] == 4

    def test_a_place_that_is_lost_holds_up_no_end(
        self, placed: Placed, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def lost(*_: Any) -> None:
            raise ObjectNotFound(Exception("lost"))

        monkeypatch.setattr(placed.server, "renew_concurrency_lease", lost)
        self._holding(placed)
        run, _ = placed.pair(Completed())
        placed.look()
        assert placed.name(run) == "Completed"


class TestOne:
    """One run that cannot be seen to is no reason to leave the others."""

    @pytest.mark.parametrize("told", [True, False], ids=["told", "found"])
    def test_one_that_was_deleted_meanwhile(
        self, placed: Placed, monkeypatch: pytest.MonkeyPatch, told: bool
    ) -> None:
        pairs = [placed.pair(Completed()) for _ in range(3)]
        accept = placed.server.set_flow_run_state

        def gone(run_id: UUID, state: State[Any], force: bool = False) -> Any:
            if run_id == pairs[1][0].id:
                raise ObjectNotFound(Exception("gone"))
            return accept(run_id, state, force)

        monkeypatch.setattr(placed.server, "set_flow_run_state", gone)
        if told:
            placed.mirror.jobs_ended([job.id for _, job in pairs])
        else:
            placed.look()
        assert [placed.name(run) for run, _ in (pairs[0], pairs[2])] == ["Completed", "Completed"]
