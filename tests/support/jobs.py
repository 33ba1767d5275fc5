"""Jobs that the tests deploy: they leave a line in a file, so that a test can count how often they ran."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path

from prefect import flow
from prefect.runtime import flow_run


def leave_mark(marker: str) -> None:
    """One line for each time that a job's code ran: its run, when, and what its environment says."""
    line = f"{flow_run.get_id()} {datetime.now(UTC).isoformat()} {os.environ.get('MARK', '-')}\n"
    with Path(marker).open("a") as file:
        file.write(line)


def marks(marker: Path) -> list[list[str]]:
    """The lines that jobs left: run id, time, environment."""
    return [line.split() for line in marker.read_text().splitlines()] if marker.exists() else []


@flow
def plain(marker: str, lasts_s: float = 0.0, fails: bool = False) -> str:
    """A job that knows nothing of carbon."""
    leave_mark(marker)
    time.sleep(lasts_s)
    if fails:
        raise ValueError("the job's own failure")
    return "done"
