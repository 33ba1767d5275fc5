"""What the benchmarks share: a trace's hours, what they ran on, and where results are written."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from carbon_policy.forecasting.hourly import HourlyHistory

RESULTS = Path(__file__).parent / "results"


def machine() -> str:
    """What this runs on."""
    return f"{os.cpu_count()} CPUs, {platform.platform()}, Python {platform.python_version()}"


def write(folder: Path, name: str, results: dict[str, Any], table: str) -> None:
    """Write the results as data and as a page, and show the page."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(results, indent=1) + "\n")
    (folder / f"{name}.md").write_text(table)
    print(table)


def hours_of(times: Any) -> np.ndarray:
    """Moments as hours since 1970, UTC."""
    return ((pd.to_datetime(times, utc=True) - pd.Timestamp(0, tz="UTC")) // pd.Timedelta(hours=1)).to_numpy()


def new_year(year: int) -> int:
    """Its first hour since 1970, UTC."""
    return int(pd.Timestamp(f"{year}-01-01", tz="UTC").timestamp()) // 3600


def history_of(zone: str, rows: pd.DataFrame) -> HourlyHistory:
    """A zone's rows of a trace, which must be hour after hour."""
    if rows.empty:
        raise SystemExit(f"The trace has no zone {zone}.")
    hours = hours_of(rows["timestamp"])
    if (np.diff(hours) != 1).any():
        raise SystemExit(f"{zone} has hours that are missing or double; fill or drop them first.")
    return HourlyHistory(int(hours[0]), rows["gco2_per_kwh"].to_numpy(dtype=float))
