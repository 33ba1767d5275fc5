"""A server that fails or is away: a job saves and goes on, and never runs twice where the server can say so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from prefect import flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.context import FlowRunContext
from prefect.exceptions import Pause
from prefect.filesystems import LocalFileSystem
from prefect.serializers import PickleSerializer
from prefect.states import Running

from carbon_policy.domain.decision import Action, Decision, Evidence, ReasonCode
from carbon_policy.domain.job import JobSpec
from carbon_policy.orchestration import checkpoint as checkpoints
from carbon_policy.orchestration import deferral
from carbon_policy.orchestration.saved_state import SavedStates
from carbon_policy.orchestration.slicing import Standing
from tests.unit.policies.strategies import FAST

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PROCESS = "machine:4711"


@flow(name="a")
def job() -> None:
    """Never run here."""


class Server:
    """A server's client of one run; it can be away for some readings, and time passes only in pauses."""

    def __init__(self) -> None:
        self.run = FlowRun(
            id=uuid4(), flow_id=uuid4(), name="run", state=Running(), infrastructure_pid=PROCESS
        )
        self.away_for = 0
        self.waited_s = 0.0

    def _answer(self) -> None:
        if self.away_for:
            self.away_for -= 1
            raise httpx.ConnectError("away")

    def read_flow_run(self, run_id: UUID) -> FlowRun:
        assert run_id == self.run.id
        self._answer()
        return self.run.model_copy()

    def read_flow_run_states(self, run_id: UUID) -> list[State[Any]]:
        return []

    def update_flow_run_labels(self, run_id: UUID, labels: dict[str, Any]) -> None:
        self._answer()
        self.run.labels |= labels

    def update_flow_run(self, run_id: UUID, infrastructure_pid: str) -> None:
        self._answer()
        self.run.infrastructure_pid = infrastructure_pid

    def request(self, method: str, path: str, *, json: dict[str, Any], **_: Any) -> None:
        """The update of a run that can send a null."""
        self.run.infrastructure_pid = json["infrastructure_pid"]

    def pause(self, seconds: float) -> None:
        self.waited_s += seconds

    def clock(self) -> float:
        return self.waited_s


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    server = Server()

    @contextmanager
    def client(**_: Any) -> Iterator[Server]:
        yield server

    monkeypatch.setattr(checkpoints, "get_client", client)
    return server


def decision() -> Decision:
    evidence = Evidence(
        job="a", now=NOON, submitted_at=NOON, spec=JobSpec(interruptible=True), sites=(FAST,), progress=0.5
    )
    return Decision(
        action=Action.DEFER,
        site="fast",
        start=NOON + timedelta(hours=1),
        reason=ReasonCode.GREENER_SLICES,
        sentence="Stops.",
        evidence=evidence,
    )


def stretch_of(server: Server, folder: Path) -> checkpoints._Stretch:
    states = SavedStates(LocalFileSystem(basepath=str(folder)), PickleSerializer(), server.run.id)
    run = server.run.model_copy()
    return checkpoints._Stretch(run, job, NOON, states, process=PROCESS)


def stop(server: Server, stretch: checkpoints._Stretch) -> None:
    checkpoints._stop(server, stretch, decision(), server.pause, server.clock)  # type: ignore[arg-type]


def break_proposal(
    monkeypatch: pytest.MonkeyPatch, server: Server, *, heard: bool, away_for: int = 0
) -> None:
    """The proposal to wait gets no answer, and after it the server is away for some readings."""

    def proposed(client: Any, state: State[Any], **_: Any) -> State[Any]:
        if heard:
            server.run.state = state
        server.away_for = away_for
        raise httpx.ReadTimeout("no answer")

    monkeypatch.setattr(deferral, "propose_state_sync", proposed)


def test_a_state_is_saved_and_read_while_the_server_is_away(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.away_for = 1000
    server.run.deployment_id = uuid4()
    context = SimpleNamespace(
        flow_run=server.run,
        flow=job,
        start_time=NOON,
        result_store=SimpleNamespace(
            result_storage=LocalFileSystem(basepath=str(tmp_path)), serializer=PickleSerializer()
        ),
    )
    monkeypatch.setattr(FlowRunContext, "get", lambda: context)
    monkeypatch.setattr(checkpoints, "_stretches", {})
    assert checkpoints.restore(None) is None
    checkpoints.checkpoint({"epoch": 3})
    checkpoints._stretches.clear()
    assert checkpoints.restore({"epoch": 0}) == {"epoch": 3}
    assert server.away_for < 1000


@pytest.mark.parametrize("away_for", [0, 3])
def test_a_job_that_could_not_stop_goes_on_and_can_be_cancelled(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, away_for: int
) -> None:
    break_proposal(monkeypatch, server, heard=False, away_for=away_for)
    stop(server, stretch_of(server, tmp_path))
    assert server.waited_s == 10 * away_for
    assert server.run.infrastructure_pid == PROCESS


def test_a_server_that_is_away_before_anything_is_said_changes_nothing(
    server: Server, tmp_path: Path
) -> None:
    server.away_for = 2
    stop(server, stretch_of(server, tmp_path))
    assert server.run.state is not None
    assert server.run.state.is_running()
    assert server.run.infrastructure_pid == PROCESS


@pytest.mark.parametrize("away_for", [0, 3])
def test_a_stop_whose_answer_got_lost_is_a_stop(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, away_for: int
) -> None:
    break_proposal(monkeypatch, server, heard=True, away_for=away_for)
    with pytest.raises(Pause):
        stop(server, stretch_of(server, tmp_path))
    assert server.run.infrastructure_pid is None


def test_a_job_is_not_held_up_for_ever_and_leaves_when_it_hears_that_it_waits(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_proposal(monkeypatch, server, heard=True, away_for=1000)
    stretch = stretch_of(server, tmp_path)
    stop(server, stretch)
    assert server.waited_s == 600
    server.away_for = 0
    standing = Standing(decision(), "fast", ())
    with pytest.raises(Pause):
        checkpoints._answer(server, stretch, standing, 0.5, NOON)  # type: ignore[arg-type]
