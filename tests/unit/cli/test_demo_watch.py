"""What the demo's table says of a job, from what the server says of its runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun, State, StateType

from carbon_policy.demo.jobs import DemoJob
from carbon_policy.demo.watch import Watched, _update
from carbon_policy.orchestration.names import LABEL_SITE, WAIT_DATA

LATER = datetime(2026, 11, 26, 12, tzinfo=UTC) + timedelta(hours=3)
WHY = "Runs now on eco: 27% less carbon (expected) against fast, its longer run included."
LINK = "http://127.0.0.1:4200/runs/flow-run/1"


def run(kind: StateType, name: str, message: str = "", **more: object) -> FlowRun:
    state: State[object] = State(type=kind, name=name, message=message, **more)
    return FlowRun(id=uuid4(), flow_id=uuid4(), state=state, labels={LABEL_SITE: "eco"})


def watched() -> Watched:
    return Watched(DemoJob("train", "train_classifier", 0, "flexible", None), until=LATER)


@pytest.mark.parametrize(
    ("parent", "job", "stage"),
    [
        # A carbon worker leaves the run Running, and ends it as its job.
        (
            run(StateType.RUNNING, "PlacedEco", f"greener-site: {WHY} On eco: {LINK}"),
            StateType.RUNNING,
            "running",
        ),
        (
            run(
                StateType.COMPLETED,
                "Completed",
                f"The job ended Completed: All states completed. (greener-site: {WHY} On eco: {LINK})",
            ),
            StateType.COMPLETED,
            "done",
        ),
        # A gate in a process ends as soon as there is a job.
        (
            run(StateType.COMPLETED, "PlacedEco", f"greener-site: {WHY} On eco: {LINK}"),
            StateType.PENDING,
            "starting",
        ),
    ],
)
def test_a_placed_job_says_where_and_why(parent: FlowRun, job: StateType, stage: str) -> None:
    item = watched()
    _update(item, parent, run(job, job.value.capitalize()))
    assert (item.stage, item.where, item.why, item.until) == (stage, "eco", WHY, None)
    assert item.ended is (stage == "done")


def test_a_waiting_job_says_until_when_and_one_that_is_asked_again_no_longer() -> None:
    item = watched()
    data = {WAIT_DATA: {"until": LATER.isoformat()}}
    _update(item, run(StateType.SCHEDULED, "Deferred", "greener-later: Waits 3h.", data=data), None)
    assert (item.stage, item.until, item.why) == ("deferred", LATER, "Waits 3h.")
    _update(item, run(StateType.PENDING, "Pending"), None)
    assert (item.stage, item.until, item.why) == ("asking", None, "Waits 3h.")


def test_a_run_that_was_refused_has_ended() -> None:
    item = watched()
    _update(item, run(StateType.FAILED, "Refused", "write 45m"), None)
    assert (item.stage, item.ended) == ("Refused: write 45m", True)
