"""A server that is killed and started again, and what its database needs to stand that."""

from __future__ import annotations

import time
from pathlib import Path

import psutil

from carbon_policy.demo.processes import PrefectStack

_ONE_CONNECTION = "one:memory:.db"


def kept_in_a_file(folder: Path) -> dict[str, str]:
    """Prefect's settings for a database in a file that its server opens once.

    A file with `:memory:` in its path gets one connection, as a database in memory does. With more of them, Prefect's
    server stands still for a minute at a time (`carbon_policy/demo/processes.py`), and a test would be about that.
    """
    return {"PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{folder}/{_ONE_CONNECTION}"}


def restart_server(stack: PrefectStack, down_s: float) -> None:
    """Kill a stack's server, -9, and start it again after a while."""
    kill_server(stack)
    time.sleep(down_s)
    stack.start_server()


def kill_server(stack: PrefectStack) -> None:
    """Kill a stack's server, -9."""
    for child in psutil.Process().children():
        if {"server", str(stack.port)} <= set(child.cmdline()):
            child.kill()
    stack.stop_server()
