"""What a user may ask of the demo."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

DAY_SECONDS = 90.0
"""How long the 24 hours take, seconds.

A dozen jobs are a dozen processes of three to six CPU seconds each, most of it before any work of their own: in a much
shorter day, two cores would start most of them when it is over.
"""


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
    day_seconds: float = DAY_SECONDS
