"""The truth of an eco container, asked of Docker itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect.client.schemas.objects import FlowRun

from carbon_policy.orchestration.blocks import CarbonSite
from carbon_policy.orchestration.records import read_energy
from tests.support import grids
from tests.support.bench import CARBON, Bench, only, unique
from tests.support.containers import containers_of, docker_job, docker_pool, inspect
from tests.support.gates import run_gate
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.server, pytest.mark.docker, pytest.mark.slow, pytest.mark.timeout(300)]

HALF_A_CPU = 500_000_000
MIB = 1024 * 1024


class Eco:
    """An eco pool of containers, with a site on it."""

    def __init__(self, bench: Bench, folder: Path) -> None:
        self.bench = bench
        self.pool = docker_pool(bench, "eco")
        site = unique("eco")
        CarbonSite(work_pool=self.pool, tier="eco", zone="DE", power_w=24, speed=0.5).save(site)
        self.policy = bench.policy(grids.flat(folder), sites=["fast", site])

    def online(self) -> None:
        """Wait until the server knows of a worker on the pool."""
        wait_for(
            lambda: str(self.bench.client.read_work_pool(self.pool).status) == "WorkPoolStatus.READY",
            120,
            "the docker worker is online",
        )

    def placed(self, parameters: dict[str, Any] | None = None, **variables: Any) -> FlowRun:
        """A gate's run for a job that belongs on eco."""
        deployment = docker_job(
            self.bench, CARBON, policy_block=self.policy, expected_duration="2s", **variables
        )
        # A site whose pool has no worker online is left out, and a busy machine is late with a heartbeat.
        self.online()
        run = self.bench.pending(deployment, parameters=parameters or {})
        run_gate(self.bench.stack, run)
        return run


@pytest.fixture(scope="module")
def eco(docker_is_here: None, shared_bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Eco]:
    with shared_bench.settings():
        eco = Eco(shared_bench, tmp_path_factory.mktemp("grid"))
        worker = shared_bench.stack.start_worker(eco.pool, "docker")
        eco.online()
        yield eco
        shared_bench.stack.stop_worker(worker)


def test_a_job_on_eco_has_half_a_cpu_and_its_memory_and_leaves_its_energy(bench: Bench, eco: Eco) -> None:
    run = eco.placed({"lasts_s": 8})
    assert bench.read(run).state_name == "PlacedEco", bench.describe(run)
    job = only(bench.jobs_of(run))
    [container] = wait_for(
        lambda: containers_of(job), 90, "its container is there", lambda: bench.describe(job)
    )
    host = inspect(container)["HostConfig"]
    assert (host["NanoCpus"], host["Memory"], host["MemorySwap"]) == (HALF_A_CPU, 768 * MIB, 1024 * MIB)
    assert host["PidsLimit"] == 256
    assert not host["Privileged"]

    bench.until_named(job, "Completed", 120)
    [reading] = read_energy(bench.client, job.id)
    assert reading.energy_kwh > 0
    wait_for(lambda: not containers_of(job), 30, "its container was removed")


def test_a_job_may_ask_for_less(bench: Bench, eco: Eco) -> None:
    run = eco.placed(nano_cpus=HALF_A_CPU // 2, mem_limit="512m")
    job = only(bench.jobs_of(run))
    [container] = wait_for(
        lambda: containers_of(job), 90, "its container is there", lambda: bench.describe(job)
    )
    host = inspect(container)["HostConfig"]
    assert (host["NanoCpus"], host["Memory"]) == (HALF_A_CPU // 2, 512 * MIB)


@pytest.mark.parametrize(
    "variables",
    [
        {"nano_cpus": 4_000_000_000},
        {"nano_cpus": None},
        {"mem_limit": "64g"},
        {"privileged": True},
        {"container_create_kwargs": {"nano_cpus": 4_000_000_000}},
    ],
    ids=["more-cpu", "no-cpu-limit", "more-memory", "privileged", "by-the-back-door"],
)
def test_a_job_cannot_have_more_than_the_cap(bench: Bench, eco: Eco, variables: dict[str, Any]) -> None:
    run = eco.placed(**variables)
    state = bench.read(run).state
    assert state is not None
    assert state.name == "Refused", bench.describe(run)
    assert bench.jobs_of(run) == []
