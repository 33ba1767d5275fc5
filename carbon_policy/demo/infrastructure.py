"""What the demo's fast and eco pools run jobs in: containers where that is possible, else processes."""

from __future__ import annotations

from rich.console import Console

from carbon_policy.demo.image import has_image
from carbon_policy.demo.options import DemoOptions
from carbon_policy.domain.errors import SetupError
from carbon_policy.provision.files import Infrastructure
from carbon_policy.provision.infrastructure import find_docker


def choose_infrastructure(options: DemoOptions, console: Console) -> Infrastructure:
    """Docker where it was asked for or is there, else processes; said aloud."""
    if options.infrastructure == Infrastructure.PROCESS:
        return Infrastructure.PROCESS
    version = find_docker()
    why = "no Docker engine answers here" if version is None else has_image()
    if why is None:
        console.print(f"Docker {version} is here: fast and eco are Docker pools.")
        return Infrastructure.DOCKER
    if options.infrastructure == Infrastructure.DOCKER:
        raise SetupError(f"Docker was asked for, and {why}.")
    console.print(
        f"Without Docker ({why}): fast and eco are process pools; eco has one thread and a lower priority."
    )
    return Infrastructure.PROCESS
