"""`carbon-policy apply` against a real Prefect server, and what the shipped pools do to a run."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect.blocks.system import Secret
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL, temporary_settings

from carbon_policy.domain.errors import InvalidInputError, SetupError
from carbon_policy.orchestration.blocks import CarbonSite
from carbon_policy.provision.apply import apply
from carbon_policy.provision.block_documents import read_document
from carbon_policy.provision.files import Infrastructure
from carbon_policy.provision.plan import Plan

pytestmark = pytest.mark.server

ROOT = Path(__file__).resolve().parents[2]
DOCKER, PROCESS = Infrastructure.DOCKER, Infrastructure.PROCESS
FLOW = """
import os
from carbon_policy import carbon_aware
from prefect import flow

@flow(log_prints=True)
def plain(n: int = 1):
    print("nice", os.nice(0), "threads", os.environ.get("OMP_NUM_THREADS"), "mine", os.environ.get("MINE"))

@carbon_aware(urgency="flexible")
@flow
def decorated(): ...
"""


@pytest.fixture(scope="module")
def api_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = tmp_path_factory.mktemp("server")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")},
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
    }
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with (home / "server.log").open("w") as log, started(command, environment, log):
        url = f"http://127.0.0.1:{port}/api"
        deadline = time.monotonic() + 120
        while True:
            try:
                with urllib.request.urlopen(f"{url}/health", timeout=1):
                    break
            except OSError:
                assert time.monotonic() < deadline, (home / "server.log").read_text()
                time.sleep(0.2)
        with temporary_settings({PREFECT_API_URL: url}):
            yield url


@contextmanager
def started(command: list[str], environment: dict[str, str], log: Any) -> Iterator[None]:
    process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield
    finally:
        # At once: nothing that it would tidy up outlives the test.
        process.kill()
        process.wait()


@pytest.fixture(autouse=True)
def _empty_server(api_url: str) -> Iterator[None]:
    yield

    async def clean(client: PrefectClient) -> None:
        for pool in await client.read_work_pools():
            await client.delete_work_pool(pool.name)
        for document in await client.read_block_documents():
            await client.delete_block_document(document.id)

    on_server(clean)


def on_server(call: Any) -> Any:
    async def connected() -> Any:
        async with get_client() as client:
            return await call(client)

    return asyncio.run(connected())


def applied(root: Path, infrastructure: Infrastructure = PROCESS, **options: Any) -> Plan:
    return asyncio.run(apply(root, infrastructure, **options))


def actions(plan: Plan) -> dict[str, str]:
    return {change.name: change.action.value for change in plan.changes}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a gate, one site and a flow; `extra` files may be added."""
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "jobs.py").write_text(FLOW)
    write(
        tmp_path,
        "pools",
        """
        work_pools:
          - {name: carbon, type: process, template: {base: gate}}
          - name: green
            type: process
            template: {variables: {properties: {mem_limit: {type: string}}}}
        """,
    )
    write(tmp_path, "sites", site("green"))
    return tmp_path


def site(pool: str, **data: Any) -> str:
    values = {"work_pool": pool, "tier": "eco", "zone": "DE", "power_w": 20, **data}
    return f"blocks: [{{type: carbon-site, name: green, data: {json.dumps(values)}}}]"


def deployment(**fields: Any) -> str:
    entry = {"name": "nightly", "entrypoint": "flows/jobs.py:plain", "work_pool": "carbon", **fields}
    return f"deployments: [{json.dumps(entry)}]"


def write(root: Path, name: str, text: str) -> None:
    (root / "deployments").mkdir(exist_ok=True)
    (root / "deployments" / f"{name}.yaml").write_text(text)


def test_a_dry_run_touches_nothing_and_a_second_apply_has_nothing_to_do() -> None:
    dry = applied(ROOT, DOCKER, dry_run=True)
    assert not dry.applied
    assert set(actions(dry).values()) == {"create"}
    assert on_server(lambda client: client.read_work_pools()) == []

    done = applied(ROOT, DOCKER)
    assert done.changes == dry.changes
    assert set(actions(applied(ROOT, DOCKER)).values()) == {"unchanged"}


def test_pools_of_another_type_are_refused_before_anything_is_changed(project: Path) -> None:
    applied(ROOT, DOCKER)
    with pytest.raises(
        SetupError, match=r"'fast' exists with type 'docker'.*prefect work-pool delete fast.*docker"
    ):
        applied(ROOT, PROCESS)
    # Nobody said which: it stays as it is.
    assert asyncio.run(apply(ROOT)).infrastructure == "docker"


CARBON_FORMS = {
    "process": "{name: carbon, type: process, template: {base: gate}, description: new}",
    "carbon-aware": "{name: carbon, type: carbon-aware, description: new}",
}


@pytest.mark.parametrize(("is_now", "wanted"), [("process", "carbon-aware"), ("carbon-aware", "process")])
def test_a_pool_whose_runs_are_placed_keeps_its_type_and_it_is_said_how_to_change_its_worker(
    tmp_path: Path, is_now: str, wanted: str
) -> None:
    write(tmp_path, "pools", f"work_pools: [{CARBON_FORMS[is_now]}]")
    assert applied(tmp_path).changes[0].by_hand == ()
    write(tmp_path, "pools", f"work_pools: [{CARBON_FORMS[wanted]}]")
    plan = applied(tmp_path)
    assert actions(plan) == {"carbon": "unchanged"}
    told = "\n".join(plan.changes[0].by_hand)
    assert f"is of type {is_now}, and the files say {wanted}" in told
    assert f"stop its {is_now} workers" in told
    assert f"prefect worker start --pool carbon --type {wanted}\n" in told
    assert on_server(lambda client: client.read_work_pool("carbon")).type == is_now

    async def without_a_field(client: PrefectClient) -> None:
        template = (await client.read_work_pool("carbon")).base_job_template
        del template["variables"]["properties"]["urgency"]
        await client._client.patch("/work_pools/carbon", json={"base_job_template": template})

    on_server(without_a_field)
    plan = applied(tmp_path)
    assert actions(plan) == {"carbon": "update"}
    assert plan.changes[0].by_hand
    assert not applied(tmp_path).pending


@pytest.mark.parametrize(
    ("is_now", "wanted"),
    [
        ("{name: carbon, type: process}", "{name: carbon, type: carbon-aware}"),
        ("{name: carbon, type: carbon-aware}", "{name: carbon, type: process}"),
        ("{name: carbon, type: docker}", "{name: carbon, type: carbon-aware}"),
        ("{name: carbon, type: carbon-aware}", "{name: carbon, type: docker}"),
    ],
)
def test_a_pool_that_places_runs_and_one_that_runs_them_are_two(
    tmp_path: Path, is_now: str, wanted: str
) -> None:
    write(tmp_path, "pools", f"work_pools: [{is_now}]")
    applied(tmp_path)
    write(tmp_path, "pools", f"work_pools: [{wanted}]")
    with pytest.raises(SetupError, match=r"'carbon' exists with type .*prefect work-pool delete carbon"):
        applied(tmp_path)


def test_what_changed_is_said_and_what_the_files_do_not_say_stays(project: Path) -> None:
    applied(project)

    async def edit(client: PrefectClient) -> None:
        await client._client.patch("/work_pools/green", json={"is_paused": True})
        await CarbonSite(work_pool="green", tier="eco", zone="DE", power_w=20, pue=1.3).asave(
            "green", overwrite=True
        )

    on_server(edit)
    write(project, "sites", site("green", power_w=30))
    plan = applied(project)
    assert actions(plan) == {"carbon": "unchanged", "green": "unchanged", "carbon-site/green": "update"}
    (change,) = plan.pending
    assert [(field.name, field.old, field.new) for field in change.fields] == [("power_w", 20.0, 30.0)]
    document = on_server(lambda client: read_document(client, "carbon-site/green"))
    assert (document.data["power_w"], document.data["pue"]) == (30, 1.3)
    assert on_server(lambda client: client.read_work_pool("green")).is_paused


def test_secrets_reach_the_server_and_nothing_else(project: Path) -> None:
    write(project, "secrets", "blocks: [{type: secret, name: token, data: {value: 'x-${TOKEN}'}}]")
    assert actions(applied(project, environment={"TOKEN": "hunter2!"}))["secret/token"] == "create"
    assert not applied(project, environment={"TOKEN": "hunter2!"}).pending
    rotated = applied(project, environment={"TOKEN": "hunter3!"})
    assert actions(rotated)["secret/token"] == "update"
    assert "hunter" not in repr(rotated)

    async def stored(client: PrefectClient) -> Secret[str]:
        return await Secret.aload("token", client=client)

    assert on_server(stored).get() == "x-hunter3!"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (site("nowhere"), r"extra\.yaml: blocks\[0\]: it names 'nowhere'"),
        (site("green", powr_w=1), r"blocks\[0\]\.data: This sets 'powr_w', .*'power_w'"),
        (site("green", power_w=-1), r"blocks\[0\]\.data\.power_w: Input should be greater than 0"),
        ("blocks: [{type: carbon-sight, name: a}]", r"blocks\[0\]\.type sets 'carbon-sight', .*'carbon-site'"),
        ("blocks: [{type: carbon-policy, name: a, data: {sites: [grean]}}]", "it names 'carbon-site/grean'"),
        ("blocks: [{type: carbon-policy, name: a, data: {grid_sources: [carbon-neso-grid/x]}}]", "neso-grid/x"),
        (deployment(work_pool="nowhere"), "there is no work pool 'nowhere'"),
        (deployment(entrypoint="flows/jobs.py:gone"), r"deployments\[0\]\.entrypoint: 'flows/jobs.py:gone' cannot"),
        (deployment(job_variables={"urgncy": "flexible"}), r"job_variables sets 'urgncy', .*'urgency'"),
        (deployment(job_variables={"finish_within": "soon"}), "'soon' is not a duration"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_before_anything_is_changed(project: Path, text: str, message: str) -> None:
    (project / "deployments" / "sites.yaml").unlink()
    write(project, "extra", text)
    with pytest.raises(InvalidInputError, match=message):
        applied(project)
    assert on_server(lambda client: client.read_work_pools()) == []


def test_deployments_are_made_as_prefect_deploy_makes_them(project: Path) -> None:
    variables = {"urgency": "flexible", "finish_within": "12h", "mem_limit": "1g", "env.A": "b"}
    text = deployment(entrypoint="flows/jobs.py:decorated", job_variables=variables, schedule="0 2 * * *")
    write(project, "jobs", text)
    assert actions(applied(project))["decorated/nightly"] == "create"
    assert not applied(project).pending
    made = on_server(lambda client: client.read_deployment_by_name("decorated/nightly"))
    assert made.job_variables == {**variables, "carbon_declared": {"urgency": "flexible"}}
    assert made.schedules[0].schedule.cron == "0 2 * * *"

    write(project, "jobs", text.replace("0 2 * * *", "0 3 * * *").replace('"12h"', '"6h"'))
    (change,) = applied(project).pending
    assert {field.name for field in change.fields} == {"job_variables.finish_within", "schedules"}
    assert not applied(project).pending


CONTAINERS = """
work_pools:
  - {name: carbon, type: carbon-aware}
  - {name: green, templates: {docker: {}, process: {}}}
"""


def told(plan: Plan) -> str:
    return "\n".join(plan.warnings)


def test_code_that_no_container_has_is_told_of_with_what_to_do(project: Path) -> None:
    write(project, "pools", CONTAINERS)
    write(project, "jobs", deployment())
    process = "carbon-policy apply --infrastructure process"
    dry = applied(project, DOCKER, dry_run=True)
    assert f"code of plain/nightly is in {project}, a folder of this machine. Jobs on green run in" in told(
        dry
    )
    assert f"as processes: {process}" in told(dry)
    done = applied(project, DOCKER)
    assert f"prefect work-pool delete green && {process}" in told(done)
    assert f'volumes: ["{project}:{project}:ro"]' in told(done)
    assert told(applied(project, DOCKER)) == told(done)

    # Each thing that it says to do will do.
    write(project, "jobs", deployment(job_variables={"volumes": [f"{project}:{project}:ro"]}))
    assert not applied(project, DOCKER).warnings
    write(project, "jobs", deployment(image="team/train:7", directory="/opt/train"))
    assert not applied(project, DOCKER).warnings
    write(project, "jobs", deployment())
    on_server(lambda client: client.delete_work_pool("green"))
    assert not applied(project, PROCESS).warnings


def test_only_where_its_jobs_may_run_in_containers(project: Path) -> None:
    write(project, "pools", CONTAINERS + "  - {name: here, type: process}\n")
    write(project, "jobs", deployment(work_pool="here"))
    assert not applied(project, DOCKER).warnings
    write(project, "jobs", deployment(work_pool="here", entrypoint="flows/jobs.py:decorated"))
    assert "decorated/nightly" in told(applied(project, DOCKER))
    write(project, "jobs", deployment(work_pool="green"))
    assert "plain/nightly" in told(applied(project, DOCKER))
    lent = f"{{properties: {{volumes: {{default: ['{project}:{project}']}}}}}}"
    write(project, "pools", CONTAINERS.replace("docker: {}", f"docker: {{variables: {lent}}}"))
    assert not applied(project, DOCKER).warnings
    write(project, "pools", "work_pools: [{name: carbon, type: carbon-aware}, {name: green, type: docker}]")
    write(project, "jobs", deployment(job_variables={"volumes": [f"{project}/flows:/code"]}))
    plan = applied(project, DOCKER)
    assert "plain/nightly" in told(plan)
    assert "--infrastructure" not in told(plan)


def test_a_flow_of_an_installed_module_needs_no_folder_and_one_of_the_project_does(project: Path) -> None:
    write(project, "pools", CONTAINERS)
    overdue = "carbon_policy.orchestration.maintenance.find_overdue_runs"
    write(project, "jobs", deployment(entrypoint=overdue, work_pool="green", directory="/was/said"))
    applied(project, DOCKER)
    write(project, "jobs", deployment(entrypoint=overdue, work_pool="green"))
    assert not applied(project, DOCKER).warnings
    assert not applied(project, DOCKER).pending
    read = "carbon-find-overdue-runs/nightly"
    assert not on_server(lambda client: client.read_deployment_by_name(read)).pull_steps
    (project / "own_jobs.py").write_text(FLOW)
    write(project, "jobs", deployment(entrypoint="own_jobs.plain", work_pool="green"))
    assert "plain/nightly" in told(applied(project, DOCKER))


def test_an_apply_that_failed_halfway_says_where_and_is_finished_by_the_next(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any, **__: Any) -> None:
        raise ConnectionError("the line is dead")

    with monkeypatch.context() as broken:
        broken.setattr(CarbonSite, "asave", fail)
        with pytest.raises(
            SetupError, match=r"create block carbon-site/green.*the line is dead.*apply again"
        ):
            applied(project)
    assert actions(applied(project)) == {
        "carbon": "unchanged",
        "green": "unchanged",
        "carbon-site/green": "create",
    }


def test_without_a_server_it_is_said_how_to_name_one(project: Path) -> None:
    for url in (None, "http://127.0.0.1:9/api"):
        with temporary_settings({PREFECT_API_URL: url}), pytest.raises(SetupError, match="PREFECT_API_URL="):
            applied(project)


async def deploy(client: PrefectClient, pool: str, variables: dict[str, Any], directory: Path = ROOT) -> UUID:
    return await client.create_deployment(
        await client.create_flow_from_name("plain"),
        "capped",
        work_pool_name=pool,
        job_variables=variables,
        entrypoint="flows/jobs.py:plain",
        pull_steps=[{"prefect.deployments.steps.set_working_directory": {"directory": str(directory)}}],
    )


def test_the_server_refuses_a_job_that_would_lift_a_cap_of_eco() -> None:
    applied(ROOT, DOCKER)
    attempts: list[dict[str, Any]] = [
        *({"nano_cpus": value} for value in (1_000_000_001, 0, None, "1")),
        *({name: value} for name in ("mem_limit", "memswap_limit") for value in ("2g", "-1", None)),
        *({"pids_limit": value} for value in (513, -1, None)),
        {"cpuset_cpus": "all"},
    ]

    async def status(attempt: Coroutine[Any, Any, Any]) -> int:
        try:
            await attempt
        except PrefectHTTPStatusError as error:
            return error.response.status_code
        return 200

    async def tried(client: PrefectClient) -> list[tuple[int, int]]:
        allowed = await deploy(client, "eco", {})
        return [
            (
                await status(deploy(client, "eco", variables)),
                await status(client.create_flow_run_from_deployment(allowed, job_variables=variables)),
            )
            for variables in attempts
        ]

    assert on_server(tried) == [(422, 422)] * len(attempts)


@contextmanager
def worker(pool: str, kind: str, api_url: str, home: Path) -> Iterator[None]:
    """As a service manager starts it: by its path, without an activated environment."""
    prefect = str(Path(sys.executable).with_name("prefect"))
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(home),
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": api_url,
    }
    environment |= {name: value for name, value in os.environ.items() if name == "DOCKER_HOST"}
    command = [prefect, "worker", "start", "--pool", pool, "--type", kind]
    with (home / "worker.log").open("w") as log, started(command, environment, log):
        yield


def wait_for(call: Any, seconds: float = 40) -> Any:
    deadline = time.monotonic() + seconds
    while (found := call()) is None:
        assert time.monotonic() < deadline, "It took too long."
        time.sleep(0.5)
    return found


@pytest.mark.slow
def test_a_process_on_eco_has_one_thread_and_low_priority(
    project: Path, api_url: str, tmp_path: Path
) -> None:
    applied(ROOT, PROCESS)

    async def run(client: PrefectClient) -> UUID:
        made = await deploy(client, "eco", {"env": {"OMP_NUM_THREADS": "7", "MINE": "kept"}}, project)
        return (await client.create_flow_run_from_deployment(made)).id

    run_id = on_server(run)

    def said() -> str | None:
        only = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run_id]))
        logs = on_server(lambda client: client.read_logs(only, limit=100, offset=0))
        return next((log.message for log in logs if log.message.startswith("nice")), None)

    with worker("eco", "process", api_url, tmp_path):
        assert wait_for(said) == "nice 10 threads 1 mine kept"


@pytest.mark.docker
@pytest.mark.slow
def test_a_container_on_eco_has_its_caps_whatever_the_job_says(api_url: str, tmp_path: Path) -> None:
    applied(ROOT, DOCKER)
    attempts: dict[str, dict[str, Any]] = {
        "plain": {},
        "lower": {"nano_cpus": 200_000_000, "mem_limit": "256m", "memswap_limit": "256m"},
        "nested": {
            "container_create_kwargs": {"nano_cpus": 4_000_000_000, "pids_limit": -1},
            "privileged": True,
        },
        "dotted": {
            "container_create_kwargs.nano_cpus": 4_000_000_000,
            "container_create_kwargs.memswap_limit": -1,
        },
    }
    names = {attempt: f"caps-{os.getpid()}-{attempt}" for attempt in attempts}

    async def run(client: PrefectClient) -> None:
        made = await deploy(client, "eco", {"command": "sleep 1", "auto_remove": False})
        for attempt, variables in attempts.items():
            await client.create_flow_run_from_deployment(made, name=names[attempt], job_variables=variables)

    def limits() -> dict[str, Any] | None:
        found = subprocess.run(
            ["docker", "inspect", *names.values()], capture_output=True, text=True, check=False
        )
        if found.returncode:
            return None
        hosts = [container["HostConfig"] for container in json.loads(found.stdout)]
        keys = ("NanoCpus", "Memory", "MemorySwap", "PidsLimit", "Privileged")
        return {
            attempt: tuple(host[key] for key in keys) for attempt, host in zip(attempts, hosts, strict=True)
        }

    on_server(run)
    try:
        with worker("eco", "docker", api_url, tmp_path):
            found = wait_for(limits)
    finally:
        subprocess.run(["docker", "rm", "--force", *names.values()], capture_output=True, check=False)
    capped = (500_000_000, 768 << 20, 1 << 30, 256, False)
    lower = (200_000_000, 256 << 20, 256 << 20, 256, False)
    assert found == {"plain": capped, "lower": lower, "nested": capped, "dotted": capped}
