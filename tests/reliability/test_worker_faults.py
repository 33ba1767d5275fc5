"""A carbon worker may be killed, cut off, misled or slowed down anywhere: each job starts once, or is waiting.

The argument. A worker keeps nothing that matters: what is to become of a run is on the server alone, and any worker
can go on from there. Three things make that safe.

1. A job's run is created under a key made of its parent, which the server keeps unique. So a parent may be decided
   and placed again as often as one likes, by as many workers as one likes: there is one job, and the second creation
   gives back the first one's run. Hence nobody need know for certain that a worker is dead before its work is taken
   up: a run that is Pending or Running without a job, and has said nothing for two minutes, is simply begun again.
2. A wait is one change of state, made only if the run is as it was when it was read. So of two workers that both
   believe to plan, one changes a run, and the other leaves it alone; the lease spares work, and nothing rests on it.
3. A parent is left Running, with a label that names its job, and ends as its job does. Whoever reads both can bring
   the end, now or an hour later, and to bring it twice changes nothing.

A request whose reply is lost is sent again by Prefect's client, after it has been acted on. So each one is such that
the second does nothing: it has a key, or it is made only if the run is as it was read; and who takes a run leaves a
mark, by which it knows that it was the one. Where that fails, nobody is behind the run, and (1) gets it going. A job
begins a second time only where somebody asks for it: a retry of its parent is passed down once, if the job ended before
that. A worker's clock is not asked for anything that two machines must agree on: it learns the server's time from the
server's answers, and measures the lease by a stopwatch.

The workers here are hurried (`tests/support/nursery.py`): what takes them minutes takes seconds. The jobs are played
by `tests/support/site_worker.py`, which writes down each start.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import AwaitingRetry, Cancelling
from prefect.workers.process import ProcessWorker

from carbon_policy.demo.processes import PrefectStack
from carbon_policy.orchestration.blocks import CarbonPolicy
from carbon_policy.orchestration.gate_template import gate_template
from carbon_policy.orchestration.names import DEFERRED, WORKER_TYPE
from carbon_policy.orchestration.waits import wait_of
from tests.support import grids
from tests.support.bench import ECO, FAST, Bench, only, unique
from tests.support.nursery import EXIT_CODE, Nursery, kill
from tests.support.proxy import Proxy, Weather
from tests.support.restarts import kept_in_a_file, kill_server, restart_server
from tests.support.site_worker import SiteWorker, Start, starts
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.server, pytest.mark.slow]

A_LONG_TIME_S = 1200
SOON_S = 12
AT_MOST_S = 60
FLEXIBLE = {"urgency": "flexible", "finish_within": "1h", "expected_duration": "2s"}
_PLACEMENT, _GATES = "carbon_policy.orchestration.placement", "carbon_policy.worker.gates"
_DESK, _MIRROR = "carbon_policy.worker.desk", "carbon_policy.worker.mirror"
_REPLAN = "carbon_policy.orchestration.replan"


@dataclass(frozen=True)
class House:
    """A server that survives restarts, a network in front of it, and sites whose jobs are played.

    Attributes:
        stack: The server.
        bench: What a team does to it.
        proxy: The workers' network.
        file: Where each start is written down.
    """

    stack: PrefectStack
    bench: Bench
    proxy: Proxy
    file: Path

    def starts_of(self, run: FlowRun) -> list[Start]:
        return [start for start in starts(self.file) if start.parent == str(run.id)]

    def assert_ran_once(self, run: FlowRun) -> None:
        """It ends as its one job does, which began once."""
        ended = self.bench.until_final(run, AT_MOST_S)
        job = only(self.bench.jobs_of(run))
        assert ended.state_type is StateType.COMPLETED, self.bench.describe(run)
        assert job.state_type is StateType.COMPLETED, self.bench.describe(run)
        assert [start.run for start in self.starts_of(run)] == [str(job.id)], self.bench.describe(run)

    def assert_waits_once(self, run: FlowRun) -> FlowRun:
        """It has no job, waits for a moment to come, and was put to wait once."""
        waiting = self.bench.until_named(run, DEFERRED, AT_MOST_S)
        assert waiting.next_scheduled_start_time is not None
        assert waiting.next_scheduled_start_time > datetime.now(UTC)
        assert self.bench.jobs_of(run) == []
        wait = wait_of(waiting)
        assert wait is not None
        assert wait.deferrals == 1, self.bench.describe(run)
        return waiting


@pytest.fixture(scope="module")
def a_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    home, file = tmp_path_factory.mktemp("house"), tmp_path_factory.mktemp("starts") / "starts.txt"
    settings = {"PREFECT_LOGGING_TO_API_ENABLED": "false", **kept_in_a_file(home)}
    with (
        PrefectStack(home, settings=settings, survives_restarts=True) as stack,
        Bench(stack) as bench,
        Proxy(stack.port) as proxy,
        SiteWorker(stack.api_url, (FAST, ECO), file),
    ):
        yield House(stack, bench, proxy, file)


@pytest.fixture
def house(a_house: House) -> Iterator[House]:
    with a_house.bench.settings():
        yield a_house
    a_house.proxy.calm()


@pytest.fixture
def workers(house: House) -> Iterator[Nursery]:
    """Workers behind the network, ended after each test."""
    # Prefect's client tries again, and waits longer each time; a worker tries again anyway.
    env = house.stack.env | {"PREFECT_API_URL": house.proxy.api_url, "PREFECT_CLIENT_MAX_RETRIES": "2"}
    with Nursery(env, house.stack.home / "logs") as workers:
        yield workers


@pytest.fixture
def pool(house: House) -> str:
    """A carbon pool of a test's own."""
    template = gate_template(ProcessWorker.get_default_base_job_template())
    return house.bench.pool(unique("carbon"), template, kind=WORKER_TYPE)


def send(
    house: House, pool: str, grid: str, said: dict[str, Any] | None = None, **parameters: Any
) -> FlowRun:
    """A run of a deployment of its own, due now."""
    variables = {**(said or FLEXIBLE), "policy_block": house.bench.policy(grid)}
    return house.bench.run(house.bench.deploy(pool, job_variables=variables, parameters=parameters))


# --- killed, -9


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(f"before {_GATES}:take", id="before-pending"),
        pytest.param(f"after {_GATES}:take", id="pending"),
        pytest.param(f"after {_GATES}:run_in_context", id="running"),
        pytest.param(f"after {_PLACEMENT}:consult", id="decided"),
        pytest.param(f"after {_PLACEMENT}:record_decision", id="decision-recorded"),
        pytest.param(f"after {_PLACEMENT}:ensure_twin", id="twin-made"),
        pytest.param(f"after {_PLACEMENT}:create_child", id="job-created"),
        pytest.param(f"after {_PLACEMENT}:add_labels", id="labels-written"),
        pytest.param(f"after {_GATES}:leave_running", id="left-running"),
        pytest.param(f"before {_MIRROR}:state_like", id="job-has-ended"),
        pytest.param(f"after {_MIRROR}:Mirror._end", id="end-brought"),
    ],
)
def test_killed_while_it_places(house: House, workers: Nursery, pool: str, tmp_path: Path, step: str) -> None:
    run = send(house, pool, grids.flat(tmp_path))
    doomed = workers.start(pool, step)
    doomed.join(AT_MOST_S)
    assert doomed.exitcode == EXIT_CODE, house.bench.describe(run)
    workers.start(pool)
    house.assert_ran_once(run)


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(f"before {_DESK}:put_to_wait", id="decided"),
        pytest.param(f"after {_DESK}:put_to_wait", id="waiting"),
    ],
)
def test_killed_while_it_defers(house: House, workers: Nursery, pool: str, tmp_path: Path, step: str) -> None:
    run = send(house, pool, grids.greener_in(tmp_path, A_LONG_TIME_S))
    doomed = workers.start(pool, step)
    doomed.join(AT_MOST_S)
    assert doomed.exitcode == EXIT_CODE, house.bench.describe(run)
    workers.start(pool)
    house.assert_waits_once(run)


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_while_it_plans_again(
    house: House, workers: Nursery, pool: str, tmp_path: Path, when: str
) -> None:
    """The grid becomes greener sooner. A worker sees it, and dies as it moves the wait."""
    policy = house.bench.policy(grids.greener_in(tmp_path, A_LONG_TIME_S))
    run = house.bench.run(house.bench.deploy(pool, job_variables={**FLEXIBLE, "policy_block": policy}))
    doomed = workers.start(pool, f"{when} {_REPLAN}:put_to_wait")
    first = house.assert_waits_once(run)
    block = CarbonPolicy.load(policy)
    assert isinstance(block, CarbonPolicy)
    block.grid_sources = [grids.greener_in(tmp_path, A_LONG_TIME_S // 2)]
    block.save(policy, overwrite=True)
    doomed.join(AT_MOST_S)
    assert doomed.exitcode == EXIT_CODE, house.bench.describe(run)
    workers.start(pool)
    then = house.assert_waits_once(run)
    assert first.next_scheduled_start_time is not None
    assert then.next_scheduled_start_time is not None
    if when == "after":
        assert then.next_scheduled_start_time < first.next_scheduled_start_time


def test_killed_and_its_run_is_cancelled_before_another_comes(
    house: House, workers: Nursery, pool: str, tmp_path: Path
) -> None:
    """The job does not go on as an orphan."""
    run = send(house, pool, grids.flat(tmp_path), lasts_s=3600)
    doomed = workers.start(pool)
    wait_for(lambda: house.starts_of(run), AT_MOST_S, "the job runs", lambda: house.bench.describe(run))
    house.bench.until(run, is_placed, "it is placed")
    kill(doomed)
    house.bench.client.set_flow_run_state(run.id, Cancelling())
    workers.start(pool)
    assert house.bench.until_final(run, AT_MOST_S).state_type is StateType.CANCELLED
    assert only(house.bench.jobs_of(run)).state_type is StateType.CANCELLED


# --- a retry that somebody asks for


def failed_once(house: House, workers: Nursery, pool: str, folder: Path) -> FlowRun:
    """A run whose job has failed, and which somebody has retried, with no worker there."""
    run = send(house, pool, grids.flat(folder), lasts_s=3, fails=True)
    workers.start(pool)
    assert house.bench.until_final(run, AT_MOST_S).state_type is StateType.FAILED
    workers.kill_all()
    house.bench.client.set_flow_run_state(run.id, AwaitingRetry(message="Retry from the UI"), force=True)
    return run


def assert_retried_once(house: House, run: FlowRun) -> None:
    """Its one job began twice in all, and it ends as the second time ended."""
    wait_for(lambda: len(house.starts_of(run)) > 1, AT_MOST_S, "a retry", lambda: house.bench.describe(run))
    house.bench.until(only(house.bench.jobs_of(run)), is_over, "the job ended", AT_MOST_S)
    house.bench.until(run, is_over, "it ended", AT_MOST_S)
    assert len(house.starts_of(run)) == 2, house.bench.describe(run)


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_while_it_passes_a_retry_down(
    house: House, workers: Nursery, pool: str, tmp_path: Path, when: str
) -> None:
    run = failed_once(house, workers, pool, tmp_path)
    doomed = workers.start(pool, f"{when} {_GATES}:retry_job")
    doomed.join(AT_MOST_S)
    assert doomed.exitcode == EXIT_CODE, house.bench.describe(run)
    workers.start(pool)
    assert_retried_once(house, run)


def test_the_reply_to_a_retry_is_lost(house: House, workers: Nursery, pool: str, tmp_path: Path) -> None:
    """Asked for again, it must not begin beside itself."""
    run = failed_once(house, workers, pool, tmp_path)
    house.proxy.lose_reply("set_state", b"Its run was retried.")
    workers.start(pool)
    assert_retried_once(house, run)
    assert house.proxy.nothing_to_lose


# --- a server or a network that goes away


def two_under_way(house: House, workers: Nursery, pool: str, folder: Path) -> tuple[FlowRun, FlowRun]:
    """One run whose job is under way, and one that waits."""
    runs, waits = send(house, pool, grids.flat(folder), lasts_s=5), send(house, pool, soon_green(folder))
    workers.start(pool)
    house.bench.until(runs, is_placed, "it is placed")
    house.bench.until_named(waits, DEFERRED)
    return runs, waits


def test_the_server_is_killed(house: House, workers: Nursery, pool: str, tmp_path: Path) -> None:
    under_way = two_under_way(house, workers, pool, tmp_path)
    restart_server(house.stack, down_s=2)
    late = send(house, pool, grids.flat(tmp_path))
    for run in (*under_way, late):
        house.assert_ran_once(run)


def test_server_and_worker_are_killed(house: House, workers: Nursery, pool: str, tmp_path: Path) -> None:
    under_way = two_under_way(house, workers, pool, tmp_path)
    kill_server(house.stack)
    workers.kill_all()
    house.stack.start_server()
    workers.start(pool)
    for run in under_way:
        house.assert_ran_once(run)


def test_the_network_is_cut(house: House, workers: Nursery, pool: str, tmp_path: Path) -> None:
    """For so long that the lease is lost, the wait is over, and the job has ended."""
    under_way = two_under_way(house, workers, pool, tmp_path)
    house.proxy.cut()
    waits_until = house.bench.read(under_way[1]).next_scheduled_start_time
    assert waits_until is not None
    wait_for(lambda: datetime.now(UTC) > waits_until, AT_MOST_S, "the wait is over")
    house.proxy.heal()
    for run in under_way:
        house.assert_ran_once(run)


def test_the_worker_that_plans_is_cut_off_and_comes_back(
    house: House, workers: Nursery, pool: str, tmp_path: Path
) -> None:
    """Another one plans meanwhile; for a moment both believe to."""
    with Proxy(house.stack.port) as its_network:
        workers.start(pool, api_url=its_network.api_url)
        first = send(house, pool, grids.flat(tmp_path))
        house.assert_ran_once(first)
        its_network.cut()
        workers.start(pool)
        runs = [
            send(house, pool, grid) for grid in (grids.flat(tmp_path), soon_green(tmp_path)) for _ in range(2)
        ]
        house.bench.until(runs[0], is_placed_or_over, "the other one plans")
        its_network.heal()
        for run in (*runs, send(house, pool, grids.flat(tmp_path))):
            house.assert_ran_once(run)


# --- a server that answers badly


@pytest.mark.parametrize(
    ("path", "body"),
    [
        pytest.param("/bulk_set_state", b'"PENDING"', id="pending"),
        pytest.param("/set_state", b'"name":"Running"', id="running"),
        pytest.param("/deployments/", b"carbon-twin", id="twin"),
        pytest.param("/create_flow_run", b"", id="job-created"),
        pytest.param("/labels", b"job-run", id="labels-written"),
        pytest.param("/bulk_set_state", b"PlacedEco", id="left-running"),
        pytest.param("/set_state", b'"COMPLETED"', id="end-brought"),
    ],
)
def test_a_reply_is_lost_while_it_places(
    house: House, workers: Nursery, pool: str, tmp_path: Path, path: str, body: bytes
) -> None:
    """The server has acted, and the worker hears nothing but a reset: it asks again."""
    house.proxy.lose_reply(path, body)
    run = send(house, pool, grids.flat(tmp_path))
    workers.start(pool)
    house.assert_ran_once(run)
    assert house.proxy.nothing_to_lose


def test_a_reply_is_lost_while_it_defers(house: House, workers: Nursery, pool: str, tmp_path: Path) -> None:
    house.proxy.lose_reply("/bulk_set_state", b'"Deferred"')
    run = send(house, pool, grids.greener_in(tmp_path, A_LONG_TIME_S))
    workers.start(pool)
    wait_for(lambda: house.proxy.nothing_to_lose, AT_MOST_S, "the reply is lost")
    house.assert_waits_once(run)


@pytest.mark.parametrize(
    "weather",
    [
        pytest.param(Weather(unavailable=0.1), id="503"),
        pytest.param(Weather(lost=0.1), id="lost-replies"),
        pytest.param(Weather(slow_s=0.2), id="slow"),
    ],
)
def test_the_server_answers_badly(
    house: House, workers: Nursery, pool: str, tmp_path: Path, weather: Weather
) -> None:
    """Two workers, and all that they ask for."""
    house.proxy.weather = weather
    runs = [send(house, pool, grids.flat(tmp_path)) for _ in range(2)]
    runs.append(send(house, pool, soon_green(tmp_path)))
    for _ in range(2):
        workers.start(pool)
    for run in runs:
        house.assert_ran_once(run)


# --- a clock that is wrong


@pytest.mark.parametrize("by_s", [300, -300], ids=["fast", "slow"])
def test_the_clock_of_a_worker_is_wrong(
    house: House, workers: Nursery, pool: str, tmp_path: Path, by_s: int
) -> None:
    """What is due starts now, and what waits starts when it is green."""
    now, waits = send(house, pool, grids.flat(tmp_path)), send(house, pool, soon_green(tmp_path))
    sent_at = datetime.now(UTC)
    workers.start(pool, f"clock {by_s}")
    for run in (now, waits):
        house.assert_ran_once(run)
    at_once, [later] = house.starts_of(now)[0], house.starts_of(waits)
    assert at_once.at - sent_at < timedelta(seconds=AT_MOST_S)
    assert later.at - sent_at > timedelta(seconds=SOON_S - 3)


def soon_green(folder: Path) -> str:
    """Not for long: every second of it is as good as any other."""
    return grids.greener_in(folder, SOON_S, lasts_s=6)


def is_placed(run: FlowRun) -> bool:
    return str(run.state_name).startswith("Placed")


def is_over(run: FlowRun) -> bool:
    return run.state is not None and run.state.is_final()


def is_placed_or_over(run: FlowRun) -> bool:
    return is_placed(run) or is_over(run)
