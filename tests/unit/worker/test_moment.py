"""What the world is like is read again every few seconds, and not for every run."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest

from carbon_policy.worker.clock import ServerClock
from carbon_policy.worker.moment import KEPT_S, Moments

NOW = datetime(2026, 11, 22, 18, tzinfo=UTC)
NIGHTLY = uuid4()


class Server:
    """Has deployments, and counts how often it is asked; its time and everybody's stopwatch are `seconds`."""

    def __init__(self) -> None:
        self.asked = 0
        self.seconds = 0.0

    def read_deployment(self, _: UUID) -> Any:
        self.asked += 1
        return SimpleNamespace(name="nightly")

    def time(self) -> datetime:
        return NOW + timedelta(seconds=self.seconds)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def moments(server: Server) -> Moments:
    return Moments(server, ServerClock(server.time), lambda: server.seconds)  # type: ignore[arg-type]


def test_a_moment_later_nothing_is_read_again_but_the_clock(server: Server, moments: Moments) -> None:
    assert moments.now().deployment(NIGHTLY).name == "nightly"
    server.seconds = KEPT_S
    world = moments.now()
    world.deployment(NIGHTLY)
    assert (server.asked, world.now) == (1, server.time())


def test_after_a_few_seconds_all_is_read_again(server: Server, moments: Moments) -> None:
    moments.now().deployment(NIGHTLY)
    server.seconds = KEPT_S + 0.1
    moments.now().deployment(NIGHTLY)
    assert server.asked == 2


def test_a_world_that_was_handed_out_keeps_its_moment(server: Server, moments: Moments) -> None:
    """A batch is decided by one moment, however long that takes."""
    first = moments.now()
    server.seconds = 3
    moments.now()
    assert first.now == NOW


def test_places_that_were_taken_are_known_until_the_pools_are_read_again(
    server: Server, moments: Moments
) -> None:
    moments.now().take("eco")
    server.seconds = 1
    assert moments.now().taken("eco") == 1
    server.seconds = KEPT_S + 0.1
    assert moments.now().taken("eco") == 0
