"""What the doctor says of the pool whose runs are placed, and of who serves it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prefect.client.schemas.objects import Worker, WorkerStatus, WorkPool

from carbon_policy.cli.checks.finding import Finding, Level
from carbon_policy.cli.checks.pools import check_carbon_pool, check_sites, read_planner
from carbon_policy.domain.site import Site, Tier
from carbon_policy.orchestration.gate_template import GATE_COMMAND

STEADY = timedelta(seconds=3)
GONE = timedelta(minutes=7)
DEFAULT_QUEUE, OTHER_QUEUE = uuid4(), uuid4()


class Server:
    """A server with one pool, its workers, its queues, and a lease that was written so long ago."""

    def __init__(
        self,
        kind: str,
        workers: tuple[str, ...] = (),
        lease: tuple[str, timedelta] | None = None,
        paused: tuple[str, ...] = (),
        command: str = GATE_COMMAND,
    ) -> None:
        self.pool = WorkPool(
            name="carbon",
            type=kind,
            base_job_template={"job_configuration": {"command": command}, "variables": {}},
            default_queue_id=DEFAULT_QUEUE,
        )
        self.workers, self.lease, self.paused = workers, lease, paused

    def read_work_pool(self, _name: str) -> WorkPool:
        return self.pool

    def read_workers_for_work_pool(self, _pool: str) -> list[Worker]:
        online = [
            Worker(name=name, work_pool_id=uuid4(), status=WorkerStatus.ONLINE) for name in self.workers
        ]
        return [*online, Worker(name="gone", work_pool_id=uuid4(), status=WorkerStatus.OFFLINE)]

    def request(self, method: str, path: str, **_: Any) -> Any:
        if (method, path) == ("POST", "/work_pools/{work_pool_name}/queues/filter"):
            queues = [("default", DEFAULT_QUEUE), ("night", OTHER_QUEUE)]
            found = [
                {"name": name, "id": str(queue), "is_paused": name in self.paused} for name, queue in queues
            ]
            return SimpleNamespace(json=lambda: found)
        assert (method, path) == ("GET", "/variables/name/{name}")
        asked = httpx.Request("GET", "http://server")
        if self.lease is None:
            response = httpx.Response(404, request=asked)
            raise httpx.HTTPStatusError("not found", request=asked, response=response)
        worker, ago = self.lease
        now = datetime.now(UTC)
        return httpx.Response(
            200,
            request=asked,
            headers={"Date": format_datetime(now, usegmt=True)},
            json={"updated": (now - ago).isoformat(), "value": {"worker": worker}},
        )


def found(server: Server) -> dict[str, Finding]:
    """What the doctor finds, the last of each name."""
    return {finding.what: finding for finding in check_carbon_pool(server)}  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["carbon-aware", "process"])
def test_a_carbon_worker_is_known_by_its_lease_whatever_the_pools_type(kind: str) -> None:
    findings = found(Server(kind, ("anna", "ben"), ("ben", STEADY)))
    assert findings["pool carbon"].says == f"{kind} pool carbon, 2 workers online: anna, ben (carbon-aware)"
    planner = findings["planner carbon"]
    assert planner.level is Level.OK
    assert planner.says.startswith("ben plans the waiting runs; it said so ")


def test_workers_without_a_name_of_their_own_show_their_kind() -> None:
    says = found(Server("process", ("CarbonWorker 1", "ProcessWorker 2")))["pool carbon"].says
    assert says.endswith("2 workers online: CarbonWorker 1 (carbon-aware), ProcessWorker 2 (process)")


@pytest.mark.parametrize(
    ("server", "level", "says", "mend"),
    [
        (
            Server("process", ("ProcessWorker 1",)),
            Level.OK,
            "start a gate for each",
            "prefect worker start --pool carbon --type carbon-aware gives it",
        ),
        (
            Server("carbon-aware", ("anna",)),
            Level.WARN,
            "none of its workers plans",
            "look again; else prefect worker start --pool carbon",
        ),
        (
            Server("process", ("anna",), ("ben", GONE)),
            Level.WARN,
            "ben planned until 7m ago, and nobody does now",
            "prefect worker start --pool carbon --type carbon-aware",
        ),
    ],
)
def test_that_nobody_plans_is_told_as_bad_as_it_is(
    server: Server, level: Level, says: str, mend: str
) -> None:
    planner = found(server)["planner carbon"]
    assert planner.level is level
    assert says in planner.says
    assert planner.mend.startswith(mend)


def test_without_a_worker_that_is_said_and_nothing_of_plans() -> None:
    findings = found(Server("carbon-aware", lease=("ben", GONE)))
    assert "planner carbon" not in findings
    assert findings["pool carbon"].level is Level.FAIL
    assert findings["pool carbon"].mend == "prefect worker start --pool carbon"


def test_a_pool_that_starts_the_users_own_flows_places_none() -> None:
    server = Server("process", ("ProcessWorker 1",), command="python -m prefect.engine")
    first = next(check_carbon_pool(server))  # type: ignore[arg-type]
    assert (first.level, first.mend) == (Level.FAIL, "carbon-policy apply")
    assert "it places no runs" in first.says


def test_a_paused_queue_is_named_with_what_resumes_it() -> None:
    by_queue = {
        queue: found(Server("carbon-aware", ("anna",), paused=(queue,)))["pool carbon"]
        for queue in ("default", "night")
    }
    assert by_queue["default"].level is Level.FAIL
    assert by_queue["default"].mend == "prefect work-queue resume default --pool carbon"
    assert by_queue["night"].level is Level.WARN
    assert by_queue["night"].says == "its queue night is paused"


def test_a_site_whose_pool_has_gone_or_places_runs_itself_fails() -> None:
    server = Server("carbon-aware", ("anna",))
    sites = tuple(
        Site(name=name, work_pool=pool, tier=Tier.FAST, zone="DE", power_w=60)
        for name, pool in (("paris", "gone"), ("loop", "carbon"))
    )
    directory: Any = SimpleNamespace(policy_name="default", sites=sites, pools={"carbon": server.pool})
    findings = {finding.what: finding for finding in check_sites(server, directory)}  # type: ignore[arg-type]
    assert findings["site paris"].level is Level.FAIL
    assert findings["site paris"].says == "there is no work pool 'gone'"
    assert findings["site loop"].level is Level.FAIL
    assert "places runs, and so runs no job" in findings["site loop"].says


def test_a_server_that_fails_is_not_one_without_a_planner(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server("carbon-aware")
    asked = httpx.Request("GET", "http://server")

    def fails(*_: Any, **__: Any) -> Any:
        raise httpx.HTTPStatusError("broken", request=asked, response=httpx.Response(500, request=asked))

    monkeypatch.setattr(server, "request", fails)
    with pytest.raises(httpx.HTTPStatusError):
        read_planner(server, "carbon")  # type: ignore[arg-type]
