"""The carbon worker, end to end: a real server, a real worker of its own type, and process workers on fast and eco.

Runs whose jobs really run are started at once. All others are sent to a site that no worker serves, and what such a
worker would say of their jobs is said by the test.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from typing import Any

import httpx
import pytest
from prefect.client.schemas.actions import WorkPoolUpdate
from prefect.states import Cancelled, Completed, Running, Scheduled

from carbon_policy.demo.processes import free_port
from carbon_policy.domain.decision import ReasonCode
from carbon_policy.domain.job import PolicyName
from carbon_policy.orchestration.blocks import CarbonSite
from carbon_policy.orchestration.names import DECISION_DATA, LABEL_CHILD, WORKER_TYPE
from carbon_policy.orchestration.overdue import release
from carbon_policy.orchestration.placement import cancel_run
from carbon_policy.orchestration.records import read_decision
from carbon_policy.orchestration.waits import wait_of
from carbon_policy.worker.lease import lease_name
from tests.support import grids
from tests.support.bench import ECO, FAST, Bench, only, unique
from tests.support.served import FLEXIBLE, LOOK_S, PATIENCE_S, TOGETHER, Served
from tests.support.steps import STEPS, outcome
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def served(shared_bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Runs that take long, started at once."""
    bench, stack = shared_bench, shared_bench.stack
    with bench.settings():
        served = Served(bench, tmp_path_factory.mktemp("worker"))
        env = {"PREFECT_INTEGRATIONS_CARBON_WORKER_PORT": str(served.port)}
        workers = [stack.start_worker(served.pool, WORKER_TYPE, env=env)]
        workers += [stack.start_worker(site) for site in (FAST, ECO)]
        served.start("wakes", served.soon, FLEXIBLE)
        served.start("early", served.later, FLEXIBLE)
        served.start("eco", served.flat)
        served.start("fails", served.flat, parameters={"fails": True})
        served.start("cancelled", served.flat, {"urgency": "critical"}, parameters={"lasts_s": 120})
        served.start("observes", served.flat, {"mode": "observe", **FLEXIBLE})
        served.start_interruptible("interrupted")
        served.start_on_a_pool_that_is_renamed("renamed")
        served.start_together()
        served.start_scheduled("scheduled", datetime.now(UTC) + timedelta(minutes=10))
        # Found by the next look at all that is under way, as nothing tells of it.
        _, job = served.placed_by_hand("deleted")
        served.client.delete_flow_run(job.id)
        yield served
        for worker in workers:
            stack.stop_worker(worker)
        bench.tidy()


class TestPlaced:
    """The run stays Running while its job is under way, and ends as that does."""

    def test_it_completes_with_its_job_and_says_where_it_was(self, served: Served) -> None:
        run = served.ended(served["eco"])
        job = only(served.bench.jobs_of(run))
        assert (run.state_name, job.state_name, job.work_pool_name) == ("Completed", "Completed", ECO)
        assert served.bench.state_names(run) == ["Scheduled", "Pending", "Running", "PlacedEco", "Completed"]
        assert run.state is not None
        assert "greener-site: " in (run.state.message or "")
        assert run.labels[LABEL_CHILD] == str(job.id)
        assert len(served.marks("eco")) == 1

    def test_it_fails_with_its_job(self, served: Served) -> None:
        run = served.ended(served["fails"])
        assert run.state_name == "Failed"
        assert run.state is not None
        assert "the job's own failure" in (run.state.message or "")
        assert len(served.marks("fails")) == 1

    def test_observing_runs_at_once_on_fast_and_records_what_would_have_been(self, served: Served) -> None:
        run = served.ended(served["observes"])
        job = only(served.bench.jobs_of(run))
        assert (run.state_name, job.work_pool_name) == ("Completed", FAST)
        decision = read_decision(served.client, run.id)
        assert decision is not None
        assert decision.reason == "observed"
        assert decision.would_have is not None

    def test_cancelling_it_cancels_its_job(self, served: Served) -> None:
        run = served["cancelled"]
        job = served.placed(run)
        assert served.bench.read(run).state_name == "PlacedFast"
        wait_for(lambda: served.marks("cancelled"), PATIENCE_S, "the job's code runs")
        cancel_run(served.client, run.id)
        assert served.ended(job).state_name == "Cancelled"
        assert served.ended(run).state_name == "Cancelled"


class TestEnds:
    """Ends of jobs that nobody here runs."""

    def test_it_crashes_with_its_job_and_is_not_started_again(self, served: Served) -> None:
        run, job = served.placed_by_hand("crashes")
        served.bench.report_crash(job)
        ended = served.ended(run)
        assert ended.state_name == "Crashed"
        assert ended.state is not None
        assert "exited with status code" in (ended.state.message or "")
        assert served.bench.jobs_of(run) == [served.bench.read(job)]

    def test_a_job_that_is_cancelled_cancels_its_run(self, served: Served) -> None:
        run, job = served.placed_by_hand("job-cancelled")
        served.client.set_flow_run_state(job.id, Cancelled(message="By hand."))
        assert served.ended(run).state_name == "Cancelled"

    def test_a_job_that_waits_between_its_stretches_has_not_ended(self, served: Served) -> None:
        """As an interruptible job does."""
        run, job = served.placed_by_hand("stretches", said={"interruptible": True, **FLEXIBLE})
        soon = datetime.now(UTC) + timedelta(seconds=1)
        served.client.set_flow_run_state(job.id, Scheduled(name="Deferred", scheduled_time=soon))
        wait_for(lambda: datetime.now(UTC) > soon, 10, "its next stretch begins")
        assert served.bench.read(run).state_name == "PlacedFast"
        served.bench.take(job)
        served.client.set_flow_run_state(job.id, Running())
        served.client.set_flow_run_state(job.id, Completed(message="At last."))
        ended = served.ended(run)
        assert ended.state is not None
        assert (ended.state_name, "At last." in (ended.state.message or "")) == ("Completed", True)
        assert served.bench.jobs_of(run) == [served.bench.read(job)]

    def test_a_job_that_is_deleted_by_hand_is_not_started_again(self, served: Served) -> None:
        run = served["deleted"]
        ended = served.ended(run, LOOK_S)
        assert (ended.state_name, ended.state_type) == ("JobDeleted", "FAILED")
        assert served.bench.jobs_of(run) == []


class TestWaiting:
    """Runs that wait hold nothing, and wake by themselves."""

    def test_it_is_put_to_wait_without_being_taken_and_wakes(self, served: Served) -> None:
        run = served.ended(served["wakes"])
        assert run.state_name == "Completed", served.bench.describe(run)
        names = served.bench.state_names(run)
        assert names[:2] == ["Scheduled", "Deferred"]
        assert names[-4:] == ["Pending", "Running", names[-2], "Completed"]
        [waited] = [state for state in served.bench.states(run) if state.name == "Deferred"][-1:]
        job = only(served.bench.jobs_of(run))
        assert job.created is not None
        assert waited.state_details.scheduled_time is not None
        assert job.created >= waited.state_details.scheduled_time
        assert len(served.marks("wakes")) == 1

    def test_a_waiting_run_that_is_released_goes_now(self, served: Served) -> None:
        run = served.waits(served["early"])
        said = wait_of(run)
        assert said is not None
        assert said.plan is not None
        assert said.plan.site == "idle"
        release(served.client, run.id, "it is needed", datetime.now(UTC))
        assert served.placed(run).work_pool_name == served.idle

    def test_a_critical_one_does_not_wait(self, served: Served) -> None:
        run = served.start("critical", served.later, {"urgency": "critical"})
        served.placed(run)
        assert "Deferred" not in served.bench.state_names(run)

    def test_one_over_budget_is_held_until_somebody_releases_it(self, served: Served) -> None:
        held = {"budget_gco2": 1e-9, "over_budget": "release"}
        run = served.waits(served.start("held", served.by_hand, {**FLEXIBLE, **held}))
        assert run.state is not None
        assert (run.state.message or "").startswith("over-budget-held: ")
        release(served.client, run.id, "paid for", datetime.now(UTC))
        served.placed(run)

    def test_a_cancelled_one_is_cancelled_at_once(self, served: Served) -> None:
        run = served.waits(served.start("dropped", served.later, FLEXIBLE))
        cancel_run(served.client, run.id)
        assert served.bench.read(run).state_name == "Cancelled"

    def test_a_deployment_that_is_deleted_takes_its_waiting_runs_along_and_nothing_else(
        self, served: Served
    ) -> None:
        gone = served.waits(served.start("gone", served.later, FLEXIBLE))
        assert gone.deployment_id is not None
        served.client.delete_deployment(gone.deployment_id)
        served.placed(served.start("after-it", served.by_hand))
        assert served.health()["status"] == "ok"


class TestPlannedTogether:
    """Runs with the policy `fleet` are planned with all others when they are first seen."""

    def test_they_take_turns_on_a_site_that_holds_one_at_a_time(self, served: Served) -> None:
        runs = [served.waits(served[case]) for case in TOGETHER]
        starts = []
        for run in runs:
            wait = wait_of(run)
            assert wait is not None, served.bench.describe(run)
            assert wait.plan is not None
            assert (wait.plan.by, wait.deferrals) == (PolicyName.FLEET, 1)
            assert run.state is not None
            assert run.state.data[DECISION_DATA]["reason"] == ReasonCode.FLEET_LATER
            starts.append(wait.plan.start)
        assert all(later - earlier >= timedelta(minutes=10) for earlier, later in pairwise(sorted(starts)))


class TestPoolGone:
    """A run whose pool was deleted is on none, and the server hands it to nobody."""

    def test_the_worker_of_the_pool_that_its_deployment_is_on_now_takes_it(self, served: Served) -> None:
        run = served.ended(served["renamed"])
        assert (run.work_pool_name, run.state_name) == (None, "Completed"), served.bench.describe(run)
        assert len(served.marks("renamed")) == 1
        only(served.bench.jobs_of(run))


class TestRefused:
    """What cannot be placed says why, and holds up nobody."""

    @pytest.mark.parametrize(
        ("said", "says"),
        [
            ({"urgncy": "flexible"}, "urgency"),
            ({"finish_within": "soonish"}, "finish_within"),
            ({"policy_block": "not-there"}, "not-there"),
        ],
        ids=["unknown-name", "no-duration", "no-policy"],
    )
    def test_the_message_names_what_is_wrong(self, served: Served, said: dict[str, Any], says: str) -> None:
        run = served.start("refused", served.by_hand, run={"job_variables": said})
        beside = served.start("beside-it", served.by_hand)
        ended = served.ended(run)
        assert ended.state is not None
        assert (ended.state_name, says in (ended.state.message or "")) == ("Refused", True)
        assert served.bench.jobs_of(run) == []
        served.placed(beside)

    def test_a_site_whose_pool_is_gone_is_left_out(self, served: Served) -> None:
        pool = served.bench.pool(unique("vanishing"))
        CarbonSite(work_pool=pool, tier="eco", zone="DE", power_w=1).save("vanishing")
        policy = served.bench.policy(grids.flat(served.folder), sites=["idle", "vanishing"])
        served.client.delete_work_pool(pool)
        assert served.placed(served.start("vanished", policy)).work_pool_name == served.idle


class TestHeldBack:
    """What Prefect holds back stays where it is."""

    def test_a_paused_pool_and_a_paused_queue(self, served: Served) -> None:
        # Made so at once: a server in memory has too few connections to change a queue.
        served.client.request(
            "POST",
            "/work_pools/{work_pool_name}/queues/",
            path_params={"work_pool_name": served.pool},
            json={"name": "held", "is_paused": True},
        )
        there = served.start("queue-paused", served.by_hand, work_queue_name="held")
        served.placed(served.start("queue-not-paused", served.by_hand))
        assert served.bench.read(there).state_name in ("Scheduled", "Late")

        served.client.update_work_pool(served.pool, WorkPoolUpdate(is_paused=True))
        try:
            held = served.start("pool-paused", served.by_hand)
            # The poll that is under way may have been answered before.
            soon = datetime.now(UTC).timestamp() + 1
            wait_for(lambda: served.polled_at() > soon, 30, "it has looked again")
            assert served.bench.read(held).state_name in ("Scheduled", "Late")
        finally:
            served.client.update_work_pool(served.pool, WorkPoolUpdate(is_paused=False))
        served.placed(held)

    def test_a_queues_limit_counts_runs_whose_job_is_under_way_and_none_that_waits(
        self, served: Served
    ) -> None:
        served.client.create_work_queue("narrow", work_pool_name=served.pool, concurrency_limit=1)
        waiting = served.start("narrow-waits", served.later, FLEXIBLE, work_queue_name="narrow")
        served.waits(waiting)
        first, job = served.placed_by_hand("narrow-first", work_queue_name="narrow")
        second = served.start("narrow-second", served.by_hand, work_queue_name="narrow")
        served.placed(served.start("beside-the-narrow", served.by_hand))
        assert served.bench.read(second).state_name in ("Scheduled", "Late")
        served.client.set_flow_run_state(job.id, Completed())
        served.ended(first)
        served.placed(second)


class TestSchedules:
    """Runs that a schedule made ahead of time."""

    def test_one_that_may_start_early_does(self, served: Served) -> None:
        run = served["scheduled"]
        job = served.placed(run)
        assert "Advanced" in served.bench.state_names(run)
        assert job.created is not None
        assert run.expected_start_time is not None
        assert job.created < run.expected_start_time


class TestInterrupted:
    """A job that stops and goes on, in a process of its own."""

    def test_a_job_that_waits_between_its_steps_is_waited_for(self, served: Served) -> None:
        run = served.ended(served["interrupted"])
        job = only(served.bench.jobs_of(run))
        assert (run.state_name, job.state_name) == ("Completed", "Completed"), served.bench.describe(run)
        assert served.bench.state_names(job).count("Deferred") == 1
        assert served.bench.state_names(run)[-2:] == ["PlacedFast", "Completed"]
        assert len(served.marks("interrupted")) == STEPS
        assert served.outcome("interrupted") == outcome()


class TestSeveralWorkers:
    """Another follows a planner that dies."""

    def test_a_planner_that_is_killed_is_followed(self, served: Served) -> None:
        bench, stack = served.bench, served.bench.stack
        names = [stack.start_worker(served.pair, WORKER_TYPE, name=name) for name in ("one", "two")]
        try:
            first = wait_for(lambda: _planner(bench, served.pair), 60, "one of them plans")
            run = served.start("before", served.by_hand, pool=served.pair)
            job = served.placed(run)
            stack.kill_worker(first)
            names.remove(first)
            # Placed by the other before it plans, and the end brought by it when it does.
            served.placed(served.start("after", served.by_hand, pool=served.pair))
            bench.take(job)
            served.client.set_flow_run_state(job.id, Running())
            served.client.set_flow_run_state(job.id, Completed())
            assert served.ended(run, LOOK_S).state_name == "Completed"
            assert _planner(bench, served.pair) == only(names)  # type: ignore[arg-type, type-var]
        finally:
            for name in names:
                stack.stop_worker(name)
        assert _planner(bench, served.pair) is None, "A worker that ends lets another plan at once."


def _planner(bench: Bench, pool: str) -> str | None:
    variable = bench.client.read_variable_by_name(lease_name(pool))
    return None if variable is None else str(variable.value["worker"])


class Guard:
    """Stands before the server, and lets nobody in while it is closed."""

    def __init__(self, stack_port: int) -> None:
        guard, self.closed, self.refused = self, False, 0

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _pass_on(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                if guard.closed:
                    guard.refused += 1
                    status, content, kind = 401, b'{"detail":"Unauthorized"}', "application/json"
                else:
                    headers = {
                        k: v for k, v in self.headers.items() if k.lower() not in ("host", "connection")
                    }
                    answer = httpx.request(
                        self.command,
                        f"http://127.0.0.1:{stack_port}{self.path}",
                        content=body,
                        headers=headers | {"accept-encoding": "identity"},
                        timeout=30,
                    )
                    status, content = answer.status_code, answer.content
                    kind = answer.headers.get("content-type", "application/json")
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _pass_on

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True)

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/api"

    def __enter__(self) -> Guard:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class TestRefusedByTheServer:
    """A key that is not accepted, for a while. Events do not get through at all; nothing needs them."""

    def test_its_health_says_so_and_it_goes_on_when_it_is_let_in(self, served: Served) -> None:
        stack, port = served.bench.stack, free_port()
        with Guard(stack.port) as guard:
            env = {
                "PREFECT_API_URL": guard.api_url,
                "PREFECT_INTEGRATIONS_CARBON_WORKER_PORT": str(port),
            }
            worker = stack.start_worker(served.watched, WORKER_TYPE, env=env)
            try:
                served.placed(served.start("let-in", served.by_hand, pool=served.watched))
                guard.closed = True
                failing = wait_for(
                    lambda: (now := served.health(port))["status"] == "failing" and now, 60, "health says so"
                )
                assert failing["error"] == "The Prefect API answered 401 (Unauthorized)."
                run = served.start("shut-out", served.by_hand, pool=served.watched)
                wait_for(
                    lambda: not served.health(port)["planner"], 60, "it does not take itself for the planner"
                )
                refused = guard.refused
                wait_for(lambda: guard.refused > refused, 60, "it goes on asking")
                assert served.bench.read(run).state_name in ("Scheduled", "Late")
                guard.closed = False
                served.placed(run)
                wait_for(lambda: served.health(port)["status"] == "ok", 60, "health says so")
            finally:
                stack.stop_worker(worker)


def test_the_pool_is_made_on_the_command_line_and_its_form_shows_what_may_be_said(served: Served) -> None:
    name = unique("by-cli")
    prefect = [sys.executable, "-m", "prefect"]
    served.bench.stack.run([*prefect, "work-pool", "create", name, "--type", WORKER_TYPE])
    found = served.bench.stack.run([*prefect, "work-pool", "inspect", name, "--output", "json"])
    pool = json.loads(found.stdout)
    assert pool["type"] == WORKER_TYPE
    fields = pool["base_job_template"]["variables"]["properties"]
    assert fields.keys() >= {
        "urgency",
        "finish_within",
        "start_early",
        "interruptible",
        "policy_block",
        "env",
    }
    assert fields["urgency"]["enum"]
