"""What `worker.py` measures on: a Prefect server on SQLite or PostgreSQL, a grid of its own making, and meters."""

from __future__ import annotations

import contextlib
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import psutil
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterNextScheduledStartTime,
    FlowRunFilterState,
    FlowRunFilterStateName,
)
from prefect.client.schemas.objects import FlowRun
from prefect.workers.process import ProcessWorker
from sqlalchemy import URL

from carbon_policy.demo.processes import PrefectStack
from carbon_policy.grid.trace import TraceGrid
from carbon_policy.orchestration.blocks import CarbonPolicy
from carbon_policy.orchestration.gate_template import gate_template
from carbon_policy.orchestration.names import DEFAULT_POLICY_BLOCK, WORKER_TYPE
from carbon_policy.orchestration.runs import all_runs
from tests.support import postgresql
from tests.support.bench import ECO, FAST, Bench, unique

SQLITE, POSTGRESQL = "SQLite", "PostgreSQL"
"""The databases. In SQLite's file Prefect gets one connection: with more of them its server stands still for a minute
at a time where many write (`carbon_policy/demo/processes.py`), and all would be about nothing else."""

SQLITE_AS_IT_COMES = "SQLite as it comes"
"""The file that Prefect makes by default, with as many connections as it likes."""

_ONE_CONNECTION = "one:memory:.db"
"""A file with this in its path gets one connection, as a database in memory does."""

WRITERS = 4
AWARE, GATES = "aware", "gates"
"""The pools of the two kinds of workers that place runs."""

WORKER = "placing-worker"
SERVER = "server"
BROWN, GREEN, GREENEST = 600.0, 50.0, 10.0
FAST_ONLY = "fast-only"
_LOOK_S = 0.25
_WITHIN_S = 300

T = TypeVar("T")
R = TypeVar("R")


def say(sentence: str) -> None:
    """Tell how far it is."""
    print(f"{datetime.now(UTC):%H:%M:%S} {sentence}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def database(kind: str) -> Iterator[URL]:
    """The URL of an empty database of a kind, with a driver that waits."""
    if kind == POSTGRESQL:
        with postgresql.postgresql() as server, postgresql.database(server) as url:
            yield url
        return
    with tempfile.TemporaryDirectory(prefix="carbon-policy-sqlite-") as folder:
        name = _ONE_CONNECTION if kind == SQLITE else "prefect.db"
        yield URL.create("sqlite", database=f"{folder}/{name}")


def _settings(url: URL) -> dict[str, str]:
    """Prefect's settings for a server on a database."""
    driver = "sqlite+aiosqlite" if url.drivername == "sqlite" else "postgresql+asyncpg"
    text = url.set(drivername=driver).render_as_string(hide_password=False)
    return {
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": text,
        "PREFECT_WORKER_QUERY_SECONDS": "10",
        # The server's log names every request: so they are counted.
        "PREFECT_SERVER_LOGGING_LEVEL": "INFO",
    }


@contextlib.contextmanager
def stand(kind: str, folder: Path) -> Iterator[Stand]:
    """A server on a database of a kind, with pools, sites and policies."""
    with contextlib.ExitStack() as opened:
        url = opened.enter_context(database(kind))
        stack = opened.enter_context(PrefectStack(settings=_settings(url), survives_restarts=True))
        bench = opened.enter_context(Bench(stack))
        opened.enter_context(bench.settings())
        yield Stand(kind, stack, bench, url, folder)


class Stand:
    """A server, and what is done to it.

    Attributes:
        kind: Of the database.
        client: A client of the server.
        url: Of its database.
    """

    def __init__(self, kind: str, stack: PrefectStack, bench: Bench, url: URL, folder: Path) -> None:
        self.kind, self.client, self.url = kind, bench.client, url
        self._stack, self._bench, self._folder = stack, bench, folder
        self._began = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        process = ProcessWorker.get_default_base_job_template()
        bench.pool(AWARE, gate_template(process), WORKER_TYPE)
        bench.pool(GATES, gate_template(process))
        self.grid_says({6: GREEN})
        grid = "carbon-trace-grid/bench"
        for name, sites in ((DEFAULT_POLICY_BLOCK, [FAST, ECO]), (FAST_ONLY, [FAST])):
            CarbonPolicy(sites=sites, grid_sources=[grid]).save(name, overwrite=True)

    # --- what a team has

    def grid_says(self, hours: dict[int, float]) -> None:
        """Forecast 600 g/kWh, and something else in some hours from now."""
        path = self._folder / f"{unique('trace')}.csv"
        rows = ["time,zone,gco2_per_kwh"]
        for hour in range(-48, 96):
            at = self._began + timedelta(hours=hour)
            # A little up and down, as a grid that does not move at all is taken for broken.
            rows.append(f"{at.isoformat()},DE,{hours.get(hour, BROWN + hour % 7)}")
        path.write_text("\n".join(rows))
        TraceGrid(path=path, horizon=timedelta(hours=72)).save("bench", overwrite=True)

    def deploy(self, pool: str = AWARE, **job_variables: Any) -> UUID:
        """A deployment of code that never runs."""
        return self._bench.deploy(pool, job_variables=job_variables)

    def flexible(self, window: str = "9h", pool: str = AWARE) -> UUID:
        """A deployment whose runs wait for the greenest hour within a window."""
        return self.deploy(pool, urgency="flexible", finish_within=window, expected_duration="30m")

    # --- runs

    def create(self, deployment: UUID, **fields: Any) -> str:
        """Create a run by one request; returns its id."""
        answer = self.client.request(
            "POST", "/deployments/{id}/create_flow_run", path_params={"id": deployment}, json=fields
        )
        return str(answer.json()["id"])

    def create_many(self, deployment: UUID, runs: int) -> list[str]:
        """Create runs that are due now, each with a parameter of its own, as fast as the server takes them."""
        return in_threads(lambda number: self.create(deployment, parameters={"number": number}), range(runs))

    def runs(self, deployment: UUID) -> list[FlowRun]:
        """All runs of a deployment."""
        return list(all_runs(self.client, flow_run_filter=_of(deployment)))

    def count(self, deployment: UUID, names: Sequence[str]) -> int:
        """How many runs of a deployment are in a state of one of these names."""
        return int(self.client.count_flow_runs(flow_run_filter=_of(deployment, names)))

    def until_waiting(self, deployment: UUID, runs: int) -> list[FlowRun]:
        """Wait until so many runs of a deployment have a start that is far away; returns them.

        Not by the name of their state: where the server is slow to mark a run as late, it marks one that waits by then.
        """
        far = FlowRunFilterNextScheduledStartTime(after_=datetime.now(UTC) + timedelta(minutes=30))
        wanted = FlowRunFilter(
            deployment_id=FlowRunFilterDeploymentId(any_=[deployment]), next_scheduled_start_time=far
        )
        self._wait(
            lambda: self.client.count_flow_runs(flow_run_filter=wanted) >= runs, f"that {runs} runs wait"
        )
        return self.runs(deployment)

    def until(self, what: str, deployment: UUID, names: Sequence[str], runs: int) -> None:
        """Wait until so many runs of a deployment are in a state of one of these names."""
        self._wait(lambda: self.count(deployment, names) >= runs, what)

    def _wait(self, look: Callable[[], bool], what: str) -> None:
        try:
            wait_for(look, _WITHIN_S, f"{what}, on {self.kind}")
        except SystemExit:
            say(f"The worker says:\n{self._stack.log_tail(WORKER, 15)}")
            raise

    def forget(self, *deployments: UUID) -> None:
        """Delete deployments, and their waiting runs with them."""
        for deployment in deployments:
            self.client.delete_deployment(deployment)

    # --- processes

    def start_worker(self, pool: str = AWARE) -> None:
        """Start the worker that places a pool's runs."""
        self._stack.start_worker(pool, WORKER_TYPE if pool == AWARE else "process", WORKER)

    def stop_worker(self) -> None:
        """End it."""
        self._stack.stop_worker(WORKER)

    def process(self, name: str) -> psutil.Process:
        """The server, or the worker that places runs."""
        mark = str(self._stack.port) if name == SERVER else name
        return next(child for child in psutil.Process().children() if mark in child.cmdline())

    def log(self, name: str) -> Log:
        """The log of the server or the worker, from here on."""
        return Log(self._stack.home / "logs" / f"{name}.log")


def _of(deployment: UUID, names: Sequence[str] | None = None) -> FlowRunFilter:
    state = FlowRunFilterState(name=FlowRunFilterStateName(any_=list(names))) if names else None
    return FlowRunFilter(deployment_id=FlowRunFilterDeploymentId(any_=[deployment]), state=state)


class Log:
    """A log from where it ended when this was made."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._from = path.stat().st_size if path.exists() else 0

    def lines(self) -> list[str]:
        """What was written since."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._from)
            return file.read().decode(errors="replace").splitlines()

    def requests(self) -> int:
        """Requests that a server's log names."""
        return self.count(' HTTP/1.1" ')

    def count(self, text: str) -> int:
        """Lines that hold a text."""
        return sum(text in line for line in self.lines())

    def seen(self, text: str, within_s: float, look_s: float = 0.02) -> tuple[datetime, str]:
        """Wait for a line with a text; returns when it was there, and the line."""
        line = wait_for(
            lambda: next((line for line in self.lines() if text in line), None), within_s, text, look_s
        )
        return datetime.now(UTC), line


def wait_for(look: Callable[[], T], within_s: float, what: str, look_s: float = _LOOK_S) -> T:
    """Poll until something is true, and return it."""
    deadline = time.monotonic() + within_s
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise SystemExit(f"It did not come within {within_s:.0f} s: {what}")
        time.sleep(look_s)


def in_threads(work: Callable[[T], R], items: Iterable[T], threads: int = WRITERS) -> list[R]:
    """Do something to all items, with as many threads as the worker writes with."""
    context = copy_context()
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda item: context.copy().run(work, item), items))


class Meter:
    """What a process takes while the context lasts: CPU, and memory as it is seen every so often."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.rss_begin = self.rss_end = self.rss_peak = 0

    def __enter__(self) -> Meter:
        self._began, self._cpu = time.monotonic(), self._cpu_s()
        self.rss_begin = self.rss_peak = self._process.memory_info().rss
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join()
        self.seconds = time.monotonic() - self._began
        self.cpu_s = self._cpu_s() - self._cpu
        self.rss_end = self._process.memory_info().rss
        self.rss_peak = max(self.rss_peak, self.rss_end)

    def _cpu_s(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)

    def _look(self) -> None:
        while not self._over.wait(_LOOK_S):
            self.rss_peak = max(self.rss_peak, self._process.memory_info().rss)

    @property
    def percent(self) -> float:
        """CPU, in percent of a core."""
        return round(100 * self.cpu_s / self.seconds, 1)

    def ms_for_each_of(self, things: int) -> float:
        """CPU for each of so many things, milliseconds: what else the machine does matters little to it."""
        return round(1000 * self.cpu_s / things, 1)


def mib(size: int) -> float:
    """Bytes as MiB."""
    return round(size / 2**20, 1)


def spread(values: Sequence[float]) -> dict[str, float]:
    """The middle and the end of a distribution."""
    cuts = statistics.quantiles(values, n=20, method="inclusive")
    return {
        "p50": round(statistics.median(values), 2),
        "p95": round(cuts[18], 2),
        "max": round(max(values), 2),
    }


def a_second(runs: int, began: datetime, ended: datetime) -> float:
    """A rate."""
    return round(runs / (ended - began).total_seconds(), 1)
