"""Nothing is lost and nothing is doubled, whatever is killed, cut or late: two carbon workers in a storm.

Jobs of all sorts are sent while both workers are killed again and again, the server is killed, networks are cut and
requests go wrong. Then all is left alone until it has settled, and each job is judged by what was written down when
its code began to run, and by what the server says in the end. Why it holds, fault by fault: `test_worker_faults.py`.
A longer one, from a seed of its own: `make chaos`.
"""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from uuid import uuid4

import httpx
import pytest
from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Cancelled, Completed, Failed, Pending, Running, Scheduled

from carbon_policy.orchestration.names import LABEL_PARENT
from tests.support.chaos import Chaos
from tests.support.chaos_plan import KillWorker, Kind, Plan, RestartServer, kinds_of
from tests.support.chaos_verdict import Seen, Sent, Verdict, match
from tests.support.proxy import CALM, Proxy, Weather
from tests.support.site_worker import Start

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SEED = 20261126


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_nothing_is_lost_and_nothing_is_doubled(tmp_path: Path) -> None:
    plan = Plan(jobs=200, lasts_s=60, seed=SEED)
    verdict = Chaos(plan, tmp_path).run()
    assert verdict.good, str(verdict)
    # It was what it says it is.
    for what in ("worker killed", "server killed", "network cut", "answered 503", "reply lost", "reply late"):
        assert verdict.happened[what] > 0, str(verdict)
    kinds = kinds_of(plan.jobs, Random(SEED))
    assert verdict.counts["sent"] == plan.jobs
    assert verdict.counts["waiting"] == kinds.count(Kind.PATIENT)
    assert verdict.counts["refused"] == kinds.count(Kind.MALFORMED)


# --- the plan


def test_a_seed_is_a_plan() -> None:
    plan = Plan(jobs=50, lasts_s=60, seed=7)
    assert plan.happenings() == plan.happenings()
    assert plan.happenings() != Plan(jobs=50, lasts_s=60, seed=8).happenings()


def test_every_sort_of_job_and_of_fault_is_planned() -> None:
    plan = Plan(jobs=50, lasts_s=60, seed=7)
    what = [type(happening) for _, happening in plan.happenings()]
    assert what.count(KillWorker) == plan.workers * plan.kills
    assert what.count(RestartServer) == plan.restarts
    assert set(kinds_of(plan.jobs, Random(7))) == set(Kind)


# --- the verdict: one that sees no fault proves nothing


def run_in(state: State[None], parent: FlowRun | None = None, due_in_s: float = 0) -> FlowRun:
    labels = {LABEL_PARENT: str(parent.id)} if parent is not None else {}
    due = NOW + timedelta(seconds=due_in_s)
    return FlowRun(id=uuid4(), flow_id=uuid4(), state=state, labels=labels, next_scheduled_start_time=due)


def judged(
    kind: Kind, state: State[None], jobs: tuple[State[None], ...] = (), started: int = 0, due_in_s: float = 0
) -> list[str]:
    """What is found wrong with a job in the end."""
    parent = run_in(state, due_in_s=due_in_s)
    children = [run_in(job, parent) for job in jobs]
    begun = [Start(str(uuid4()), str(parent.id), NOW) for _ in range(started)]
    [seen] = match([Sent(parent, kind)], [parent, *children], begun)
    return seen.faults(NOW)


DONE: State[None] = Completed(message="Done.")
BROKEN: State[None] = Failed(message="Its own.")
GONE: State[None] = Cancelled()
REFUSED: State[None] = Failed(name="Refused", message="Say what.")
LATER: State[None] = Scheduled(name="Deferred")


@pytest.mark.parametrize(
    "good",
    [
        lambda: judged(Kind.NORMAL, DONE, (DONE,), started=1),
        lambda: judged(Kind.FAILING, BROKEN, (BROKEN,), started=1),
        lambda: judged(Kind.RETRIED, BROKEN, (BROKEN,), started=2),
        lambda: judged(Kind.MALFORMED, REFUSED),
        lambda: judged(Kind.PATIENT, LATER, due_in_s=60),
        lambda: judged(Kind.CANCELLED_WAITING, GONE),
        lambda: judged(Kind.CANCELLED_RUNNING, GONE, (GONE,), started=1),
    ],
)
def test_what_is_good(good: Callable[[], list[str]]) -> None:
    assert good() == []


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        (lambda: judged(Kind.NORMAL, DONE, (DONE,), started=2), "DOUBLED"),
        (lambda: judged(Kind.NORMAL, DONE, (DONE, DONE), started=1), "DOUBLED"),
        (lambda: judged(Kind.RETRIED, BROKEN, (BROKEN,), started=3), "DOUBLED"),
        (lambda: judged(Kind.RETRIED, BROKEN, (BROKEN,), started=1), "WRONG END"),
        (lambda: judged(Kind.NORMAL, Completed()), "LOST"),
        (lambda: judged(Kind.NORMAL, Cancelled()), "LOST"),
        (lambda: judged(Kind.FLEXIBLE, LATER, due_in_s=-1), "LOST"),
        (lambda: judged(Kind.NORMAL, Pending()), "STUCK"),
        (lambda: judged(Kind.NORMAL, Running(name="PlacedFast"), (DONE,), started=1), "STUCK"),
        (lambda: judged(Kind.CANCELLED_RUNNING, GONE, (Running(),), started=1), "STUCK"),
        (lambda: judged(Kind.NORMAL, DONE, (BROKEN,), started=1), "WRONG END"),
        (lambda: judged(Kind.FLEXIBLE, LATER, due_in_s=60), "WRONG END"),
        (lambda: judged(Kind.NORMAL, BROKEN), "WRONG END"),
        (lambda: judged(Kind.MALFORMED, DONE, (DONE,), started=1), "WRONG END"),
        (lambda: judged(Kind.CANCELLED_RUNNING, GONE, (DONE,), started=1), "WRONG END"),
    ],
)
def test_what_is_bad(bad: Callable[[], list[str]], named: str) -> None:
    assert named in bad()


def test_a_job_that_began_after_its_deadline_is_late() -> None:
    parent = run_in(DONE)
    sent = Sent(parent, Kind.DEADLINE, NOW - timedelta(seconds=3))
    seen = Seen(sent, parent, [run_in(DONE, parent)], [Start("job", str(parent.id), NOW)])
    verdict = Verdict([seen], [], NOW)
    assert verdict.late_s == [3.0]
    assert verdict.good
    assert not Verdict([seen], [Start("job", "nobody's", NOW)], NOW).good


def test_a_job_without_a_run_is_lost() -> None:
    assert match([Sent(run_in(DONE), Kind.NORMAL)], [], [])[0].faults(NOW) == ["LOST"]


# --- the network


class Echo(http.server.BaseHTTPRequestHandler):
    """Counts what it is asked for."""

    protocol_version = "HTTP/1.1"
    asked = 0

    def do_POST(self) -> None:
        Echo.asked += 1
        body = self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server that gives back what it is sent."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_the_network_does_what_it_is_told(echo: int) -> None:
    with Proxy(echo) as proxy, httpx.Client(base_url=f"http://127.0.0.1:{proxy.port}") as client:
        large = b"x" * 300_000
        assert client.post("/", content=large).content == large

        proxy.weather = Weather(unavailable=1.0)
        asked = Echo.asked
        assert client.post("/", content=b"a").status_code == httpx.codes.SERVICE_UNAVAILABLE
        assert Echo.asked == asked
        proxy.weather = Weather(lost=1.0)
        with pytest.raises(httpx.ReadError):
            client.post("/", content=b"a")
        assert Echo.asked == asked + 1
        proxy.weather = CALM

        proxy.cut()
        with pytest.raises(httpx.ConnectError):
            client.post("/", content=b"a")
        proxy.heal()
        assert client.post("/", content=b"a").content == b"a"
    assert proxy.happened == {"answered 503": 1, "reply lost": 1, "network cut": 1}
