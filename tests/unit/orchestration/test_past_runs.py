"""A team's past runs as jobs: which count, when they were due, how long they ran, and what is assumed of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import ObjectNotFound

from carbon_policy.domain.job import Urgency
from carbon_policy.domain.site import Site, Tier
from carbon_policy.orchestration.names import (
    DECLARED,
    LABEL_CHILD,
    LABEL_DEFERRALS,
    LABEL_PARENT,
    LABEL_SUBMITTED,
    LABEL_USER_DEPLOYMENT,
    TAG_PLACED,
)
from carbon_policy.orchestration.past_runs import Assumptions, PastRuns, Wanted, read_past_runs

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
FAST = Site(name="fast", work_pool="gpu-pool", tier=Tier.FAST, zone="DE", power_w=300)
ECO = Site(name="eco", work_pool="eco-pool", tier=Tier.ECO, zone="DE", power_w=120, speed=0.5)
ELSEWHERE = Site(name="as it ran", work_pool="any", tier=Tier.FAST, zone="GB", power_w=80)
PERIOD = Wanted(since=NOON - timedelta(days=30), until=NOON + timedelta(days=1))


class Server:
    """Answers like a server that has these runs; of deployments it knows those that were given."""

    def __init__(self, *runs: FlowRun, deployments: tuple[Any, ...] = ()) -> None:
        self.runs = sorted(runs, key=lambda run: run.start_time or NOON, reverse=True)
        self.deployments = {deployment.id: deployment for deployment in deployments}

    def read_flow_runs(self, *, limit: int, offset: int, **_: Any) -> list[FlowRun]:
        return self.runs[offset : offset + limit]

    def read_flow_run(self, run_id: UUID) -> FlowRun:
        for run in self.runs:
            if run.id == run_id:
                return run
        raise not_found()

    def read_deployment(self, deployment_id: UUID) -> Any:
        if deployment_id not in self.deployments:
            raise not_found()
        return self.deployments[deployment_id]

    def read_flow(self, _: UUID) -> Any:
        return SimpleNamespace(name="train")


def not_found() -> ObjectNotFound:
    return ObjectNotFound(httpx.HTTPError("not found"))


def deployment(on: str = "gpu-pool", /, **variables: Any) -> Any:
    return SimpleNamespace(id=uuid4(), name="nightly", work_pool_name=on, job_variables=variables)


def ran(of: Any = None, state: StateType = StateType.COMPLETED, **fields: Any) -> FlowRun:
    """A run that was due at noon, began five minutes later and took an hour."""
    given = {
        "flow_id": UUID(int=1),
        "deployment_id": of.id if of else None,
        "work_pool_name": of.work_pool_name if of else None,
        "expected_start_time": NOON,
        "start_time": NOON + HOUR / 12,
        "end_time": NOON + HOUR * 13 / 12,
        "total_run_time": HOUR,
        "state": State(type=state),
        "state_type": state,
    }
    return FlowRun(**{**given, **fields})


def read(server: Server, wanted: Wanted = PERIOD, site: Site | None = ELSEWHERE) -> PastRuns:
    given = Assumptions(site=site, finish_within=12 * HOUR)
    return read_past_runs(server, wanted, (FAST, ECO), None, given)  # type: ignore[arg-type]


def test_a_run_is_a_job_with_its_real_times_on_the_site_of_its_pool() -> None:
    nightly = deployment()
    (job,) = read(Server(ran(nightly), deployments=(nightly,))).runs
    assert job.deployment == "train/nightly"
    assert (job.submitted_at, job.started_at, job.duration) == (NOON, NOON + HOUR / 12, HOUR)
    assert job.site == FAST
    assert job.spec.expected_duration == HOUR


def test_what_a_deployment_says_of_its_flexibility_is_taken_and_else_it_is_assumed() -> None:
    said, silent = deployment(urgency="flexible", finish_within="6h"), deployment()
    declared = deployment("gpu-pool", **{DECLARED: {"urgency": "critical"}})
    found = read(Server(*map(ran, (said, silent, declared)), deployments=(said, silent, declared))).runs
    known = {(job.spec.urgency, job.spec.finish_within, job.assumed) for job in found}
    assert known == {
        (Urgency.FLEXIBLE, 6 * HOUR, False),
        (Urgency.FLEXIBLE, 12 * HOUR, True),
        (Urgency.CRITICAL, None, False),
    }


def test_a_job_that_overran_its_window_had_no_room_to_wait() -> None:
    short = deployment(urgency="flexible", finish_within="30m", expected_duration="20m")
    (job,) = read(Server(ran(short), deployments=(short,))).runs
    assert job.spec.finish_within == HOUR


def test_a_moment_of_another_day_says_nothing_of_this_one() -> None:
    dated = deployment(urgency="flexible", finish_by="2026-12-24T12:00:00Z")
    (job,) = read(Server(ran(dated), deployments=(dated,))).runs
    assert job.spec.finish_by is None


def test_work_on_a_slow_site_is_less_work_on_the_reference() -> None:
    slow = deployment("eco-pool")
    (job,) = read(Server(ran(slow), deployments=(slow,))).runs
    assert job.duration == HOUR
    assert job.spec.expected_duration == HOUR / 2


def test_a_pool_of_no_site_takes_what_was_assumed_or_is_left_out() -> None:
    other = deployment("kubernetes")
    server = Server(ran(other), deployments=(other,))
    assert read(server).runs[0].site == ELSEWHERE
    found = read(server, site=None)
    assert not found.runs
    assert sum(found.left_out.values()) == 1


def test_a_run_whose_deployment_was_deleted_is_still_a_job() -> None:
    gone = deployment()
    (job,) = read(Server(ran(gone))).runs
    assert (job.deployment, job.site) == ("train", FAST)


@pytest.mark.parametrize(
    ("run", "why"),
    [
        (ran(state=StateType.RUNNING), "under way"),
        (ran(state=StateType.CRASHED), "failed"),
        (ran(labels={LABEL_CHILD: "x"}), "gates"),
        (ran(parent_task_run_id=uuid4()), "subflows"),
        (ran(end_time=None), "without a start"),
        (ran(total_run_time=timedelta(milliseconds=20)), "without a duration"),
        (ran(job_variables={"urgency": "whenever"}), "refused"),
    ],
)
def test_what_cannot_be_replayed_is_left_out_with_its_reason(run: FlowRun, why: str) -> None:
    found = read(Server(run))
    assert not found.runs
    assert [why in reason for reason in found.left_out] == [True]


def test_a_placed_run_was_due_when_the_run_that_placed_it_was() -> None:
    twin = SimpleNamespace(id=uuid4(), name="nightly@eco", work_pool_name="eco-pool", job_variables={})
    gate = ran(labels={LABEL_CHILD: "x"}, expected_start_time=NOON - 3 * HOUR)
    labels = {LABEL_PARENT: str(gate.id), LABEL_USER_DEPLOYMENT: "nightly"}
    found = read(Server(gate, ran(twin, labels=labels, tags=[TAG_PLACED]), deployments=(twin,)))
    (job,) = found.runs
    assert (job.deployment, job.submitted_at) == ("train/nightly", NOON - 3 * HOUR)


def test_a_run_that_was_deferred_in_place_ran_at_its_end() -> None:
    labels = {LABEL_DEFERRALS: 1, LABEL_SUBMITTED: NOON.isoformat()}
    (job,) = read(Server(ran(labels=labels, end_time=NOON + 6 * HOUR))).runs
    assert (job.submitted_at, job.started_at) == (NOON, NOON + 5 * HOUR)


def test_only_the_newest_are_taken_and_the_rest_is_counted() -> None:
    runs = [ran(start_time=NOON + k * HOUR, end_time=NOON + (k + 1) * HOUR) for k in range(450)]
    found = read(Server(*runs), Wanted(since=NOON, until=NOON, limit=400))
    assert len(found.runs) == 400
    assert sum(found.left_out.values()) == 50
    assert min(job.started_at for job in found.runs) == NOON + 50 * HOUR


def test_a_deployment_is_wanted_by_either_of_its_names() -> None:
    nightly = deployment()
    server = Server(ran(nightly), ran(), deployments=(nightly,))
    for name in ("nightly", "train/nightly"):
        found = read(server, Wanted(since=NOON, until=NOON, deployment=name))
        assert [job.deployment for job in found.runs] == ["train/nightly"]
    assert not read(server, Wanted(since=NOON, until=NOON, flow="other")).runs
