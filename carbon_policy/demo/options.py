"""What a user may ask of the demo."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

_ENOUGH_CORES = 4


def default_day_seconds() -> float:
    """How long the 24 hours take on this machine, seconds.

    A dozen jobs are some thirty processes of three to six CPU seconds each, most of it before any work of their own.
    Where there are few cores the day must pass more slowly, or hours of it go by before a job starts.
    """
    return 90.0 if (os.cpu_count() or 1) >= _ENOUGH_CORES else 200.0


@dataclass(frozen=True)
class DemoOptions:
    """What a user may ask of the demo.

    Attributes:
        trace: A CSV or Parquet file with a real grid; `None` for the simulated one.
        zone: The zone to replay, as Electricity Maps' key.
        day: The day to replay, UTC; `None` for one of the demo's choice.
        keep: Leave server and workers running at the end, until Ctrl-C.
        output: Folder for the report and the plots.
        infrastructure: `auto`, `docker` or `process`.
        jobs: How many jobs.
        day_seconds: How long the 24 hours take, seconds.
    """

    trace: Path | None = None
    zone: str = "DE"
    day: date | None = None
    keep: bool = False
    output: Path = Path("demo-output")
    infrastructure: str = "auto"
    jobs: int = 12
    day_seconds: float = field(default_factory=default_day_seconds)
