"""The rolling re-plan on a real server: runs that a gate deferred, and an outlook that turns while they wait."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterType
from prefect.client.schemas.objects import FlowRun, StateType
from typer.testing import CliRunner

from carbon_policy.cli.main import app
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.domain.times import parse_moment
from carbon_policy.orchestration import replan as replanning
from carbon_policy.orchestration.blocks import CarbonPolicy
from carbon_policy.orchestration.maintenance import replan_waiting_runs
from carbon_policy.orchestration.names import DECISION_DATA, LABEL_DEFERRALS, LABEL_DEFERRED_UNTIL
from carbon_policy.orchestration.policy_task import decide_for
from carbon_policy.orchestration.records import OUTLOOK_TYPE
from carbon_policy.orchestration.replan import Outcome, Replanned, Report, replan
from tests.support import grids
from tests.support.bench import CARBON, Bench
from tests.support.gates import run_gate

pytestmark = [pytest.mark.server, pytest.mark.slow]

# Seconds from now: slots of the recording take one each.
PLANNED_S, EARLIER_S, LATER_S, LASTS_S = 1500, 700, 2200, 120
SAID = {"urgency": "flexible", "finish_within": "1h", "expected_duration": "60s", "allowed_sites": "fast"}
AFTER_A_WHILE = timedelta(seconds=45)


def grid(folder: Path, green_at: dict[int, float]) -> str:
    """Brown but for so many g/kWh, for a while, from so many seconds on."""
    values = [grids.BROWN] * (max(green_at) + LASTS_S + 1)
    for at_s, gco2_per_kwh in green_at.items():
        values[at_s : at_s + LASTS_S] = [gco2_per_kwh] * LASTS_S
    values[-1] = grids.BROWN
    return grids.trace(folder, values)


class Waiting:
    """A run that a gate deferred to the greenest window, and the policy it is decided by."""

    def __init__(self, bench: Bench, folder: Path) -> None:
        self._bench, self._folder = bench, folder
        self.policy = bench.policy(grid(folder, {PLANNED_S: grids.GREEN}))
        deployment = bench.deploy(CARBON, job_variables=SAID | {"policy_block": self.policy})
        run = bench.pending(deployment)
        run_gate(bench.stack, run)
        self.run = bench.until_named(run, "Deferred")

    def turn(self, green_at: dict[int, float]) -> None:
        """The outlook turns."""
        self.believe(grid(self._folder, green_at))

    def believe(self, source: str) -> None:
        """The policy names another source."""
        block = CarbonPolicy.load(self.policy)
        assert isinstance(block, CarbonPolicy)
        block.grid_sources = [source]
        block.save(self.policy, overwrite=True)

    def planned_again(self, **asked: Any) -> Replanned:
        """What became of this run."""
        return self.among(replan(self._bench.client, datetime.now(UTC) + AFTER_A_WHILE, **asked))

    def among(self, report: Report) -> Replanned:
        """This run's part of a report."""
        [one] = [one for one in report.runs if one.run_id == str(self.run.id)]
        return one

    def now(self) -> FlowRun:
        """The run as the server has it."""
        return self._bench.read(self.run)

    def starts_in_s(self) -> float:
        """From now, as the server has it."""
        due = self.now().next_scheduled_start_time
        assert due is not None
        return due.timestamp() - datetime.now(UTC).timestamp()


@pytest.fixture
def waiting(bench: Bench, tmp_path: Path) -> Waiting:
    bench.tidy()
    return Waiting(bench, tmp_path)


def test_it_is_moved_earlier_when_an_earlier_window_turns_greener(bench: Bench, waiting: Waiting) -> None:
    before = bench.state_names(waiting.run)
    waiting.turn({EARLIER_S: grids.GREEN / 2, PLANNED_S: grids.GREEN})
    found = waiting.planned_again()
    assert (found.outcome, found.start < found.was) == (Outcome.MOVED, True), found
    # The second recording began a little after the first, so the old plan may by now begin in brown seconds.
    assert found.saving_gco2 is not None
    assert found.saving_gco2 >= 0.99 * (grids.GREEN / 2) * 0.06 / 60
    assert EARLIER_S - 60 < waiting.starts_in_s() < EARLIER_S + LASTS_S
    # One change of state, and no deferral: no process was started for it.
    assert bench.state_names(waiting.run) == [*before, "Deferred"]
    moved = waiting.now()
    assert moved.labels[LABEL_DEFERRALS] == 1
    assert moved.labels[LABEL_DEFERRED_UNTIL] == found.start.isoformat()
    assert moved.state is not None
    assert "It was to start at" in str(moved.state.message)
    # The decision is kept with the wait; the outlook that it was made from is named there, and on the server once.
    decision = moved.state.data[DECISION_DATA]
    assert parse_moment(decision["start"]) == found.start
    [left] = bench.client.read_artifacts(
        artifact_filter=ArtifactFilter(type=ArtifactFilterType(any_=[OUTLOOK_TYPE]))
    )[:1]
    assert IntensitySeries.model_validate_json(left.data).fingerprint == decision["outlooks"]["DE"]
    # A worker is offered it, and a second look finds nothing to change.
    assert bench.due(CARBON, moved)
    assert waiting.planned_again().outcome in (Outcome.KEPT, Outcome.LEFT_ALONE)


def test_it_is_moved_later_when_its_window_is_no_longer_green(waiting: Waiting) -> None:
    waiting.turn({LATER_S: grids.GREEN})
    found = waiting.planned_again()
    assert (found.outcome, found.start > found.was) == (Outcome.MOVED, True), found
    assert waiting.starts_in_s() > PLANNED_S + LASTS_S


def test_a_gain_below_the_margin_does_not_move_it(waiting: Waiting) -> None:
    state = waiting.now().state
    # From a minute before: the second recording begins a little after the first.
    still_green = {PLANNED_S - 60: grids.GREEN, PLANNED_S: grids.GREEN}
    waiting.turn({EARLIER_S: grids.GREEN * 0.99, **still_green})
    assert waiting.planned_again().outcome is Outcome.KEPT
    assert waiting.now().state == state


def test_it_is_started_when_it_turns_green_at_once(bench: Bench, waiting: Waiting) -> None:
    waiting.turn(dict.fromkeys(range(0, PLANNED_S - LASTS_S, LASTS_S), grids.GREEN / 2))
    found = waiting.planned_again()
    assert found.outcome is Outcome.STARTED, found
    assert waiting.starts_in_s() < AFTER_A_WHILE.total_seconds() + 5
    # As the worker does that is offered it now: its gate decides, and places it once.
    bench.take(waiting.run)
    run_gate(bench.stack, waiting.now())
    assert waiting.now().state_name == "PlacedFast"
    assert len(bench.jobs_of(waiting.run)) == 1


def test_without_a_signal_the_plan_stands(waiting: Waiting, tmp_path: Path) -> None:
    # A recording that is over: nothing is known of the hours to come.
    waiting.believe(grids.trace(tmp_path, [1.0], datetime.now(UTC) - timedelta(days=3)))
    assert waiting.planned_again().outcome is Outcome.KEPT
    assert waiting.now().state_name == "Deferred"


def test_a_dry_run_says_so_and_changes_nothing(bench: Bench, waiting: Waiting) -> None:
    waiting.turn({EARLIER_S: grids.GREEN / 2})
    before, states = waiting.now(), bench.state_names(waiting.run)
    found = waiting.planned_again(dry_run=True)
    assert found.outcome is Outcome.MOVED
    after = waiting.now()
    assert (after.state, after.labels, after.updated) == (before.state, before.labels, before.updated)
    assert bench.state_names(waiting.run) == states


def test_one_that_is_due_soon_or_was_decided_just_now_is_left_to_its_gate(
    bench: Bench, waiting: Waiting
) -> None:
    waiting.turn({EARLIER_S: grids.GREEN / 2})
    state = waiting.now().state
    assert state is not None
    at_once = waiting.among(replan(bench.client, parse_moment(state.timestamp)))
    assert (at_once.outcome, at_once.sentence) == (Outcome.LEFT_ALONE, "It was decided just now.")
    due = waiting.now().next_scheduled_start_time
    assert due is not None
    soon = waiting.among(replan(bench.client, due - timedelta(seconds=90)))
    assert soon.sentence == "It is due soon, and is decided then."


def test_only_the_zones_that_are_named(bench: Bench, waiting: Waiting) -> None:
    assert replan(bench.client, datetime.now(UTC) + AFTER_A_WHILE, zones=["FR"]).runs == ()
    assert waiting.planned_again(zones=["FR", "DE"]).outcome is Outcome.KEPT


CHANGED = "It was changed by somebody else just then."


class TestTaken:
    """A worker takes the run while it is decided again."""

    def test_before_the_last_look(
        self, bench: Bench, waiting: Waiting, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def slowly(*args: Any, **kwargs: Any) -> Any:
            decision = decide_for(*args, **kwargs)
            bench.take(waiting.run)
            return decision

        monkeypatch.setattr(replanning, "decide_for", slowly)
        waiting.turn({EARLIER_S: grids.GREEN / 2})
        found = waiting.planned_again()
        assert (found.outcome, found.sentence) == (Outcome.LEFT_ALONE, CHANGED)
        assert bench.state_names(waiting.run)[-1] == "Pending"

    def test_just_before_the_change(
        self, bench: Bench, waiting: Waiting, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        request: Callable[..., Any] = bench.client.request

        def late(method: Any, path: Any, **kwargs: Any) -> Any:
            if path == "/flow_runs/bulk_set_state":
                bench.take(waiting.run)
            return request(method, path, **kwargs)

        waiting.turn({EARLIER_S: grids.GREEN / 2})
        monkeypatch.setattr(bench.client, "request", late)
        labels = waiting.now().labels
        found = waiting.planned_again()
        monkeypatch.undo()
        assert (found.outcome, found.sentence) == (Outcome.LEFT_ALONE, CHANGED)
        left = waiting.now()
        assert left.labels == labels
        assert left.state is not None
        assert left.state.type is StateType.PENDING
        # As the worker took it, when the run was due included; and nobody else is offered it.
        assert left.state.state_details.scheduled_time == waiting.run.next_scheduled_start_time
        assert not bench.due(CARBON, left)


def test_by_hand_and_by_prefect(bench: Bench, waiting: Waiting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replanning, "JUST_DECIDED", timedelta(0))
    waiting.turn({EARLIER_S: grids.GREEN / 2})
    shown = CliRunner().invoke(app, ["replan", "--dry-run", "--json"])
    assert shown.exit_code == 0, shown.output
    document = json.loads(shown.stdout)
    assert document["dry_run"] is True
    [run] = document["runs"]
    assert (run["run_id"], run["outcome"]) == (str(waiting.run.id), "moved")
    assert replan_waiting_runs() == 1
    told = CliRunner().invoke(app, ["replan"])
    assert "1 waiting: 1 kept" in told.stdout
