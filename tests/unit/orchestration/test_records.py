"""What a decision leaves under its run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun

from carbon_policy.domain.decision import Action, Decision, Evidence, ReasonCode
from carbon_policy.domain.job import JobSpec
from carbon_policy.orchestration import records
from carbon_policy.orchestration.names import LABEL_PLAN, LABEL_SLICE, LABEL_USER_DEPLOYMENT
from carbon_policy.orchestration.records import planned_of, record_decision
from carbon_policy.orchestration.slicing import note_answer
from tests.unit.policies.strategies import FAST

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = Decision(
    action=Action.DEFER,
    site="fast",
    start=NOON + timedelta(hours=1),
    reason=ReasonCode.GREENER_LATER,
    sentence="Waits.",
    evidence=Evidence(job="a", now=NOON, submitted_at=NOON, spec=JobSpec(), sites=(FAST,)),
)


class Server:
    """Keeps what is left on it; artifacts only while it takes them."""

    def __init__(self, *, takes_artifacts: bool = True, placed: bool = True) -> None:
        labels = {LABEL_USER_DEPLOYMENT: "nightly"} if placed else {}
        self.run = FlowRun(flow_id=uuid4(), deployment_id=uuid4(), labels=labels)
        self.takes_artifacts = takes_artifacts
        self.artifacts: list[Any] = []

    def create_artifact(self, artifact: Any) -> None:
        if not self.takes_artifacts:
            raise PermissionError("403")
        self.artifacts.append(artifact)

    def read_deployment(self, deployment_id: Any) -> Any:
        assert deployment_id == self.run.deployment_id
        return SimpleNamespace(
            name="nightly" if LABEL_USER_DEPLOYMENT not in self.run.labels else "nightly@fast"
        )

    def update_flow_run_labels(self, _: Any, labels: dict[str, Any]) -> None:
        self.run.labels |= labels


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    monkeypatch.setattr(records, "emit_event", lambda **event: found.append(event))
    return found


def test_a_decision_is_left_for_machines_for_people_and_as_an_event(events: list[dict[str, Any]]) -> None:
    server = Server()
    record_decision(server, server.run, LATER, "train", "nightly")  # type: ignore[arg-type]
    assert [(one.key, one.type) for one in server.artifacts] == [
        ("carbon-decision-data-train-nightly", "carbon-decision"),
        ("carbon-decision-train-nightly", "markdown"),
    ]
    assert Decision.model_validate_json(server.artifacts[0].data) == LATER
    assert [event["event"] for event in events] == ["carbon-policy.decision"]
    planned = planned_of(server.run)
    assert planned is not None
    assert (planned.site, planned.start) == ("fast", LATER.start)


@pytest.mark.parametrize("placed", [True, False])
def test_an_answer_to_a_running_job_is_left_beside_the_decision_that_placed_it(
    events: list[dict[str, Any]], placed: bool
) -> None:
    server = Server(placed=placed)
    note_answer(server, server.run, "train", LATER)  # type: ignore[arg-type]
    assert [(one.key, one.type) for one in server.artifacts] == [
        ("carbon-slice-data-train-nightly", "carbon-slice-decision"),
        ("carbon-slice-train-nightly", "markdown"),
    ]
    assert [event["event"] for event in events] == ["carbon-policy.slice"]
    assert server.run.labels[LABEL_SLICE] == ""
    assert LABEL_PLAN not in server.run.labels


def test_what_cannot_be_left_fails_no_job_and_keeps_nothing_else_back(events: list[dict[str, Any]]) -> None:
    server = Server(takes_artifacts=False)
    record_decision(server, server.run, LATER, "train", "nightly")  # type: ignore[arg-type]
    assert LABEL_PLAN in server.run.labels
    assert len(events) == 1
