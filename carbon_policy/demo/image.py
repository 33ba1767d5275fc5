"""The image that the demo's jobs run in, brought up to date where the demo runs from a checkout."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

IMAGE = "carbon-policy-jobs:latest"
_SCRIPT = Path(__file__).parents[2] / "scripts" / "build_image.py"


def has_image() -> str | None:
    """Why the job image is not to be had; `None` where it is there.

    A checkout builds it, which takes minutes the first time and nothing when it is up to date; its output is shown.
    """
    if _SCRIPT.exists():
        done = subprocess.run([sys.executable, str(_SCRIPT)], check=False, cwd=_SCRIPT.parents[1])  # noqa: S603
        return None if done.returncode == 0 else "the job image could not be built"
    from docker.client import DockerClient
    from docker.errors import DockerException

    try:
        client = DockerClient.from_env()
        try:
            client.images.get(IMAGE)
        finally:
            client.close()
    except DockerException:
        return f"there is no image {IMAGE}; build it with `make image` in a checkout of carbon-policy"
    return None
