"""Which form pools are made in where nobody says."""

from __future__ import annotations

import contextlib
import traceback
import warnings
from collections.abc import Collection

from carbon_policy.provision.files import Infrastructure

_PATIENCE_S = 2


def find_docker() -> str | None:
    """The version of the Docker engine that answers, or `None`; an engine that hangs is given two seconds."""
    try:
        from docker.client import DockerClient
        from docker.constants import DEFAULT_DOCKER_API_VERSION
        from docker.errors import DockerException
    except ImportError:
        return None
    with warnings.catch_warnings():
        # The SDK does not close a socket at which nobody answers: it closes when the error that holds it is dropped.
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            # With a version it does not ask for one at once, so there is one request, and a client to close after it.
            client = DockerClient.from_env(timeout=_PATIENCE_S, version=DEFAULT_DOCKER_API_VERSION)
            with contextlib.closing(client):
                return str(client.api.version(api_version=False)["Version"])
        except (DockerException, OSError) as error:
            _drop_locals(error)
            return None


def _drop_locals(error: BaseException | None) -> None:
    """Let go of what the frames behind an error hold: here and now, and not whenever garbage is next collected."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__context__


def choose_infrastructure(
    chosen: Infrastructure | None, in_use: Collection[Infrastructure] = ()
) -> tuple[Infrastructure, str]:
    """The form in which pools are made, and why, as a sentence.

    Args:
        chosen: What the user asked for, if anything.
        in_use: The forms that the pools have already.
    """
    if chosen is not None:
        return chosen, f"Pools are made for {chosen}, as asked for."
    if len(in_use) == 1:
        (form,) = in_use
        return form, f"Pools are made for {form}, as they are already."
    version = find_docker()
    if version is not None:
        return Infrastructure.DOCKER, f"Pools are made for docker: Docker {version} answers here."
    return Infrastructure.PROCESS, "Pools are made for process: no Docker engine answers here."
