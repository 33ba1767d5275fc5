"""Numbers and times as commands write and read them."""

from __future__ import annotations

from datetime import UTC, date, datetime, time

from carbon_policy.domain.times import parse_moment


def counted(count: int, what: str) -> str:
    """`1 slot`, `1,344 slots`."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def moment(at: datetime) -> str:
    """A UTC moment to the minute, the zone said elsewhere."""
    return f"{at:%Y-%m-%d %H:%M}"


def iso(at: datetime) -> str:
    """A UTC moment for data."""
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")


def day_or_moment(text: str) -> datetime:
    """A day's beginning, or a time with its zone, UTC.

    Raises:
        InvalidInputError: It is neither.
    """
    try:
        return datetime.combine(date.fromisoformat(text.strip()), time.min, UTC)
    except ValueError:
        return parse_moment(text)
