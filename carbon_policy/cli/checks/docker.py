"""Checks of Docker, for pools of that type."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing

from prefect.client.schemas.objects import WorkPool

from carbon_policy.cli.checks.finding import Finding, Level
from carbon_policy.orchestration.directory import pool_variables
from carbon_policy.provision.infrastructure import find_docker

_PATIENCE_S = 5


def check_docker(pools: Sequence[WorkPool]) -> Iterator[Finding]:
    """Whether an engine answers, and has the images that the pools start by default."""
    pools = [pool for pool in pools if pool.type == "docker"]
    if not pools:
        return
    version = find_docker()
    if version is None:
        yield Finding(
            Level.WARN,
            "docker",
            "no engine answers on this machine",
            "start it, or run the doctor where the workers are",
        )
        return
    yield Finding(Level.OK, "docker", version)
    images = {str(pool_variables(pool).get("image", {}).get("default") or "") for pool in pools}
    for image in sorted(images - {""}):
        if _has_image(image):
            yield Finding(Level.OK, "image", image)
        else:
            yield Finding(
                Level.WARN,
                "image",
                f"{image} is not on this machine",
                "make image in a checkout of carbon-policy, or docker pull it",
            )


def _has_image(image: str) -> bool:
    from docker.client import DockerClient
    from docker.errors import ImageNotFound

    with closing(DockerClient.from_env(timeout=_PATIENCE_S)) as client:
        try:
            client.images.get(image)
        except ImageNotFound:
            return False
    return True
