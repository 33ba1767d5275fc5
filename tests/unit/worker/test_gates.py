"""Gates in the worker's process: one a run, with what was decided of it, and each to its end. What one does is
tests/integration's."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import Abort, Pause
from prefect.states import AwaitingRetry, Cancelled, Cancelling, Failed, Pending, Running, Scheduled

from carbon_policy.domain.job import JobSpec, Urgency
from carbon_policy.orchestration.names import LABEL_PARENT
from carbon_policy.orchestration.placement import idempotency_key
from carbon_policy.orchestration.policy_task import AT_HAND
from carbon_policy.worker import gates as module
from carbon_policy.worker.gates import Gates, take
from tests.support.waiting import wait_for
from tests.unit.worker.decided import deferral
from tests.unit.worker.server import Server

WITHIN_S = 10


class Engine:
    """In the place of Prefect's: notes for which run it was started, and with which decision at hand."""

    def __init__(self) -> None:
        self.started: list[tuple[FlowRun, Any]] = []
        self.go = threading.Event()
        self.raises: BaseException | None = None
        self.go.set()

    def __call__(self, flow: Any, flow_run: FlowRun, **_: Any) -> None:
        self.started.append((flow_run, AT_HAND.get()))
        assert self.go.wait(WITHIN_S)
        if self.raises is not None:
            raise self.raises


class House:
    """A server, gates, and what they told of."""

    def __init__(self) -> None:
        self.server, self.engine, self.seconds = Server(), Engine(), 0.0
        self.failed: list[tuple[FlowRun, Exception]] = []
        self.gates = Gates(
            self.server,  # type: ignore[arg-type]
            1,
            lambda run, error: self.failed.append((run, error)),
            lambda: self.seconds,
        )

    def idle(self) -> None:
        """Wait until no gate is under way."""
        wait_for(lambda: not self.gates.count, WITHIN_S, "all gates are done")

    @property
    def started(self) -> list[Any]:
        return [run.id for run, _ in self.engine.started]


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    house = House()
    monkeypatch.setattr(module, "run_flow_sync", house.engine)
    yield house
    house.engine.go.set()
    house.gates.close()


def test_a_run_is_taken_and_placed_by_what_was_decided(house: House) -> None:
    run, decision = house.server.add(), deferral()
    assert house.gates.start(run, decision, None)
    house.gates.close()
    assert house.server.states[run.id] == ["Pending"]
    [(started, at_hand)] = house.engine.started
    assert (started.id, started.state_name, at_hand) == (run.id, "Pending", decision)


def test_those_that_were_not_begun_are_left_to_others_at_the_end(house: House) -> None:
    house.engine.go.clear()
    first, second = house.server.add(), house.server.add()
    house.gates.start(first, None, None)
    house.gates.start(second, None, None)
    wait_for(lambda: house.started, WITHIN_S, "the first one is under way")
    closing = threading.Thread(target=house.gates.close)
    closing.start()
    house.engine.go.set()
    closing.join(WITHIN_S)
    assert house.started == [first.id]
    assert house.server.states[second.id] == []


def test_a_run_has_one_gate_at_a_time(house: House) -> None:
    house.engine.go.clear()
    run = house.server.add()
    assert house.gates.start(run, None, None)
    assert not house.gates.start(run, None, None)
    assert house.gates.has(run.id)
    assert house.gates.count == 1
    house.engine.go.set()
    house.gates.close()
    assert not house.gates.has(run.id)
    assert (house.started, house.gates.count) == ([run.id], 0)


@pytest.mark.parametrize(
    "state", [Pending(), Running(), Scheduled(name="Deferred"), Cancelled()], ids=lambda state: state.name
)
def test_one_that_was_changed_since_it_was_read_is_left_as_it_is(house: House, state: Any) -> None:
    run = house.server.add()
    house.server.set(run.id, state)
    house.gates.start(run, None, None)
    house.idle()
    assert house.started == []
    assert house.failed == []
    assert house.server.states[run.id] == [state.name]


def test_one_that_was_deleted_is_none(house: House) -> None:
    run = house.server.add()
    del house.server.runs[run.id]
    assert not take(house.server, run)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "state", [Scheduled(name="Deferred"), Cancelling(), Cancelled()], ids=lambda state: state.name
)
def test_one_that_was_changed_just_after_it_was_taken_starts_nothing(
    house: House, state: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prefect's engine would sleep until such a wait is over, and the worker's end would wait for it."""
    run = house.server.add()
    read = house.server.read_flow_run

    def changed(run_id: Any) -> FlowRun:
        house.server.set(run_id, state)
        return read(run_id)

    monkeypatch.setattr(house.server, "read_flow_run", changed)
    house.gates.start(run, None, None)
    house.gates.close()
    assert house.started == []


@pytest.mark.parametrize("end", [Pause(), Abort()], ids=["left", "refused"])
def test_the_engines_own_ends_are_none_to_tell_of(house: House, end: BaseException) -> None:
    house.engine.raises = end
    house.gates.start(house.server.add(), None, None)
    house.gates.close()
    assert house.failed == []
    assert house.gates.count == 0


def test_what_goes_wrong_is_told_and_the_next_goes_on(house: House) -> None:
    first, second = house.server.add(), house.server.add()
    house.engine.raises = httpx.ReadTimeout("no answer")
    house.gates.start(first, None, None)
    house.gates.start(second, None, None)
    house.idle()
    assert [run.id for run, _ in house.failed] == [first.id, second.id]
    assert house.gates.count == 0


@pytest.mark.parametrize(("waited_s", "stands"), [(59, True), (61, False)])
def test_what_was_decided_long_ago_is_decided_anew(house: House, waited_s: float, stands: bool) -> None:
    house.engine.go.clear()
    decision = deferral()
    house.gates.start(house.server.add(), None, None)
    house.gates.start(house.server.add(), decision, None)
    house.seconds = waited_s
    house.engine.go.set()
    house.idle()
    assert house.engine.started[1][1] == (decision if stands else None)


def test_a_decision_is_of_its_own_run(house: House) -> None:
    """Threads are used again."""
    house.gates.start(house.server.add(), deferral(), None)
    house.gates.start(house.server.add(), None, None)
    house.idle()
    assert [at_hand is None for _, at_hand in house.engine.started] == [False, True]


@pytest.mark.parametrize(
    ("state", "again"), [(Failed(), True), (Running(), False)], ids=["ended-badly", "under-way"]
)
def test_a_retry_is_passed_down_to_the_job(house: House, state: Any, again: bool) -> None:
    run = house.server.add(AwaitingRetry(scheduled_time=house.server.now))
    job = house.server.add(
        state,
        flow_id=run.flow_id,
        idempotency_key=idempotency_key(run),
        labels={LABEL_PARENT: str(run.id)},
    )
    house.gates.start(run, None, None)
    house.gates.close()
    assert house.server.states[job.id] == (["AwaitingRetry"] if again else [])
    assert house.started == [run.id]


def test_those_with_the_least_time_left_go_first(house: House) -> None:
    """However late they came to the line."""
    now = house.server.now
    house.engine.go.clear()
    first = house.server.add()
    house.gates.start(first, deferral(), None)
    wait_for(lambda: house.engine.started, WITHIN_S, "the first is under way")

    def in_line(**said: Any) -> Any:
        run = house.server.add()
        spec = JobSpec(expected_duration=timedelta(minutes=10), **said)
        house.gates.start(run, deferral(evidence={"spec": spec, "submitted_at": now}), None)
        return run.id

    late = in_line(urgency=Urgency.FLEXIBLE, finish_within=timedelta(hours=12))
    soon = in_line(urgency=Urgency.FLEXIBLE, finish_within=timedelta(hours=1))
    critical = in_line(urgency=Urgency.CRITICAL)
    house.engine.go.set()
    house.idle()
    assert house.started == [first.id, critical, soon, late]
