"""Containers of the demo's Docker workers: the engine's children, not ours, so they are found by their label."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

_WORKER_LABEL = "io.prefect.worker-name"


def remove_containers(worker_names: Iterable[str]) -> int:
    """Remove every container that these workers started, running or not; returns how many there were."""
    try:
        from docker.client import DockerClient
        from docker.errors import DockerException
    except ImportError:
        return 0

    removed = 0
    with contextlib.suppress(DockerException):
        client: Any = DockerClient.from_env()
        try:
            for name in worker_names:
                for container in client.containers.list(
                    all=True, filters={"label": f"{_WORKER_LABEL}={name}"}
                ):
                    with contextlib.suppress(DockerException):
                        container.remove(force=True)
                        removed += 1
        finally:
            client.close()
    return removed
