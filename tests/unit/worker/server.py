"""A Prefect server of a few runs, for what a worker does to them. What Prefect itself does is in tests/contract."""

from __future__ import annotations

from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

from prefect.client.schemas.objects import TERMINAL_STATES, FlowRun, State, StateType
from prefect.client.schemas.responses import SetStateStatus
from prefect.exceptions import ObjectNotFound
from prefect.states import Scheduled

from carbon_policy.domain.chain import ChainStep
from carbon_policy.domain.site import Site, Tier
from carbon_policy.orchestration.blocks import CarbonPolicy
from carbon_policy.orchestration.directory import Directory
from carbon_policy.orchestration.evidence import Asked
from carbon_policy.orchestration.experience import Experience
from carbon_policy.orchestration.world import World
from tests.unit.worker.decided import NOW, outlook

POOL = "aware"
FAST = Site(name="fast", work_pool="fast", tier=Tier.FAST, zone="DE", power_w=60)
ECO = Site(name="eco", work_pool="eco", tier=Tier.ECO, zone="DE", power_w=24, speed=0.5)
FLEXIBLE = {"urgency": "flexible", "finish_within": "12h", "expected_duration": "30m"}


class Server:
    """Runs by id, and what was asked of them.

    Attributes:
        now: Its time, UTC.
        runs: As they are.
        states: The names of the states that each run was given, in order.
        asked: What was asked for, by kind.
    """

    def __init__(self) -> None:
        self.now = NOW
        self.runs: dict[UUID, FlowRun] = {}
        self.states: dict[UUID, list[str]] = {}
        self.history: dict[UUID, list[State[Any]]] = {}
        self.asked: list[str] = []

    def add(self, state: State[Any] | None = None, pool: str | None = POOL, **fields: Any) -> FlowRun:
        """A run, due now if no state is said."""
        due = fields.pop("due", self.now)
        state = state or Scheduled(scheduled_time=due)
        given: dict[str, Any] = {
            "id": uuid4(),
            "flow_id": uuid4(),
            "deployment_id": uuid4(),
            "name": "a-run",
            "work_pool_name": pool,
            "expected_start_time": due,
            "next_scheduled_start_time": due if state.type is StateType.SCHEDULED else None,
            "state": state,
            "state_type": state.type,
            "state_name": state.name,
        }
        run = FlowRun(**given | fields)
        self.runs[run.id], self.states[run.id], self.history[run.id] = run, [], [state]
        return run

    def read_flow_run_states(self, run_id: UUID) -> list[State[Any]]:
        return self.history[run_id]

    def set(self, run_id: UUID, state: State[Any]) -> None:
        """Another state of a run, whoever says so."""
        self.states[run_id].append(str(state.name))
        self.history[run_id].append(state)
        self.runs[run_id] = self.runs[run_id].model_copy(
            update={
                "state": state,
                "state_type": state.type,
                "state_name": state.name,
                "next_scheduled_start_time": state.state_details.scheduled_time,
            }
        )

    # --- what a client asks

    def request(self, method: str, path: str, path_params: Any = None, json: Any = None) -> Any:
        self.asked.append(path.rsplit("/", 1)[-1])
        if path.endswith("get_scheduled_flow_runs"):
            before = datetime.fromisoformat(json["scheduled_before"])
            due = [
                run
                for run in self.runs.values()
                if run.next_scheduled_start_time and run.next_scheduled_start_time <= before
            ]
            found = [{"flow_run": {"id": str(run.id)}} for run in due]
            return SimpleNamespace(json=lambda: found, headers={})
        assert path.endswith("bulk_set_state"), path
        [run_id] = json["flow_runs"]["id"]["any_"]
        run, wanted = self.runs.get(UUID(run_id)), json["flow_runs"]["state"]
        if (
            run is None
            or [run.state_name] != wanted["name"]["any_"]
            or [run.state_type] != wanted["type"]["any_"]
        ):
            return SimpleNamespace(json=lambda: {"results": []})
        if json["state"]["type"] == "SCHEDULED":
            at = datetime.fromisoformat(json["state"]["state_details"]["scheduled_time"])
            name, data = json["state"]["name"], json["state"].get("data")
            state: State[Any] = Scheduled(name=name, scheduled_time=at, data=data)
        else:
            state = State(type=json["state"]["type"], name=json["state"]["name"])
        status = self.set_flow_run_state(run.id, state).status.value
        return SimpleNamespace(json=lambda: {"results": [{"status": status}]})

    def read_flow_run(self, run_id: UUID) -> FlowRun:
        self.asked.append("read_flow_run")
        if run_id not in self.runs:
            raise ObjectNotFound(Exception("gone"))
        return self.runs[run_id]

    def read_flow_runs(
        self, *, flow_run_filter: Any, work_pool_filter: Any = None, **_: Any
    ) -> list[FlowRun]:
        self.asked.append("read_flow_runs")
        found = list(self.runs.values())
        if flow_run_filter.id is not None:
            found = [run for run in found if run.id in {UUID(str(one)) for one in flow_run_filter.id.any_}]
        if flow_run_filter.idempotency_key is not None:
            found = [run for run in found if run.idempotency_key in flow_run_filter.idempotency_key.any_]
        if flow_run_filter.tags is not None:
            found = [run for run in found if set(flow_run_filter.tags.all_) <= set(run.tags)]
        if flow_run_filter.state is not None:
            found = [run for run in found if run.state_type in flow_run_filter.state.type.any_]
        if work_pool_filter is not None:
            found = [run for run in found if run.work_pool_name in work_pool_filter.name.any_]
        return found

    def set_flow_run_state(self, run_id: UUID, state: State[Any], force: bool = False) -> Any:
        now = self.runs[run_id].state_type
        refused = (
            # Of two workers one can take it.
            (now is StateType.PENDING and state.type is StateType.PENDING)
            or (now is StateType.CANCELLING and state.type is not StateType.CANCELLED)
            or (now in TERMINAL_STATES and state.type is StateType.CANCELLING)
        )
        if refused and not force:
            return SimpleNamespace(status=SetStateStatus.ABORT, details=None)
        self.set(run_id, state)
        return SimpleNamespace(status=SetStateStatus.ACCEPT, details=None)

    def renew_concurrency_lease(self, lease: UUID, seconds: float) -> None:
        self.asked.append("renew")


class Told(World):
    """A world of two sites, whose deployments say what a test says of them.

    Args:
        said: Job variables, by deployment; of one that is not in here, none.
        free: The places on eco, where it is greener; no limit, if not said.
    """

    def __init__(self, said: dict[UUID, dict[str, Any]] | None = None, free: int | None = None) -> None:
        super().__init__(None, NOW)  # type: ignore[arg-type]
        self.said = said or {}
        self.gone: set[UUID | None] = set()
        self._free = free
        self.expected: tuple[float, ...] = (400.0,) * 24

    def directory(self, _: str) -> Directory:
        def free(site: Site) -> int | None:
            return self._free if site.name == "eco" else None

        return Directory("default", CarbonPolicy(), (FAST, ECO), {}, (), free=free)

    def deployment(self, deployment_id: UUID) -> Any:
        if deployment_id in self.gone:
            raise ObjectNotFound(Exception("gone"))
        return SimpleNamespace(
            id=deployment_id,
            name="nightly",
            work_pool_name=POOL,
            job_variables=self.said.get(deployment_id, {"expected_duration": "30m"}),
        )

    def flow_name(self, flow_id: UUID) -> str:
        return "train"

    def grid(self, *_: Any) -> Asked:
        return Asked(outlooks=outlook(*self.expected), steps={"DE": ChainStep.PINNED})

    def experience(self, *_: Any) -> Experience:
        return Experience()


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)
