"""The chaos run: a real server, workers and jobs, and everything that can go wrong with them, from one seed.

`python -m tests.support.chaos --jobs 1000 --minutes 20` (`make chaos`) runs it and prints what became of each job;
`tests/reliability/test_chaos.py` runs a short one.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import SystemRandom
from typing import Any
from uuid import UUID

from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import TERMINAL_STATES, StateType
from prefect.states import AwaitingRetry, Cancelling
from prefect.workers.process import ProcessWorker

from carbon_policy.demo.processes import PrefectStack
from carbon_policy.domain.errors import InvalidInputError
from carbon_policy.orchestration.gate_template import gate_template
from carbon_policy.orchestration.overdue import release
from carbon_policy.orchestration.runs import all_runs
from tests.support import grids, postgresql
from tests.support.bench import CARBON, ECO, FAST, Bench
from tests.support.chaos_plan import (
    LATER_S,
    Calm,
    Cancel,
    Cut,
    Happening,
    Heal,
    KillWorker,
    Kind,
    Plan,
    Release,
    RestartServer,
    StartWorker,
    Storm,
    Submit,
)
from tests.support.chaos_verdict import Seen, Sent, Verdict, match
from tests.support.proxy import CALM, Proxy, Weather
from tests.support.restarts import kept_in_a_file, restart_server
from tests.support.site_worker import SiteWorker, starts

SETTLE_S = 180
"""So long after the last of what goes wrong, nothing is left that has nobody behind it; mostly it is half of that."""

_LOOK_S = 1.5
_STRIKES_WITHIN_S = 30
_NOT_FINAL = [kind for kind in StateType if kind not in TERMINAL_STATES]
_QUIET_S = 3.0
_SHOWN = 10
_BROWN_S, _GREEN_S, _CYCLES = 15, 10, 190
_FAR_S = 4000


class Chaos:
    """A chaos run on a server of its own.

    Args:
        plan: What is to happen.
        home: Folder for the server's home and the file of starts.
        kind: Of the workers of the carbon pool.
        settings: Prefect's, for server and workers.
        settle_s: How long things may take to settle.
        say: Takes a line for people.
    """

    def __init__(
        self,
        plan: Plan,
        home: Path,
        *,
        kind: str = "carbon-aware",
        settings: dict[str, str] | None = None,
        settle_s: float = SETTLE_S,
        say: Callable[[str], None] = print,
    ) -> None:
        self._plan, self._home, self._kind, self._settle_s = plan, home, kind, settle_s
        self._print = say
        self._file = home / "starts.txt"
        self._stack = PrefectStack(
            home / "prefect",
            settings={
                "PREFECT_LOGGING_TO_API_ENABLED": "false",
                **kept_in_a_file(home / "prefect"),
                **(settings or {}),
            },
            survives_restarts=True,
        )
        self._bench = Bench(self._stack)
        self._proxies: list[Proxy] = []
        self._deployments: dict[Kind, UUID] = {}
        self._flows: list[UUID] = []
        self._sent: dict[int, Sent] = {}
        self._to_release: set[int] = set()
        self._to_retry: set[int] = set()
        self._may_calm_down = True
        self._happened: Counter[str] = Counter()
        self._began = time.monotonic()

    def run(self) -> Verdict:
        """Let it all happen, wait until it has settled, and judge."""
        with contextlib.ExitStack() as open_:
            open_.enter_context(self._stack)
            open_.enter_context(self._bench)
            open_.enter_context(self._bench.settings())
            for worker in range(self._plan.workers):
                proxy = Proxy(self._stack.port, self._plan.seed + worker)
                self._proxies.append(open_.enter_context(proxy))
            self._deploy()
            for worker in range(self._plan.workers):
                self._start_worker(worker)
            with SiteWorker(self._stack.api_url, (FAST, ECO), self._file):
                self._began = time.monotonic()
                for at_s, what in self._plan.happenings():
                    time.sleep(max(0.0, at_s - self._now_s()))
                    self._let_happen(what)
                    self._calm_down()
                    self._click()
                self._make_whole()
                self._settle()
                verdict = self._look()
            self._tell(verdict)
        return verdict

    # --- what a team has

    def _deploy(self) -> None:
        bench = self._bench
        if self._kind != "process":
            bench.client.delete_work_pool(CARBON)
            bench.pool(CARBON, gate_template(ProcessWorker.get_default_base_job_template()), kind=self._kind)
        hours = [*[grids.BROWN] * _BROWN_S, *[grids.GREEN] * _GREEN_S] * _CYCLES
        soon = bench.policy(grids.trace(self._home, hours))
        far = bench.policy(grids.greener_in(self._home, _FAR_S))
        patient = {"urgency": "flexible", "finish_within": "2h", "policy_block": far}
        said: dict[Kind, dict[str, Any]] = {
            Kind.CRITICAL: {"urgency": "critical", "policy_block": soon},
            Kind.NORMAL: {"urgency": "normal", "policy_block": soon},
            Kind.FLEXIBLE: {"urgency": "flexible", "finish_within": "45s", "policy_block": soon},
            Kind.DEADLINE: {"urgency": "flexible", "policy_block": soon},
            Kind.FAILING: {"urgency": "critical", "policy_block": soon},
            Kind.RETRIED: {"urgency": "critical", "policy_block": soon},
            Kind.RELEASED: patient,
            Kind.CANCELLED_WAITING: patient,
            Kind.CANCELLED_RUNNING: {"urgency": "critical", "policy_block": soon},
            Kind.MALFORMED: {"urgency": "flexible", "finish_within": "soon", "policy_block": soon},
            Kind.PATIENT: {"urgency": "normal", "policy_block": soon},
        }
        for kind, variables in said.items():
            # A process worker's gate waits for its job only where it is told to.
            variables = {"expected_duration": "2s", "wait": True, **variables}
            deployment = bench.deploy(CARBON, job_variables=variables)
            self._deployments[kind] = deployment
            self._flows.append(bench.client.read_deployment(deployment).flow_id)

    def _submit(self, what: Submit) -> None:
        now = datetime.now(UTC)
        variables: dict[str, Any] = {}
        start_by = None
        if what.start_within_s is not None:
            variables["start_within"] = f"{what.start_within_s}s"
            start_by = now + timedelta(seconds=what.start_within_s)
        if what.kind is Kind.PATIENT:
            variables["earliest_start"] = (now + timedelta(seconds=LATER_S)).isoformat()
        run = self._bench.run(
            self._deployments[what.kind],
            name=f"{what.number}-{what.kind.name.lower()}",
            parameters={"lasts_s": what.lasts_s, "fails": what.kind in (Kind.FAILING, Kind.RETRIED)},
            job_variables=variables,
            idempotency_key=f"chaos-{what.number}",
        )
        self._sent[what.number] = Sent(run, what.kind, start_by)
        if what.kind is Kind.RETRIED:
            self._to_retry.add(what.number)

    # --- what happens

    def _let_happen(self, what: Happening) -> None:
        match what:
            case Submit():
                self._submit(what)
            case Cancel(number):
                self._cancel(number)
            case Release(number):
                self._to_release.add(number)
            case KillWorker(worker):
                if self._is_up(worker):
                    self._note("worker killed", f"worker {worker} is killed")
                    self._stack.kill_worker(_name(worker))
            case StartWorker(worker):
                self._start_worker(worker)
            case RestartServer(down_s):
                self._note("server killed", f"the server is killed, for {down_s:.1f} s")
                restart_server(self._stack, down_s)
                self._say("the server is there again")
            case Cut(worker):
                self._note("network cut", f"the network of worker {worker} is cut")
                self._proxies[worker].cut()
            case Heal(worker):
                self._say(f"the network of worker {worker} is there again")
                self._proxies[worker].heal()
            case Storm(unavailable, lost, late):
                self._say("requests go wrong")
                self._may_calm_down = False
                self._set_weather(Weather(unavailable=unavailable, lost=lost, late=late))
            case Calm():
                self._may_calm_down = True

    def _cancel(self, number: int) -> None:
        run = self._bench.read(self._sent[number].run)
        if run.state is not None and not run.state.is_final():
            self._bench.client.set_flow_run_state(run.id, Cancelling())

    def _click(self) -> None:
        """What users do once a run is ready for it; one whose click came while it was being decided clicks again."""
        for number in sorted(self._to_release):
            run = self._bench.read(self._sent[number].run)
            with contextlib.suppress(InvalidInputError):
                release(self._bench.client, run.id, "by the user", datetime.now(UTC))
                self._to_release.discard(number)
        for number in sorted(self._to_retry):
            run = self._bench.read(self._sent[number].run)
            if run.state is not None and run.state.is_final():
                self._bench.client.set_flow_run_state(
                    run.id, AwaitingRetry(message="Retry from the UI"), force=True
                )
                self._to_retry.discard(number)

    def _is_up(self, worker: int) -> bool:
        return _name(worker) in self._stack.workers

    def _start_worker(self, worker: int) -> None:
        if not self._is_up(worker):
            env = {
                "PREFECT_API_URL": self._proxies[worker].api_url,
                # Two minutes, were it not a test: most of the time would go by waiting for them.
                "PREFECT_INTEGRATIONS_CARBON_WORKER_RECOVER_AFTER_S": "40",
            }
            self._stack.start_worker(CARBON, self._kind, _name(worker), env)

    def _calm_down(self) -> None:
        """End a storm whose time is over, but not before it has struck: a busy machine lags behind the plan."""
        stormy = any(proxy.weather != CALM for proxy in self._proxies)
        if stormy and self._may_calm_down and any(proxy.has_struck for proxy in self._proxies):
            self._say("requests go right again")
            self._set_weather(CALM)

    def _set_weather(self, weather: Weather) -> None:
        for proxy in self._proxies:
            proxy.weather = weather

    def _make_whole(self) -> None:
        for worker, proxy in enumerate(self._proxies):
            proxy.heal()
            self._start_worker(worker)
        # The storm that is still on, if any, strikes the workers that are there again.
        until_s = self._now_s() + _STRIKES_WITHIN_S
        while not any(proxy.has_struck for proxy in self._proxies) and self._now_s() < until_s:
            time.sleep(_LOOK_S)
        for proxy in self._proxies:
            proxy.calm()
        self._say("nothing goes wrong from now on")

    # --- what there is

    def _settle(self) -> None:
        began = time.monotonic()
        patient = sum(job.kind is Kind.PATIENT for job in self._sent.values())
        open_, left = FlowRunFilterState(type=FlowRunFilterStateType(any_=_NOT_FINAL)), len(self._sent)
        while left and time.monotonic() - began < self._settle_s:
            time.sleep(_LOOK_S)
            self._click()
            # To read all runs costs the server much; to count them does not.
            left = self._bench.client.count_flow_runs(
                flow_filter=self._ours, flow_run_filter=FlowRunFilter(state=open_)
            )
            if left <= patient:
                left = sum(not job.settled for job in self._look().seen) + len(self._to_retry)
        self._say(f"{left} jobs are not settled after {time.monotonic() - began:.0f} s")
        # What comes twice may come late.
        time.sleep(_QUIET_S)

    @property
    def _ours(self) -> FlowFilter:
        return FlowFilter(id=FlowFilterId(any_=self._flows))

    def _look(self) -> Verdict:
        started = starts(self._file)
        runs = [*all_runs(self._bench.client, flow_filter=self._ours)]
        seen = match(self._sent.values(), runs, started)
        known = {str(job.run.id) for job in self._sent.values()}
        strays = [start for start in started if start.parent not in known]
        happened = Counter(self._happened)
        for proxy in self._proxies:
            happened.update(proxy.happened)
        return Verdict(seen, strays, datetime.now(UTC), happened)

    def _tell(self, verdict: Verdict) -> None:
        self._print(str(verdict))
        for job, faults in verdict.faulty[:_SHOWN]:
            for line in self._history(job, faults):
                self._print(line)

    def _history(self, job: Seen, faults: list[str]) -> Iterator[str]:
        yield f"--- {', '.join(faults)}: job {job.sent.run.name}, start by {job.sent.start_by}"
        for what, run in [("parent", job.run), *(("job", child) for child in job.children)]:
            if run is None:
                yield f"  {what} is gone"
                continue
            yield f"  {what} {run.id} next start {run.next_scheduled_start_time} {run.labels}"
            for state in self._bench.states(run):
                yield f"    {state.timestamp:%H:%M:%S.%f} {state.type.value} {state.name}: {state.message}"
        for start in job.starts:
            yield f"  started {start.at:%H:%M:%S.%f} as {start.run}"

    def _now_s(self) -> float:
        return time.monotonic() - self._began

    def _note(self, what: str, sentence: str) -> None:
        if what != "network cut":  # The proxy counts those.
            self._happened[what] += 1
        self._say(sentence)

    def _say(self, sentence: str) -> None:
        self._print(f"[{self._now_s():6.1f} s, {len(self._sent)} sent] {sentence}")


def _name(worker: int) -> str:
    return f"carbon-{worker}-worker"


@contextlib.contextmanager
def database_settings(on_postgresql: bool) -> Iterator[dict[str, str]]:
    """Prefect's settings for the database: a file, or a PostgreSQL server that is thrown away."""
    if not on_postgresql:
        yield {}
        return
    with postgresql.postgresql() as server, postgresql.database(server) as url:
        text = url.set(drivername="postgresql+asyncpg").render_as_string(hide_password=False)
        yield {"PREFECT_SERVER_DATABASE_CONNECTION_URL": text}


def main(arguments: list[str] | None = None) -> int:
    """Run it as the command line says; 1 where a job was lost, doubled, left lying or told wrongly."""
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=20, help="in which things happen; then it settles")
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(10**6))
    parser.add_argument("--settle", type=float, default=SETTLE_S, help="seconds that it may take to settle")
    parser.add_argument("--kind", default="carbon-aware", help="of the workers of the carbon pool")
    parser.add_argument("--calm", action="store_true", help="let nothing go wrong")
    parser.add_argument("--postgresql", action="store_true", help="the server's database, instead of a file")
    parser.add_argument("--home", type=Path, help="kept; without it, a temporary folder is made and removed")
    said = parser.parse_args(arguments)
    # Whoever ends this ends the server and the workers with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    often = dict.fromkeys(("kills", "restarts", "cuts", "storms"), 0)
    if not said.calm:
        each = max(2, round(said.minutes))
        often = {"kills": each, "restarts": max(1, each // 5), "cuts": each, "storms": each}
    plan = Plan(said.jobs, said.minutes * 60, said.seed, **often)
    print(
        f"{plan}\nthe same again: --jobs {said.jobs} --minutes {said.minutes:g} --seed {said.seed}",
        flush=True,
    )
    with contextlib.ExitStack() as open_:
        home = said.home or Path(open_.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
        home.mkdir(parents=True, exist_ok=True)
        settings = open_.enter_context(database_settings(said.postgresql))
        verdict = Chaos(plan, home, kind=said.kind, settings=settings, settle_s=said.settle).run()
    return 0 if verdict.good else 1


if __name__ == "__main__":
    sys.exit(main())
