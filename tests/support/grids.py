"""Grids of a test's own making, as blocks: hours pass in seconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from carbon_policy.grid.trace import TraceGrid
from tests.support.bench import unique

BROWN, GREEN = 600.0, 50.0
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
# One recorded hour is shown for one second.
_SPEED = 3600
_SLOTS = 5000


def trace(folder: Path, values: list[float], began_at: datetime | None = None) -> str:
    """A recording whose slots take a second each from now on; returns the block's reference.

    The recording begins 100 slots before now with its first value, for it must not start after a job was due.
    """
    began_at = began_at or datetime.now(UTC)
    path = folder / f"{unique('trace')}.csv"
    values = [values[0]] * 100 + values + [values[-1]] * (_SLOTS - len(values))
    rows = [f"{(_EPOCH + timedelta(hours=hour)).isoformat()},DE,{value}" for hour, value in enumerate(values)]
    path.write_text("\n".join(["time,zone,gco2_per_kwh", *rows]))
    name = unique("trace")
    TraceGrid(
        path=path,
        trace_start=_EPOCH + timedelta(hours=100),
        began_at=began_at,
        speed=_SPEED,
        horizon=timedelta(hours=_SLOTS),
        allow_flat=True,
    ).save(name)
    return f"carbon-trace-grid/{name}"


def greener_in(folder: Path, seconds: int, lasts_s: int = 10) -> str:
    """Brown for so long, green for a little while, and brown for ever after."""
    return trace(folder, [BROWN] * seconds + [GREEN] * lasts_s + [BROWN])


def flat(folder: Path) -> str:
    """Always the same: a wait saves nothing, and another site what its energy says."""
    return trace(folder, [BROWN])
