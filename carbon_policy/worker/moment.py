"""The world as a worker decides by it: read again every few seconds, and not for every run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from prefect.client.orchestration import SyncPrefectClient

from carbon_policy.orchestration.world import World
from carbon_policy.worker.clock import ServerClock

KEPT_S = 10.0
"""For so long what a team has set up, what its pools have room for and what its grid says are not read again."""


class Moments:
    """Gives the world as it is now.

    Args:
        client: A client of the server.
        clock: Tells the server's time.
        stopwatch: Monotonic seconds.
    """

    def __init__(
        self, client: SyncPrefectClient, clock: ServerClock, stopwatch: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._clock = clock
        self._stopwatch = stopwatch
        self._lock = threading.Lock()
        self._world: World | None = None
        self._read_at = 0.0

    def now(self) -> World:
        """The world at this moment; what was read of it is a few seconds old at most."""
        with self._lock:
            if self._world is None or self._stopwatch() - self._read_at > KEPT_S:
                self._world, self._read_at = World(self._client, self._clock.now()), self._stopwatch()
            return self._world.at(self._clock.now())
