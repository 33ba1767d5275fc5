"""What holds for every test."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from carbon_policy.demo.processes import PrefectStack
from tests.support.bench import Bench
from tests.support.events import send_events

JOB_IMAGE = "carbon-policy-jobs:latest"

# No test may depend on how busy the machine is; the examples are the same in every run of a given release.
settings.register_profile(
    "project", deadline=None, max_examples=60, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("project")


def _why_no_docker() -> str | None:
    """Why docker tests cannot run here; `None` where they can."""
    try:
        asked = subprocess.run(
            ["docker", "image", "inspect", JOB_IMAGE], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"no Docker engine answers: {error}"
    return None if asked.returncode == 0 else f"run `make image`: {asked.stderr.strip()}"


@pytest.fixture(scope="session")
def docker_is_here() -> None:
    """Skips where there is no engine or no image; on CI, where both must be there, it fails."""
    why = _why_no_docker()
    if why is None:
        return
    if os.environ.get("CI", "").lower() in ("true", "1"):
        pytest.fail(f"CI must run the docker tests: {why}")
    pytest.skip(why)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that is marked docker asks first whether Docker is here; before anything is started for it."""
    for item in items:
        if item.get_closest_marker("docker") and "docker_is_here" not in item.fixturenames:
            item.fixturenames.insert(0, "docker_is_here")


@pytest.fixture(scope="module", autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    """The flows of one module do nothing in the next."""
    yield
    send_events()


@pytest.fixture(scope="session")
def stack() -> Iterator[PrefectStack]:
    """One real server for all tests that need one; it starts no worker by itself."""
    with PrefectStack(settings={"PREFECT_LOGGING_TO_API_ENABLED": "false"}) as stack:
        yield stack
        send_events()


@pytest.fixture(scope="session")
def shared_bench(stack: PrefectStack) -> Iterator[Bench]:
    """The server with pools and sites on it."""
    with Bench(stack) as bench:
        yield bench


@pytest.fixture
def bench(shared_bench: Bench) -> Iterator[Bench]:
    """The shared server, which Prefect in this process talks to while the test lasts."""
    with shared_bench.settings():
        yield shared_bench
