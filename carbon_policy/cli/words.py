"""Numbers and times as commands write them."""

from __future__ import annotations

from datetime import datetime


def counted(count: int, what: str) -> str:
    """`1 slot`, `1,344 slots`."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def moment(at: datetime) -> str:
    """A UTC moment to the minute, the zone said elsewhere."""
    return f"{at:%Y-%m-%d %H:%M}"


def iso(at: datetime) -> str:
    """A UTC moment for data."""
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")
