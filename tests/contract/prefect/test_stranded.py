"""Runs whose work pool was deleted, which is all that renaming one can be, on a real server without a worker."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from prefect.client.schemas.actions import WorkPoolUpdate
from prefect.client.schemas.objects import FlowRun, FlowRunPolicy, State, StateType
from prefect.states import AwaitingRetry, Cancelling, Completed, Pending, Running, Scheduled

from carbon_policy.cli.checks.finding import Finding, Level
from carbon_policy.cli.checks.runs import check_stranded
from carbon_policy.orchestration.names import (
    LABEL_CHECKPOINT,
    LABEL_CHILD,
    LABEL_PARENT,
    PLACED,
    TAG_PLACED,
    WORKER_TYPE,
)
from carbon_policy.worker.gates import take
from carbon_policy.worker.mirror import Mirror
from carbon_policy.worker.recovery import NOBODY_FOR, recover
from carbon_policy.worker.stranded import Stranded
from tests.support.bench import Bench, unique

pytestmark = [pytest.mark.server, pytest.mark.timeout(120)]


class Team:
    """A team whose pool is deleted while runs of it are due, wait, and have their job under way."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.flow = bench, unique("flow")
        self.old, self.new = (bench.pool(unique(name), kind=WORKER_TYPE) for name in ("old", "new"))
        self.site = bench.pool(unique("site"))
        self.deployment = bench.deploy(self.old, flow=self.flow)
        self.due, self.waiting, self.placed = (bench.run(self.deployment) for _ in range(3))
        self.wakes = datetime.now(UTC) + timedelta(hours=1)
        self.set(self.waiting, Scheduled(name="Deferred", scheduled_time=self.wakes))
        said = {"labels": {LABEL_PARENT: str(self.placed.id)}, "tags": [TAG_PLACED]}
        self.job = bench.run(bench.deploy(self.site), **said)
        bench.client.update_flow_run_labels(self.placed.id, {LABEL_CHILD: str(self.job.id)})
        self.set(self.placed, State(type=StateType.RUNNING, name="PlacedFast"))
        self.stranded = Stranded(bench.client, self.new)

    def set(self, run: FlowRun, state: State[None]) -> None:
        self.bench.client.set_flow_run_state(run.id, state, force=True)

    def delete_pool(self) -> None:
        self.bench.client.delete_work_pool(self.old)

    def deploy_again(self, **fields: Any) -> None:
        assert self.bench.deploy(self.new, flow=self.flow, **fields) == self.deployment

    def found(self, after: timedelta = timedelta(seconds=1)) -> set[UUID]:
        return {run.id for run in self.stranded.look(datetime.now(UTC) + after)}

    def said(self) -> list[Finding]:
        return list(check_stranded(self.bench.client))


@pytest.fixture
def team(bench: Bench) -> Team:
    bench.tidy()
    return Team(bench)


def test_a_pool_that_is_there_has_lost_nothing(team: Team) -> None:
    assert Stranded(team.bench.client, team.old).look(team.wakes) == []
    assert team.said() == []


def test_the_pool_that_the_deployment_is_on_now_finds_what_is_due(team: Team) -> None:
    team.delete_pool()
    assert team.found() == set()
    team.deploy_again()
    assert team.found() == {team.due.id}
    assert team.found(after=timedelta(hours=2)) == {team.due.id, team.waiting.id}
    assert not team.stranded.takes(team.bench.run(team.deployment))


def test_what_the_server_would_hold_back_is_held_back(team: Team) -> None:
    team.delete_pool()
    team.deploy_again()
    client, soon = team.bench.client, timedelta(hours=2)

    def change(**fields: Any) -> None:
        client.update_work_pool(team.new, WorkPoolUpdate(**fields))

    change(is_paused=True)
    assert team.found(soon) == set()
    # The run whose job is under way has one of the places.
    change(is_paused=False, concurrency_limit=1)
    assert team.found(soon) == set()
    change(concurrency_limit=2)
    assert team.found(soon) == {team.due.id}, "The longest overdue goes first."
    change(concurrency_limit=None)
    assert team.found(soon) == {team.due.id, team.waiting.id}
    assert Stranded(client, team.new, ["default"]).look(team.wakes) != []
    assert Stranded(client, team.new, ["another"]).look(team.wakes) == []

    # Made so at once: a server in memory has too few connections to change a queue.
    for name, held in (("narrow", {"concurrency_limit": 2}), ("held", {"is_paused": True})):
        path = {"work_pool_name": team.new}
        client.request(
            "POST", "/work_pools/{work_pool_name}/queues/", path_params=path, json={"name": name, **held}
        )
    team.deploy_again(work_queue_name="narrow")
    assert team.found(soon) == {team.due.id}
    team.deploy_again(work_queue_name="held")
    assert team.found(soon) == set()


@pytest.mark.parametrize("how", ["by its own process", "half way", "placed already"])
def test_what_is_not_to_be_placed_anew_is_left_alone(team: Team, how: str) -> None:
    if how == "half way":
        team.bench.client.update_flow_run_labels(team.due.id, {LABEL_CHECKPOINT: 3})
    else:
        fields: dict[str, Any] = {"job_variables": {PLACED: "eco"}}
        if how == "by its own process":
            fields = {"empirical_policy": FlowRunPolicy(retry_type="in_process")}
        team.bench.client.update_flow_run(team.due.id, **fields)
    team.delete_pool()
    team.deploy_again()
    assert team.found() == set()


@pytest.mark.parametrize("state", [Pending(), Running()])
def test_a_gate_that_died_is_begun_again_where_it_is_known_to_be_one(team: Team, state: State[None]) -> None:
    client = team.bench.client
    served = team.bench.run(team.deployment)
    assert take(client, team.bench.read(team.due))
    for run in (team.due, served):
        team.set(run, state)
    team.delete_pool()
    team.deploy_again()
    team.found()
    found = recover(
        client,
        team.new,
        datetime.now(UTC) + NOBODY_FOR * 2,
        lambda _: False,
        lambda *what: pytest.fail(str(what)),
        stranded=team.stranded.live,
    )
    assert [run.id for run, _ in found] == [team.due.id]
    assert team.found(NOBODY_FOR * 3) == {team.due.id}
    assert team.bench.read(served).state_type is state.type


def test_the_end_of_a_job_is_brought_to_a_run_without_a_pool(team: Team) -> None:
    mirror = Mirror(team.bench.client, team.new, lambda _: False, team.stranded)
    team.delete_pool()
    team.set(team.job, Completed(message="Done."))
    team.found()
    mirror.look(datetime.now(UTC))
    assert team.bench.read(team.placed).state_type is StateType.RUNNING, "It is nobody's yet."
    team.deploy_again()
    team.found()
    seen = mirror.jobs_ended([team.job.id])
    assert [(run.id, name) for run, _, name in seen.ended] == [(team.placed.id, "Completed")]
    assert team.bench.read(team.placed).state_name == "Completed"


def test_a_look_at_all_brings_it_too(team: Team) -> None:
    mirror = Mirror(team.bench.client, team.new, lambda _: False, team.stranded)
    team.delete_pool()
    team.deploy_again()
    team.found()
    assert mirror.look(datetime.now(UTC)).under_way == 1
    team.set(team.job, Completed(message="Done."))
    mirror.look(datetime.now(UTC))
    assert team.bench.read(team.placed).state_name == "Completed"


def test_the_doctor_says_whose_runs_nobody_sees_to(team: Team) -> None:
    team.delete_pool()
    [finding] = team.said()
    assert (finding.level, finding.what) == (Level.FAIL, f"deployment {team.flow}/nightly")
    assert finding.says.startswith("2 runs of it under way or waiting, and nobody sees to them")
    assert "deploy it to a work pool again" in finding.mend
    team.deploy_again()
    assert team.said() == []


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_job_whose_sites_pool_was_deleted_ends_and_says_so(team: Team, cancelled: bool) -> None:
    mirror = Mirror(team.bench.client, team.old, lambda _: False, team.stranded)
    team.bench.client.delete_work_pool(team.site)
    [finding] = team.said()
    assert (finding.level, finding.what) == (Level.FAIL, "placed jobs")
    assert finding.says.startswith("1 job cannot start")
    if cancelled:
        team.set(team.placed, Cancelling())
    mirror.look(datetime.now(UTC))
    job, run = team.bench.read(team.job), team.bench.read(team.placed)
    assert (job.state_type, job.state_name) == (StateType.FAILED, "PoolGone")
    assert run.state_name == ("Cancelled" if cancelled else "PoolGone")
    assert run.state is not None
    assert "deleted, or renamed, before the job was started" in (run.state.message or "")
    assert team.said() == []


def test_a_job_that_its_own_process_retries_is_left_to_it(team: Team) -> None:
    mirror = Mirror(team.bench.client, team.old, lambda _: False, team.stranded)
    team.bench.client.update_flow_run(team.job.id, empirical_policy=FlowRunPolicy(retry_type="in_process"))
    team.set(team.job, AwaitingRetry())
    team.bench.client.delete_work_pool(team.site)
    assert mirror.look(datetime.now(UTC)).under_way == 1


def test_a_job_that_was_started_before_its_pool_was_deleted_goes_on(team: Team) -> None:
    mirror = Mirror(team.bench.client, team.old, lambda _: False, team.stranded)
    team.set(team.job, Running())
    team.bench.client.delete_work_pool(team.site)
    assert mirror.look(datetime.now(UTC)).under_way == 1
    assert team.bench.read(team.job).state_type is StateType.RUNNING
