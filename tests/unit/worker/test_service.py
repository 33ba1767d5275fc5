"""What a worker takes for its own sickness, and what for one run's trouble."""

from __future__ import annotations

import logging
from collections.abc import Callable
from uuid import uuid4

import anyio
import httpx
from prefect.settings import PREFECT_API_URL, temporary_settings

from carbon_policy.worker.journal import LoggedRun
from carbon_policy.worker.service import Service

GONE = httpx.ConnectError("gone")


def told(happens: Callable[[Service], None]) -> tuple[float | None, str | None]:
    """After something has happened to a worker: how many calls failed, and what its health says."""

    async def look() -> tuple[float | None, str | None]:
        service = Service(
            pool="carbon",
            queues=(),
            worker="a worker",
            logger=logging.getLogger("test"),
            pool_id=lambda: None,
        )
        happens(service)
        failed = service.metrics.registry.get_sample_value(
            "carbon_policy_api_errors_total", {"kind": "no-connection"}
        )
        error = service._health().error
        await service.close()
        return failed, error

    # A port that nobody listens at: nothing is asked here.
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:1/api"}):
        return anyio.run(look)


def test_one_runs_trouble_is_counted_and_is_no_sickness() -> None:
    run = LoggedRun(uuid4(), "a-run")
    assert told(lambda service: service.failed("place a run", GONE, run)) == (1, None)


def test_a_server_that_cannot_be_reached_is() -> None:
    assert told(lambda service: service.failed("ask for due runs", GONE)) == (
        1,
        "The Prefect API cannot be reached.",
    )
