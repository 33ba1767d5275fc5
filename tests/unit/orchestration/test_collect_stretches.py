"""A run of several stretches is charged for each of them, measured or estimated, and for none of its rests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4

import httpx
import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import ObjectNotFound

from carbon_policy.domain.decision import Action, Decision, Evidence, ReasonCode
from carbon_policy.domain.energy import EnergyMethod, EnergyPart, EnergyReading, EnergySegment
from carbon_policy.domain.errors import CarbonPolicyError
from carbon_policy.domain.job import JobSpec
from carbon_policy.domain.site import Site, Tier
from carbon_policy.orchestration import collect as module
from carbon_policy.orchestration.names import (
    DEFERRED,
    GATE_RUN,
    LABEL_CHECKPOINT,
    LABEL_ENERGY_FAILURE,
    LABEL_USER_DEPLOYMENT,
)
from carbon_policy.orchestration.records import DECISION_TYPE, read_energy
from carbon_policy.store.ledger import Ledger

MIDNIGHT = datetime(2026, 11, 22, tzinfo=UTC)
PLACED = {GATE_RUN: str(uuid4())}
CHECKPOINT = {LABEL_CHECKPOINT: 3}


def at(hours: float) -> datetime:
    return MIDNIGHT + timedelta(hours=hours)


def reading(start: float, end: float) -> EnergyReading:
    return EnergyReading(
        started_at=at(start),
        ended_at=at(end),
        parts=(EnergyPart(component="cpu", method=EnergyMethod.RAPL, energy_kwh=0.5),),
        segments=(EnergySegment(start=at(start), end=at(end), energy_kwh=0.5),),
        tool="test",
    )


def decision(now: float = 0) -> Decision:
    """The job runs on a site that draws 1 kW."""
    fast = Site(name="fast", work_pool="fast", tier=Tier.FAST, zone="DE", power_w=1000)
    return Decision(
        action=Action.RUN,
        site="fast",
        start=at(now),
        reason=ReasonCode.NO_SIGNAL,
        sentence="Now.",
        evidence=Evidence(job="a", now=at(now), submitted_at=MIDNIGHT, spec=JobSpec(), sites=(fast,)),
    )


def history(*steps: tuple[str, float]) -> list[State[Any]]:
    """States by name and hour, in no order, as the server gives them in none."""
    types = {
        DEFERRED: StateType.SCHEDULED,
        "AwaitingRetry": StateType.SCHEDULED,
        "Retrying": StateType.RUNNING,
    }
    return [
        State(type=types.get(name) or StateType[name.upper()], name=name, timestamp=at(hour))
        for name, hour in reversed(steps)
    ]


class Server:
    """What is asked of a Prefect server here."""

    def __init__(
        self, states: list[State[Any]], readings: list[EnergyReading], runs: list[FlowRun] | None = None
    ) -> None:
        self.states, self.readings, self.runs = states, readings, runs or []
        self.decided = decision()
        self.deployments: dict[UUID, str] = {}
        self.asked: list[str] = []

    def request(self, _method: str, _path: str, json: dict[str, Any]) -> Any:
        self.asked.append("artifacts")
        kind = json["artifacts"]["type"]["any_"]
        left = [self.decided] if kind == [DECISION_TYPE] else [*reversed(self.readings)]
        page = left[json["offset"] : json["offset"] + json["limit"]]
        return SimpleNamespace(json=lambda: [{"data": item.model_dump_json()} for item in page])

    def read_flow_run_states(self, _run_id: UUID) -> list[State[Any]]:
        self.asked.append("states")
        return self.states

    def read_flow_runs(self, **_filters: Any) -> list[FlowRun]:
        return self.runs

    def read_flow(self, _flow_id: UUID) -> Any:
        return SimpleNamespace(name="train")

    def read_deployment(self, deployment_id: UUID) -> Any:
        self.asked.append("deployment")
        if deployment_id not in self.deployments:
            response = httpx.Response(404, request=httpx.Request("GET", "http://server"))
            raise ObjectNotFound(httpx.HTTPStatusError("", request=response.request, response=response))
        return SimpleNamespace(name=self.deployments[deployment_id])

    def create_artifact(self, _artifact: Any) -> None:
        pass


def run_of(run_count: int, hours: float = 9, **fields: Any) -> FlowRun:
    defaults: dict[str, Any] = {"deployment_id": uuid4(), "start_time": at(0), "end_time": at(hours)}
    return FlowRun(flow_id=uuid4(), run_count=run_count, **(defaults | fields))


def charged(server: Server, run: FlowRun, decided: float = 0) -> list[tuple[float, float, float]]:
    """Start and end in hours, and kWh, of each stretch."""
    return [
        (
            (one.started_at - MIDNIGHT) / timedelta(hours=1),
            (one.ended_at - MIDNIGHT) / timedelta(hours=1),
            one.energy_kwh,
        )
        for one in readings_of(server, run, decided)
    ]


def readings_of(server: Server, run: FlowRun, decided: float = 0) -> list[EnergyReading]:
    return module._readings(cast(SyncPrefectClient, server), run, decision(decided))


def test_a_run_of_one_measured_stretch_costs_no_further_question() -> None:
    server = Server(history(("Running", 0), ("Completed", 1)), [reading(0.1, 1)])
    assert charged(server, run_of(1)) == [(0.1, 1, 0.5)]
    assert server.asked == ["artifacts"]


def test_a_stretch_that_was_killed_is_estimated_beside_those_that_were_measured() -> None:
    server = Server(
        history(
            *(("Running", 0), ("Deferred", 1), ("Running", 3), ("Crashed", 5), ("Scheduled", 5)),
            *(("Running", 6), ("Completed", 7)),
        ),
        [reading(0, 1), reading(6, 7)],
    )
    run = run_of(3, job_variables=PLACED, labels=CHECKPOINT)
    assert charged(server, run) == [(0, 1, 0.5), (3, 5, 2), (6, 7, 0.5)]
    assert [bool(one.note) for one in readings_of(server, run)] == [False, True, False]
    assert "2026-11-22 03:00:00 to 05:00:00 left no reading" in readings_of(server, run)[1].note


def test_where_no_stretch_was_measured_the_rests_are_not_charged() -> None:
    server = Server(history(("Running", 0), ("Deferred", 1), ("Running", 8), ("Completed", 9)), [])
    run = run_of(2, job_variables=PLACED, labels=CHECKPOINT | {LABEL_ENERGY_FAILURE: "no sensor"})
    assert charged(server, run) == [(0, 1, 1), (8, 9, 1)]
    assert all("no sensor" in one.note for one in readings_of(server, run))


def test_a_pass_that_only_deferred_a_decorated_run_is_not_charged() -> None:
    server = Server(history(("Running", 0), ("Deferred", 0.1), ("Running", 8), ("Completed", 9)), [])
    assert charged(server, run_of(2), decided=8) == [(8, 9, 1)]


def test_of_a_decorated_run_the_stretches_after_its_last_placing_are_charged() -> None:
    server = Server(
        history(
            *(("Running", 0), ("Deferred", 0.1), ("Running", 2), ("Deferred", 3)),
            *(("Running", 8), ("Completed", 9)),
        ),
        [reading(8, 9)],
    )
    assert charged(server, run_of(3, labels=CHECKPOINT), decided=2) == [(2, 3, 1), (8, 9, 0.5)]


def test_an_attempt_that_failed_unmeasured_is_charged() -> None:
    server = Server(
        history(("Running", 0), ("AwaitingRetry", 2), ("Retrying", 3), ("Completed", 4)), [reading(3, 4)]
    )
    assert charged(server, run_of(2, deployment_id=None)) == [(0, 2, 2), (3, 4, 0.5)]


def test_a_run_that_was_only_ever_deferred_is_left_out() -> None:
    server = Server(history(("Running", 0), ("Deferred", 0.1), ("Cancelled", 1)), [])
    with pytest.raises(CarbonPolicyError, match="never ran"):
        readings_of(server, run_of(1))


def test_without_its_states_a_run_is_charged_from_start_to_end() -> None:
    [only] = readings_of(Server([], []), run_of(1, 2))
    assert (only.started_at, only.ended_at, only.energy_kwh) == (at(0), at(2), 2)
    assert only.note == "not measured: the run left no reading, as without carbon_policy"


@pytest.mark.parametrize("count", [49, 50, 51, 120])
def test_all_readings_are_read_the_oldest_first(count: int) -> None:
    left = [reading(hour, hour + 1) for hour in range(count)]
    assert read_energy(cast(SyncPrefectClient, Server([], left)), uuid4()) == left


@contextmanager
def no_grid(*_: Any) -> Iterator[Any]:
    yield SimpleNamespace(actuals=lambda *_: SimpleNamespace(series=None))


def test_a_run_that_ran_where_it_stood_is_of_its_own_deployment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "_directory", lambda *_: None)
    monkeypatch.setattr(module, "grid_view", no_grid)
    kept, gone, twin = uuid4(), uuid4(), uuid4()
    completed: State[Any] = State(type=StateType.COMPLETED)
    runs = [
        run_of(1, deployment_id=kept, state=completed),
        run_of(1, deployment_id=kept, state=completed),
        run_of(1, deployment_id=gone, state=completed),
        run_of(1, deployment_id=twin, state=completed, labels={LABEL_USER_DEPLOYMENT: "weekly"}),
        run_of(1, deployment_id=None, state=completed),
    ]
    server = Server([], [reading(0, 1)], runs)
    server.deployments = {kept: "nightly", twin: "weekly@fast"}
    with Ledger(f"sqlite:///{tmp_path / 'ledger.db'}") as ledger:
        outcome = module.collect(cast(SyncPrefectClient, server), ledger, "default", at(24))
        assert not outcome.left_out
        names = {entry.job_run_id: entry.deployment for entry in ledger.entries()}
    assert [names[str(run.id)] for run in runs] == ["nightly", "nightly", None, "weekly", None]
    assert server.asked.count("deployment") == 2
