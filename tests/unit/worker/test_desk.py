"""Which due runs a worker sees to, and what it leaves to others."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.responses import SetStateStatus
from prefect.states import Pending

from carbon_policy.domain.decision import Decision
from carbon_policy.orchestration.names import DECISION_DATA
from carbon_policy.orchestration.waits import wait_of
from carbon_policy.worker.batch import MOST
from carbon_policy.worker.clock import ServerClock
from carbon_policy.worker.desk import OTHERS_AFTER, Desk, put_off
from carbon_policy.worker.journal import Journal
from carbon_policy.worker.metrics import Metrics
from tests.unit.worker.decided import LATER, deferral
from tests.unit.worker.server import FLEXIBLE, POOL, Server, Told

AHEAD = timedelta(seconds=10)
SECOND = timedelta(seconds=1)


class Gates:
    """Notes which runs it was given."""

    def __init__(self) -> None:
        self.given: list[tuple[UUID, Decision | None]] = []
        self.under_way: set[UUID] = set()

    def has(self, run_id: UUID) -> bool:
        return run_id in self.under_way

    @property
    def count(self) -> int:
        return len(self.under_way)

    def start(self, run: FlowRun, decision: Decision | None, _: Any) -> bool:
        self.given.append((run.id, decision))
        self.under_way.add(run.id)
        return True

    @property
    def runs(self) -> list[UUID]:
        return [run_id for run_id, _ in self.given]


class Office:
    """A desk, and all that is around it."""

    def __init__(self) -> None:
        self.server, self.gates, self.world = Server(), Gates(), Told()
        self.metrics = Metrics()
        self.desk = Desk(
            self.server,  # type: ignore[arg-type]
            POOL,
            (),
            ServerClock(lambda: self.server.now),
            self,  # type: ignore[arg-type]
            self.gates,  # type: ignore[arg-type]
            self.metrics,
            Journal(logging.getLogger("test-desk")),
        )

    def now(self) -> Told:
        self.world.now = self.server.now
        return self.world

    def flexible(self, **fields: Any) -> FlowRun:
        """A run that is to wait: it is three hours to the green."""
        self.world.expected = (400.0,) * 3 + (10.0,) * 21
        run = self.server.add(**fields)
        assert run.deployment_id is not None
        self.world.said[run.deployment_id] = FLEXIBLE
        return run

    def counted(self, name: str) -> float:
        return sum(
            sample.value
            for metric in self.metrics.registry.collect()
            for sample in metric.samples
            if sample.name == f"carbon_policy_{name}"
        )


@pytest.fixture
def office(monkeypatch: pytest.MonkeyPatch) -> Iterator[Office]:
    office = Office()
    # The outlooks are left on the server as artifacts.
    office.server.create_artifact = lambda _: None  # type: ignore[attr-defined]
    yield office
    office.desk.close()


class TestPlanner:
    """The worker that plans."""

    def test_it_puts_to_wait_without_taking(self, office: Office) -> None:
        run = office.flexible()
        office.desk.look(AHEAD, plans=True)
        assert office.server.states[run.id] == ["Deferred"]
        assert office.gates.given == []
        waits = office.server.runs[run.id]
        said = wait_of(waits)
        assert said is not None
        assert (said.until, said.deferrals, said.due_at) == (
            waits.next_scheduled_start_time,
            1,
            run.expected_start_time,
        )

    def test_it_gives_what_is_to_go_to_a_gate_with_the_decision(self, office: Office) -> None:
        run = office.server.add()
        office.desk.look(AHEAD, plans=True)
        [(run_id, decision)] = office.gates.given
        assert decision is not None
        assert (run_id, decision.evidence.job) == (run.id, str(run.id))

    def test_what_cannot_be_decided_goes_to_a_gate_which_says_why(self, office: Office) -> None:
        run, other = office.server.add(job_variables={"urgncy": "x"}), office.server.add()
        office.desk.look(AHEAD, plans=True)
        assert office.gates.runs == [run.id, other.id]
        assert office.gates.given[0][1] is None

    def test_a_run_whose_gate_is_under_way_is_left_to_it(self, office: Office) -> None:
        run = office.server.add()
        office.gates.under_way.add(run.id)
        office.desk.look(AHEAD, plans=True)
        assert office.gates.given == []

    def test_one_that_cannot_be_written_holds_up_nobody(
        self, office: Office, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        runs = [office.flexible() for _ in range(3)]
        request = office.server.request

        def broken(method: str, path: str, path_params: Any = None, json: Any = None) -> Any:
            if json and str(runs[1].id) in json.get("flow_runs", {}).get("id", {}).get("any_", ()):
                raise httpx.ReadTimeout("no answer")
            return request(method, path, path_params, json)

        monkeypatch.setattr(office.server, "request", broken)
        office.desk.look(AHEAD, plans=True)
        assert [office.server.states[run.id] for run in runs] == [["Deferred"], [], ["Deferred"]]
        assert office.counted("api_errors_total") == 1
        monkeypatch.setattr(office.server, "request", request)
        office.desk.look(AHEAD, plans=True)
        assert office.server.states[runs[1].id] == ["Deferred"]

    def test_a_server_that_does_not_answer_is_told_of(
        self, office: Office, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def down(*_: Any, **__: Any) -> None:
            raise httpx.ConnectError("down")

        monkeypatch.setattr(office.server, "request", down)
        with pytest.raises(httpx.ConnectError):
            office.desk.look(AHEAD, plans=True)


class TestOthers:
    """The workers that do not plan."""

    def test_they_wait_for_the_planner_a_little(self, office: Office) -> None:
        run = office.server.add()
        looked = office.desk.look(AHEAD, plans=False)
        assert office.gates.given == []
        assert looked.next_due == run.next_scheduled_start_time + OTHERS_AFTER  # type: ignore[operator]
        office.server.now += OTHERS_AFTER - SECOND / 10
        office.desk.look(AHEAD, plans=False)
        assert office.gates.given == []
        office.server.now += SECOND / 10
        office.desk.look(AHEAD, plans=False)
        assert office.gates.runs == [run.id]

    def test_they_put_nothing_to_wait_but_by_a_gate(self, office: Office) -> None:
        """A gate takes a run first, and of two workers only one can."""
        run = office.flexible()
        office.server.now += OTHERS_AFTER
        office.desk.look(AHEAD, plans=False)
        assert office.gates.runs == [run.id]
        assert office.server.states[run.id] == []


class TestNext:
    """When to look again."""

    @pytest.mark.parametrize("plans", [True, False])
    def test_nothing_is_due(self, office: Office, plans: bool) -> None:
        office.server.add(due=office.server.now + AHEAD + SECOND)
        assert office.desk.look(AHEAD, plans=plans).next_due is None

    def test_the_first_of_those_that_are_due_soon(self, office: Office) -> None:
        office.server.add(due=office.server.now + 5 * SECOND)
        office.server.add(due=office.server.now + 3 * SECOND)
        office.server.add()
        looked = office.desk.look(AHEAD, plans=True)
        assert looked.next_due == office.server.now + 3 * SECOND
        assert len(office.gates.given) == 1

    def test_more_only_where_the_server_is_at_its_limit_and_something_became_of_it(
        self, office: Office
    ) -> None:
        for _ in range(MOST):
            office.server.add()
        assert office.desk.look(AHEAD, plans=True).more
        # The same ones, as nobody has taken them yet: to ask again at once would be to ask for ever.
        assert not office.desk.look(AHEAD, plans=True).more


class TestLimit:
    """So many gates at once."""

    def test_no_more_gates_are_begun_than_may_be(self, office: Office) -> None:
        runs = [office.server.add() for _ in range(4)]
        office.desk.look(AHEAD, plans=True, at_most=2)
        office.desk.look(AHEAD, plans=True, at_most=2)
        assert office.gates.runs == [run.id for run in runs[:2]]
        office.gates.under_way.clear()
        for run in runs[:2]:
            office.server.set(run.id, Pending())
        office.desk.look(AHEAD, plans=True, at_most=2)
        assert office.gates.runs == [run.id for run in runs]

    def test_runs_that_are_to_wait_need_no_gate(self, office: Office) -> None:
        office.gates.under_way |= {uuid4(), uuid4()}
        run = office.flexible()
        office.desk.look(AHEAD, plans=True, at_most=2)
        assert office.server.states[run.id] == ["Deferred"]

    def test_a_run_that_is_held_back_is_counted_once(self, office: Office) -> None:
        """However often it is looked at before there is room for it."""
        for _ in range(2):
            office.server.add()
        for _ in range(5):
            office.desk.look(AHEAD, plans=True, at_most=1)
        assert office.counted("decisions_total") <= 2

    def test_a_run_that_is_held_back_keeps_no_place(self, office: Office) -> None:
        for _ in range(2):
            office.server.add()
        office.desk.look(AHEAD, plans=True, at_most=1)
        assert sum(office.world.taken(site) for site in ("fast", "eco")) == 1


class TestOneAtATime:
    """A poll and an event may ask for a look in the same moment."""

    def test_two_looks_give_a_run_to_one_gate(self, office: Office) -> None:
        run = office.server.add()
        threads = [
            threading.Thread(target=lambda: office.desk.look(AHEAD, plans=True), daemon=True)
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert office.gates.runs == [run.id]


class TestPutOff:
    """How a due run is put to wait."""

    def decision(self, due_at: datetime, until: datetime = LATER) -> Decision:
        return deferral(start=until, ask_again_at=until, evidence={"submitted_at": due_at})

    def test_one_that_a_schedule_made_is_begun_first(self) -> None:
        server = Server()
        run = server.add(auto_scheduled=True)
        assert put_off(server, run, self.decision(server.now))  # type: ignore[arg-type]
        assert server.states[run.id] == ["Pending", "Deciding", "Deferred"]

    def test_one_that_has_begun_before_is_not_begun_again(self) -> None:
        server = Server()
        run = server.add(auto_scheduled=True, run_count=1)
        assert put_off(server, run, self.decision(server.now))  # type: ignore[arg-type]
        assert server.states[run.id] == ["Deferred"]

    def test_one_that_another_takes_first_is_left_to_it(self) -> None:
        server = Server()
        run = server.add(auto_scheduled=True)
        server.set(run.id, Pending())
        assert not put_off(server, run, self.decision(server.now))  # type: ignore[arg-type]
        assert server.states[run.id] == ["Pending"]

    def test_one_that_cannot_be_begun_is_not_put_off(self, monkeypatch: pytest.MonkeyPatch) -> None:
        server = Server()
        run = server.add(auto_scheduled=True)
        accept = server.set_flow_run_state

        def cancelling(run_id: UUID, state: State[Any], force: bool = False) -> Any:
            answer = accept(run_id, state)
            if state.type is StateType.RUNNING:
                answer.status = SetStateStatus.REJECT
            return answer

        monkeypatch.setattr(server, "set_flow_run_state", cancelling)
        assert not put_off(server, run, self.decision(server.now))  # type: ignore[arg-type]
        assert "Deferred" not in server.states[run.id]

    def test_deferrals_are_counted_and_an_early_start_is_none(self) -> None:
        server = Server()
        run = server.add()
        for expected in (1, 2):
            assert put_off(server, server.runs[run.id], self.decision(server.now))  # type: ignore[arg-type]
            said = wait_of(server.runs[run.id])
            assert said is not None
            assert said.deferrals == expected
        early = server.add(due=LATER + timedelta(hours=2))
        decision = self.decision(LATER + timedelta(hours=2))
        assert put_off(server, early, decision)  # type: ignore[arg-type]
        said = wait_of(server.runs[early.id])
        assert said is not None
        assert (said.deferrals, server.states[early.id]) == (0, ["Advanced"])

    def test_the_state_holds_the_decision_and_not_what_it_was_made_from(self) -> None:
        server = Server()
        run = server.add()
        put_off(server, run, self.decision(server.now))  # type: ignore[arg-type]
        state = server.runs[run.id].state
        assert state is not None
        said = state.data[DECISION_DATA]
        assert said["reason"] == "greener-later"
        assert "evidence" not in said
        assert list(said["outlooks"]) == ["DE"]
