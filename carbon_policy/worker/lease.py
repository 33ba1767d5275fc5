"""Which of a pool's workers plans: the one that holds the lease.

The lease is a Prefect variable, whose name is unique in the server's database: to create it is to have it. Its holder
writes to it every few seconds; the others watch whether it changes, each by its own stopwatch, so no clock has to be
right. One that has not changed for `STALE_S` is deleted by its id, which only one of them can do, and made anew.

Nothing that must hold rests on it. Two workers that both believe to plan would decide the same runs twice, and every
change of theirs is made only if the run is as it was (`orchestration/waits.py`).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from hashlib import sha256
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import httpx
from prefect.client.orchestration import SyncPrefectClient
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

BEAT_S = 5.0
"""How often a worker writes to its lease, or looks at another's."""

STALE_S = 20.0
"""A lease that has not changed for so long has lost its holder."""


def lease_name(pool: str) -> str:
    """The name of a pool's variable: lower case letters, digits and underscores, as Prefect asks for."""
    # Pools may differ in what a name cannot hold.
    readable = re.sub(r"[^a-z0-9]+", "_", pool.lower()).strip("_")
    return f"carbon_policy_planner_{readable}_{sha256(pool.encode()).hexdigest()[:8]}"


class Lease:
    """One worker's view of its pool's lease.

    Args:
        client: A client of the server.
        pool: Name of the work pool.
        worker: Name of the worker; shown to people.
        stopwatch: Monotonic seconds.
    """

    def __init__(
        self,
        client: SyncPrefectClient,
        pool: str,
        worker: str,
        stopwatch: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._name = lease_name(pool)
        self._worker = worker
        self._stopwatch = stopwatch
        # A worker that is restarted under its old name is another one.
        self._session = uuid4().hex[:12]
        self._mine: str | None = None
        self._beaten_at = 0.0
        self._beats = 0
        self._seen: tuple[str, Any] | None = None
        self._seen_at = 0.0

    @property
    def held(self) -> bool:
        """Whether this worker plans; no longer where it could not write to its lease in time."""
        return self._mine is not None and self._stopwatch() - self._beaten_at < STALE_S * 0.75

    def beat(self) -> bool:
        """Keep the lease, or take one that nobody keeps; returns whether this worker plans.

        Raises:
            httpx.HTTPError: The server gave no good answer.
        """
        if self._mine is not None and self._keep(self._mine):
            return True
        standing = self._read()
        if standing is None:
            return self._create()
        if isinstance(standing["value"], dict) and standing["value"].get("session") == self._session:
            # It was created, and the reply got lost.
            self._mine = str(standing["id"])
            return self._keep(self._mine)
        seen = (str(standing["id"]), standing["value"])
        if seen != self._seen:
            self._seen, self._seen_at = seen, self._stopwatch()
            return False
        if self._stopwatch() - self._seen_at < STALE_S:
            return False
        try:
            self._client.request("DELETE", "/variables/{id}", path_params={"id": standing["id"]})
        except ObjectNotFound:
            return False
        except httpx.HTTPStatusError as error:
            if error.response.status_code == HTTPStatus.NOT_FOUND:
                return False
            raise
        return self._create()

    def give_up(self) -> None:
        """Let another worker have it at once."""
        if self._mine is None:
            return
        mine, self._mine = self._mine, None
        self._client.request("DELETE", "/variables/{id}", path_params={"id": mine})

    def _keep(self, mine: str) -> bool:
        self._beats += 1
        began = self._stopwatch()
        try:
            self._client.request(
                "PATCH", "/variables/{id}", path_params={"id": mine}, json={"value": self._value()}
            )
        except (ObjectNotFound, httpx.HTTPStatusError) as error:
            if not _is_missing(error):
                raise
            # Somebody took it for stale: this worker was away for too long.
            self._mine = None
            return False
        self._beaten_at = began
        return True

    def _create(self) -> bool:
        began = self._stopwatch()
        try:
            answer = self._client.request(
                "POST", "/variables/", json={"name": self._name, "value": self._value()}
            )
        except (ObjectAlreadyExists, httpx.HTTPStatusError) as error:
            if isinstance(error, httpx.HTTPStatusError) and error.response.status_code != HTTPStatus.CONFLICT:
                raise
            return False
        self._mine, self._beaten_at, self._seen = str(answer.json()["id"]), began, None
        return True

    def _read(self) -> dict[str, Any] | None:
        try:
            answer = self._client.request("GET", "/variables/name/{name}", path_params={"name": self._name})
        except (ObjectNotFound, httpx.HTTPStatusError) as error:
            if not _is_missing(error):
                raise
            return None
        found: dict[str, Any] = answer.json()
        return found

    def _value(self) -> dict[str, Any]:
        return {"worker": self._worker, "session": self._session, "beats": self._beats}


def _is_missing(error: Exception) -> bool:
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code == HTTPStatus.NOT_FOUND
    return isinstance(error, ObjectNotFound)
