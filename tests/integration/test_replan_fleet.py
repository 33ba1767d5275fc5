"""The joint plan acted on, on a real server: runs that one narrow pool cannot take at the same time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from prefect.client.schemas.objects import FlowRun

from carbon_policy.domain.decision import Plan, ReasonCode
from carbon_policy.domain.job import PolicyName
from carbon_policy.orchestration import fleet as joint
from carbon_policy.orchestration.blocks import CarbonSite
from carbon_policy.orchestration.deferral import deferred_state
from carbon_policy.orchestration.names import (
    DECISION_DATA,
    LABEL_DEFERRED_UNTIL,
    LABEL_PLAN,
    LABEL_REASON,
    LABEL_SITE,
)
from carbon_policy.orchestration.policy_task import decide_for
from carbon_policy.orchestration.queue import STEP
from carbon_policy.orchestration.records import add_labels, planned_of
from carbon_policy.orchestration.replan import Outcome, Report, replan
from tests.support import grids
from tests.support.bench import CARBON, Bench, unique
from tests.support.gates import end_of, run_gate, start_gate

pytestmark = [pytest.mark.server, pytest.mark.slow]

# Seconds from now; slots of the recording take one each.
GREEN_AT_S, LASTS_S = 1500, 120
TAKES = timedelta(minutes=10)
SAID = {"urgency": "flexible", "finish_within": "75m", "expected_duration": "10m", "policy": "fleet"}
AFTER_A_WHILE = timedelta(seconds=45)


class Fleet:
    """Three runs that were deferred to the same green window, each for itself, on a site that takes one at a time."""

    def __init__(self, bench: Bench, folder: Path) -> None:
        self._bench = bench
        self.site, self.other = unique("narrow"), unique("wide")
        # On the other nobody would emit less, whenever he went there.
        for name, limit, power_w in ((self.site, 1, 60), (self.other, None, 6000)):
            bench.pool(name, limit=limit)
            CarbonSite(work_pool=name, tier="fast", zone="DE", power_w=power_w).save(name)
        bench.seem_served(self.site, self.other)
        values = [grids.BROWN] * GREEN_AT_S + [grids.GREEN] * LASTS_S + [grids.BROWN]
        self.policy = bench.policy(grids.trace(folder, values), sites=[self.site, self.other])
        self.deployment = bench.deploy(CARBON, job_variables=SAID | {"policy_block": self.policy})
        runs = [bench.pending(self.deployment) for _ in range(3)]
        gates = [start_gate(bench.stack, run) for run in runs]
        for gate in gates:
            end_of(gate)
        self.runs = [bench.until_named(run, "Deferred") for run in runs]

    def now(self) -> list[FlowRun]:
        """The runs as the server has them."""
        return [self._bench.read(run) for run in self.runs]

    def starts(self) -> list[datetime]:
        """When the server will start them, in order."""
        moments = [run.next_scheduled_start_time for run in self.now()]
        return sorted(datetime.fromtimestamp(due.timestamp(), UTC) for due in moments if due is not None)

    def planned(self, dry_run: bool = False) -> Report:
        """A re-plan."""
        return replan(self._bench.client, datetime.now(UTC) + AFTER_A_WHILE, dry_run=dry_run)


@pytest.fixture
def fleet(bench: Bench, tmp_path: Path) -> Fleet:
    bench.tidy()
    return Fleet(bench, tmp_path)


def _overlap(starts: list[datetime]) -> bool:
    return any(later - earlier < TAKES for earlier, later in pairwise(starts))


def test_runs_that_a_site_cannot_hold_at_once_take_turns_and_wake_at_their_places(
    bench: Bench, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = fleet.starts()
    assert _overlap(alone), "Each took the greenest start for itself."
    assert all(plan is not None and plan.by is None for plan in map(planned_of, fleet.now()))

    # The planner fails: nothing moves, and the report says why. Nor does a dry run move anything.
    with monkeypatch.context() as broken:
        broken.setattr(joint, "plan_fleet", lambda *_, **__: 1 / 0)
        failed = fleet.planned()
    assert failed.count(Outcome.LEFT_ALONE) == 3
    assert all("could not be planned together" in run.sentence for run in failed.runs)
    assert fleet.planned(dry_run=True).count(Outcome.MOVED) == 3
    assert fleet.starts() == alone

    report = fleet.planned()
    assert report.count(Outcome.MOVED) == 3, report.runs
    together = fleet.starts()
    assert len(set(together)) == 3
    assert not _overlap(together)
    for run in fleet.now():
        plan = planned_of(run)
        assert plan is not None
        assert (plan.by, plan.site) == (PolicyName.FLEET, fleet.site)
        assert (plan.start in together, Plan.model_validate_json(str(run.labels[LABEL_PLAN]))) == (True, plan)
        assert run.state is not None
        assert run.state.data[DECISION_DATA]["reason"] == ReasonCode.FLEET_LATER
    # The one that has the green window's slot keeps it, and planned again all of them stay.
    assert any(abs(start - green) < STEP for start in together for green in alone)
    again = fleet.planned()
    assert {run.outcome for run in again.runs} <= {Outcome.KEPT, Outcome.LEFT_ALONE}, again.runs
    assert fleet.starts() == together

    # When its time has come, a run is placed where it was planned, and not where it would emit least.
    last = max(fleet.now(), key=lambda run: str(run.labels[LABEL_DEFERRED_UNTIL]))
    waking = decide_for(
        bench.client, last, bench.client.read_deployment(fleet.deployment), None, together[-1]
    )
    assert (waking.reason, waking.site) == (ReasonCode.FLEET_NOW, fleet.site)
    came = datetime.now(UTC)
    place = Plan(site=fleet.other, start=came, decided_at=came, by=PolicyName.FLEET)
    labels = {LABEL_PLAN: place.model_dump_json(), LABEL_DEFERRED_UNTIL: came.isoformat()}
    add_labels(bench.client, last.id, labels)
    bench.client.set_flow_run_state(last.id, deferred_state(came, "As if the hour had come."))
    bench.take(last)
    run_gate(bench.stack, bench.read(last))
    [job] = bench.jobs_of(last)
    assert (job.labels[LABEL_SITE], job.labels[LABEL_REASON]) == (fleet.other, ReasonCode.FLEET_NOW)
