"""A pool with a live carbon worker, and the runs on it by case, for tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.states import Running, Scheduled

from carbon_policy.demo.processes import free_port
from carbon_policy.orchestration.blocks import CarbonSite
from carbon_policy.orchestration.names import LABEL_SLICE, WORKER_TYPE
from carbon_policy.worker.worker import CarbonWorker
from tests.support import grids
from tests.support.bench import Bench, only, unique
from tests.support.interruptible import SAID as INTERRUPTIBLE
from tests.support.jobs import marks

FLEXIBLE = {"urgency": "flexible", "finish_within": "30m", "expected_duration": "2s"}
GREEN_IN_S = 40
NEVER_S = 1500
PATIENCE_S = 150
# A look at all that is under way, for what no event told of.
LOOK_S = 60
TOGETHER = ("first", "second", "third")


class Served:
    """A pool with a carbon worker, and the runs on it by case."""

    def __init__(self, bench: Bench, folder: Path) -> None:
        self.bench, self.folder, self.client = bench, folder, bench.client
        self.port = free_port()
        template = CarbonWorker.get_default_base_job_template()
        self.pool, self.pair, self.watched = (
            bench.pool(unique(name), template, WORKER_TYPE) for name in ("aware", "pair", "watched")
        )
        self.idle = bench.pool(unique("idle"))
        bench.seem_served(self.idle)
        CarbonSite(work_pool=self.idle, tier="fast", zone="DE", power_w=60).save("idle")
        flat = grids.flat(folder)
        self.flat, self.by_hand = bench.policy(flat), bench.policy(flat, sites=["idle"])
        self.soon = bench.policy(grids.greener_in(folder, GREEN_IN_S))
        self.later = bench.policy(grids.greener_in(folder, NEVER_S), sites=["idle"])
        self._runs: dict[str, FlowRun] = {}
        self._markers: dict[str, Path] = {}

    def deploy(
        self, case: str, policy: str, said: dict[str, Any] | None = None, pool: str | None = None, **more: Any
    ) -> UUID:
        """A deployment whose job notes that it ran."""
        self._markers[case] = self.folder / f"{unique(case)}.txt"
        variables = {"expected_duration": "2s", **(said or {}), "policy_block": policy}
        parameters = {"marker": str(self._markers[case]), **more.pop("parameters", {})}
        return self.bench.deploy(
            pool or self.pool,
            "jobs.py:plain",
            flow=unique(case),
            job_variables=variables,
            parameters=parameters,
            **more,
        )

    def start(self, case: str, *args: Any, run: dict[str, Any] | None = None, **more: Any) -> FlowRun:
        """Deploy a job, and start a run of it."""
        self._runs[case] = self.bench.run(self.deploy(case, *args, **more), name=case, **(run or {}))
        return self._runs[case]

    def start_interruptible(self, case: str) -> None:
        """A job that waits once between its steps."""
        self._markers[case] = self.folder / f"{unique(case)}.txt"
        deployment = self.bench.deploy(
            self.pool,
            "jobs_checkpointing.py:stepping",
            flow=unique(case),
            job_variables={**INTERRUPTIBLE, "policy_block": self.flat},
            parameters={"marker": str(self._markers[case]), "stops": [2]},
        )
        self._runs[case] = self.bench.run(deployment, name=case)
        # Its slice is over by the time that its process begins, so that it asks whether it goes on.
        now = datetime.now(UTC).isoformat()
        self.client.update_flow_run_labels(self.placed(self[case]).id, {LABEL_SLICE: f"{now}/{now}"})

    def start_scheduled(self, case: str, due: datetime) -> None:
        """A schedule's run, which may start before it is due: it is green now, and brown then."""
        policy = self.bench.policy(
            grids.trace(self.folder, [grids.GREEN] * 300 + [grids.BROWN]), sites=["idle"]
        )
        deployment = self.deploy(
            case,
            policy,
            {"start_early": "30m", "finish_within": "30m"},
            schedules=[
                DeploymentScheduleCreate(
                    schedule=IntervalSchedule(interval=timedelta(days=2), anchor_date=due)
                )
            ],
        )
        self.client.request(
            "POST", "/deployments/{id}/schedule", path_params={"id": deployment}, json={"min_runs": 1}
        )
        filters = {"flow_runs": {"deployment_id": {"any_": [str(deployment)]}}}
        found = self.client.request("POST", "/flow_runs/filter", json=filters).json()
        first = min(found, key=lambda run: str(run["expected_start_time"]))
        self._runs[case] = self.bench.read(UUID(first["id"]))

    def start_on_a_pool_that_is_renamed(self, case: str) -> None:
        """Its pool is deleted before anybody took the run; its deployment is put on the pool that is served."""
        going, flow = self.bench.pool(unique("going"), kind=WORKER_TYPE), unique(case)
        self._markers[case] = self.folder / f"{flow}.txt"
        said: dict[str, Any] = {
            "flow": flow,
            "job_variables": {"expected_duration": "2s", "policy_block": self.flat},
            "parameters": {"marker": str(self._markers[case])},
        }
        self._runs[case] = self.bench.run(self.bench.deploy(going, "jobs.py:plain", **said), name=case)
        self.client.delete_work_pool(going)
        self.bench.deploy(self.pool, "jobs.py:plain", **said)

    def start_together(self) -> None:
        """Three that are planned together, on a site that holds one at a time and is green for two minutes."""
        narrow, wide = unique("narrow"), unique("wide")
        # On the other nobody would emit less, whenever he went there.
        for site, limit, power_w in ((narrow, 1, 60), (wide, None, 6000)):
            self.bench.pool(site, limit=limit)
            CarbonSite(work_pool=site, tier="fast", zone="DE", power_w=power_w).save(site)
        self.bench.seem_served(narrow, wide)
        values = [grids.BROWN] * NEVER_S + [grids.GREEN] * 120 + [grids.BROWN]
        policy = self.bench.policy(grids.trace(self.folder, values), sites=[narrow, wide])
        said = {**FLEXIBLE, "finish_within": "75m", "expected_duration": "10m", "policy": "fleet"}
        # One that never waits, and for which the grid is not asked, stands in the queue with them.
        urgent = self.deploy("urgent", policy, {"urgency": "critical"})
        self.bench.run(urgent, state=Scheduled(scheduled_time=datetime.now(UTC) + timedelta(hours=1)))
        for case in TOGETHER:
            self.start(case, policy, said)

    def __getitem__(self, case: str) -> FlowRun:
        return self._runs[case]

    def marks(self, case: str) -> list[list[str]]:
        return marks(self._markers[case])

    def outcome(self, case: str) -> str:
        return self._markers[case].with_suffix(".out").read_text()

    def placed(self, run: FlowRun) -> FlowRun:
        """The job of a run, when that run says where it is."""
        self.bench.until(run, lambda now: now.state_name in ("PlacedFast", "PlacedEco"), "placed", PATIENCE_S)
        return only(self.bench.jobs_of(run))

    def placed_by_hand(self, name: str, **more: Any) -> tuple[FlowRun, FlowRun]:
        """A run whose job is on the site that nobody serves, and that job, begun."""
        run = self.start(name, self.by_hand, **more)
        job = self.placed(run)
        self.bench.take(job)
        self.client.set_flow_run_state(job.id, Running())
        return run, job

    def waits(self, run: FlowRun) -> FlowRun:
        return self.bench.until_named(run, "Deferred", PATIENCE_S)

    def ended(self, run: FlowRun, timeout_s: float = PATIENCE_S) -> FlowRun:
        return self.bench.until_final(run, timeout_s)

    def health(self, port: int | None = None) -> dict[str, Any]:
        found: dict[str, Any] = httpx.get(f"http://127.0.0.1:{port or self.port}/health").json()
        return found

    def polled_at(self) -> float:
        """When the worker last asked for due runs, Unix time."""
        said = httpx.get(f"http://127.0.0.1:{self.port}/metrics").text
        [line] = [line for line in said.splitlines() if line.startswith("carbon_policy_last_poll_timestamp")]
        return float(line.split()[1])
