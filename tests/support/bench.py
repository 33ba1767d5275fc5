"""A real Prefect server with a team's pools, sites, policies and deployments on it, for tests."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import FlowFilter, FlowFilterId, FlowRunFilter
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_HOME,
    PREFECT_LOGGING_TO_API_ENABLED,
    PREFECT_PROFILES_PATH,
    temporary_settings,
)
from prefect.states import Crashed, Pending
from prefect.workers.process import ProcessWorker

from carbon_policy.demo.processes import PrefectStack
from carbon_policy.orchestration.blocks import CarbonPolicy, CarbonSite
from carbon_policy.orchestration.gate_template import gate_template
from carbon_policy.orchestration.names import LABEL_PARENT
from tests.support.waiting import wait_for

SUPPORT = Path(__file__).parent
IN_SUPPORT = [{"prefect.deployments.steps.set_working_directory": {"directory": str(SUPPORT)}}]
NOWHERE = [{"prefect.deployments.steps.set_working_directory": {"directory": "/nonexistent"}}]
CARBON, FAST, ECO = "carbon", "fast", "eco"


def unique(prefix: str) -> str:
    """A name that no other test has."""
    return f"{prefix}-{uuid4().hex[:8]}"


class Bench:
    """What a test does to a server, in a team's words.

    Attributes:
        stack: The processes.
        client: A client of the server.
    """

    def __init__(self, stack: PrefectStack) -> None:
        self.stack = stack
        self._open = contextlib.ExitStack()
        self.client: SyncPrefectClient

    def __enter__(self) -> Bench:
        with self.settings():
            self.client = self._open.enter_context(get_client(sync_client=True))
            process = ProcessWorker.get_default_base_job_template()
            for pool in (FAST, ECO):
                self.pool(pool, process)
            self.pool(CARBON, gate_template(process))
            CarbonSite(work_pool=FAST, tier="fast", zone="DE", power_w=60).save("fast")
            CarbonSite(work_pool=ECO, tier="eco", zone="DE", power_w=24, speed=0.5).save("eco")
        self.seem_served(FAST, ECO)
        return self

    def __exit__(self, *exc: object) -> None:
        self._open.close()

    @contextlib.contextmanager
    def settings(self) -> Iterator[None]:
        """Prefect in this process talks to this server, and to no other."""
        with temporary_settings(
            {
                PREFECT_API_URL: self.stack.api_url,
                PREFECT_HOME: self.stack.home,
                PREFECT_PROFILES_PATH: self.stack.home / "profiles.toml",
                PREFECT_LOGGING_TO_API_ENABLED: False,
            }
        ):
            yield

    # --- what a team sets up

    def pool(
        self,
        name: str,
        template: dict[str, Any] | None = None,
        kind: str = "process",
        limit: int | None = None,
    ) -> str:
        """Create a work pool, or replace its template."""
        template = template or ProcessWorker.get_default_base_job_template()
        self.client.create_work_pool(
            WorkPoolCreate(name=name, type=kind, base_job_template=template, concurrency_limit=limit),
            overwrite=True,
        )
        return name

    def seem_served(self, *pools: str) -> None:
        """Make pools look as if a worker were there, for tests in which none needs to be."""
        for pool in pools:
            self.client.send_worker_heartbeat(
                pool, "a-heartbeat-and-no-more", heartbeat_interval_seconds=3600
            )

    def policy(self, grid: str | list[str], **fields: Any) -> str:
        """A policy block of a test's own; returns its name, for the job variable `policy_block`."""
        name = unique("policy")
        sources = [grid] if isinstance(grid, str) else grid
        given = {"sites": ["fast", "eco"], "grid_sources": sources, "minimum_deferral": timedelta(seconds=1)}
        CarbonPolicy(**{**given, **fields}).save(name)
        return name

    def deploy(
        self,
        pool: str,
        entrypoint: str = "nowhere.py:nothing",
        pull_steps: list[dict[str, Any]] | None = None,
        flow: str | None = None,
        **fields: Any,
    ) -> UUID:
        """A deployment; by default of code that cannot be imported."""
        flow_id = self.client.create_flow_from_name(flow or unique("flow"))
        here = IN_SUPPORT if entrypoint.startswith("jobs") else NOWHERE
        return self.client.create_deployment(
            flow_id=flow_id,
            name=fields.pop("name", "nightly"),
            work_pool_name=pool,
            entrypoint=entrypoint,
            pull_steps=pull_steps or here,
            parameter_openapi_schema={"type": "object", "properties": {}},
            enforce_parameter_schema=False,
            **fields,
        )

    def run(self, deployment: UUID, **fields: Any) -> FlowRun:
        """A run of a deployment, due now."""
        return self.client.create_flow_run_from_deployment(deployment, **fields)

    def pending(self, deployment: UUID, **fields: Any) -> FlowRun:
        """A run that no worker will take, as if one had just taken it."""
        return self.run(deployment, state=Pending(), **fields)

    # --- what a worker does to a run

    def take(self, run: FlowRun) -> None:
        """Take a run as a worker does: to Pending, and not by force."""
        answer = self.client.set_flow_run_state(run.id, Pending())
        assert answer.status.value == "ACCEPT", f"No worker could take it: {answer.status} {answer.details}"

    def report_crash(self, run: FlowRun, exit_code: int = 3) -> None:
        """Report a process that ended badly, as a worker does."""
        self.client.set_flow_run_state(
            run.id, Crashed(message=f"Process exited with status code: {exit_code}.")
        )

    # --- what there is

    def read(self, run: FlowRun | UUID) -> FlowRun:
        """A run as the server has it now."""
        return self.client.read_flow_run(run if isinstance(run, UUID) else run.id)

    def states(self, run: FlowRun | UUID) -> list[State[Any]]:
        """Every state that a run was in, the first one first."""
        run_id = run if isinstance(run, UUID) else run.id
        return sorted(self.client.read_flow_run_states(run_id), key=lambda state: state.timestamp)

    def state_names(self, run: FlowRun | UUID) -> list[str]:
        """The names of those states."""
        return [str(state.name) for state in self.states(run)]

    def runs_of_flow(self, run: FlowRun) -> list[FlowRun]:
        """All runs of a run's flow, gates and jobs."""
        return self.client.read_flow_runs(
            flow_filter=FlowFilter(id=FlowFilterId(any_=[run.flow_id])), limit=100
        )

    def jobs_of(self, run: FlowRun) -> list[FlowRun]:
        """The job runs that a gate's run placed, found by their label."""
        return [other for other in self.runs_of_flow(run) if other.labels.get(LABEL_PARENT) == str(run.id)]

    def due(self, pool: str, run: FlowRun) -> bool:
        """Whether a worker of a pool that looks a day ahead is offered a run."""
        response = self.client.request(
            "POST",
            "/work_pools/{name}/get_scheduled_flow_runs",
            path_params={"name": pool},
            json={"scheduled_before": (datetime.now(UTC) + timedelta(days=1)).isoformat()},
        )
        return str(run.id) in {item["flow_run"]["id"] for item in response.json()}

    # --- waiting

    def until(
        self, run: FlowRun | UUID, predicate: Callable[[FlowRun], Any], what: str, timeout_s: float = 90
    ) -> FlowRun:
        """Wait until a run fulfils a predicate; returns it."""

        def look() -> FlowRun | None:
            current = self.read(run)
            return current if predicate(current) else None

        found = wait_for(look, timeout_s, what, lambda: self.describe(run))
        assert found is not None
        return found

    def until_named(self, run: FlowRun | UUID, name: str, timeout_s: float = 90) -> FlowRun:
        """Wait until a run's state has a name; fails at once where it ended otherwise."""

        def named(current: FlowRun) -> bool:
            ended = current.state is not None and current.state.is_final()
            assert current.state_name == name or not ended, f"Expected {name}.\n{self.describe(run)}"
            return current.state_name == name

        return self.until(run, named, f"a run is {name}", timeout_s)

    def until_final(self, run: FlowRun | UUID, timeout_s: float = 90) -> FlowRun:
        """Wait until a run has ended."""
        return self.until(run, lambda r: r.state is not None and r.state.is_final(), "a run ended", timeout_s)

    def describe(self, run: FlowRun | UUID) -> str:
        """The states of a run, its jobs, and the ends of the logs."""
        current = self.read(run)
        lines = [f"{current.name} {current.id} labels={current.labels}"]
        lines += [
            f"  {s.timestamp:%H:%M:%S.%f} {s.type.value} {s.name}: {s.message}" for s in self.states(run)
        ]
        for job in self.jobs_of(current):
            lines.append(f"  job {job.id}: {self.state_names(job)}")
        for log in sorted((self.stack.home / "logs").glob("*-worker.log")):
            lines += [f"--- {log.name}", self.stack.log_tail(log.stem, 25)]
        return "\n".join(lines)

    def tidy(self) -> None:
        """End what a test left waiting, so that no later worker starts it."""
        for kind in (StateType.SCHEDULED, StateType.PENDING):
            for run in self.client.read_flow_runs(flow_run_filter=_in_state(kind), limit=200):
                self.client.delete_flow_run(run.id)


def _in_state(kind: StateType) -> FlowRunFilter:
    return FlowRunFilter.model_validate({"state": {"type": {"any_": [kind]}}})


def only(runs: list[FlowRun]) -> FlowRun:
    """The one run of a list that must hold one."""
    assert len(runs) == 1, f"Expected one run, found {[(run.name, run.state_name) for run in runs]}"
    return runs[0]
