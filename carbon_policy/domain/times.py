"""Time conventions: aware UTC moments, and durations as people write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BeforeValidator, PlainSerializer

from carbon_policy.domain.errors import InvalidInputError

_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PART = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>ms|s|min|m|h|d|w)", re.IGNORECASE)
_ISO = re.compile(
    r"P(?:(?P<d>\d+(?:\.\d+)?)D)?(?:T(?:(?P<h>\d+(?:\.\d+)?)H)?(?:(?P<m>\d+(?:\.\d+)?)M)?(?:(?P<s>\d+(?:\.\d+)?)S)?)?",
    re.IGNORECASE,
)


def parse_duration(value: Any) -> timedelta:
    """A duration as a `timedelta`.

    Args:
        value: `"45m"`, `"1h30m"`, `"2d"`, ISO 8601 `"PT45M"`, a number of seconds, or a `timedelta`.

    Raises:
        InvalidInputError: It is none of these, or negative.
    """
    if isinstance(value, timedelta):
        duration = value
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        if value != value or abs(value) > 1e10:
            raise InvalidInputError(
                f"{value} is not a number of seconds; write a duration such as 45m or 12h."
            )
        duration = timedelta(seconds=value)
    elif isinstance(value, str):
        duration = _parse_text(value.strip())
    else:
        raise InvalidInputError(f"{value!r} is not a duration; write 45m, 12h, 1h30m, 2d or PT45M.")
    if duration < timedelta(0):
        raise InvalidInputError(f"A duration cannot be negative, and {value!r} is; write 45m or 12h.")
    return duration


def _parse_text(text: str) -> timedelta:
    parts = list(_PART.finditer(text))
    if parts and "".join(part.group(0) for part in parts).replace(" ", "") == text.replace(" ", ""):
        return timedelta(
            seconds=sum(float(part["number"]) * _UNIT_SECONDS[part["unit"].lower()] for part in parts)
        )
    iso = _ISO.fullmatch(text)
    if iso and any(iso.groups()):
        d, h, m, s = (float(iso[unit] or 0) for unit in ("d", "h", "m", "s"))
        return timedelta(days=d, hours=h, minutes=m, seconds=s)
    raise InvalidInputError(f"{text!r} is not a duration; write 45m, 12h, 1h30m, 2d or PT45M.")


def format_duration(duration: timedelta) -> str:
    """A duration as people read it: `12h`, `1h 30m`, `45s`; parsed back by `parse_duration`."""
    seconds = duration.total_seconds()
    if seconds < 0:
        return "-" + format_duration(-duration)
    if seconds < 60:
        return f"{seconds:.3g}s"
    days, rest = divmod(round(seconds), 86400)
    hours, rest = divmod(rest, 3600)
    minutes, secs = divmod(rest, 60)
    parts = [f"{n}{unit}" for n, unit in ((days, "d"), (hours, "h"), (minutes, "m"), (secs, "s")) if n]
    return " ".join(parts[:2])


def write_duration(duration: timedelta) -> str:
    """A duration of no negative length, exact to the microsecond, as short as it goes: `12h`, `1h30m`, `0.25s`."""
    seconds, micros = divmod(duration // timedelta(microseconds=1), 1_000_000)
    days, rest = divmod(seconds, 86400)
    hours, rest = divmod(rest, 3600)
    minutes, secs = divmod(rest, 60)
    whole = "".join(f"{n}{unit}" for n, unit in ((days, "d"), (hours, "h"), (minutes, "m")) if n)
    if not micros:
        return whole + (f"{secs}s" if secs or not whole else "")
    return whole + f"{secs}.{micros:06d}".rstrip("0") + "s"


def parse_moment(value: Any) -> datetime:
    """A moment as an aware UTC `datetime`.

    Args:
        value: An aware `datetime`, or ISO 8601 text with `Z` or an offset.

    Raises:
        InvalidInputError: It cannot be read, or it has no time zone.
    """
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError as error:
            raise InvalidInputError(f"{value!r} is not a time; write 2026-11-22T06:00:00Z.") from error
    if not isinstance(value, datetime):
        raise InvalidInputError(f"{value!r} is not a time; write 2026-11-22T06:00:00Z.")
    if value.utcoffset() is None:
        raise InvalidInputError(
            f"{value.isoformat()} has no time zone, so it could mean two dozen moments;"
            " add Z for UTC or an offset such as +01:00."
        )
    utc = value.astimezone(UTC)
    # A plain datetime, whatever subclass came in: Prefect's loses its time zone in arithmetic.
    return datetime(
        utc.year, utc.month, utc.day, utc.hour, utc.minute, utc.second, utc.microsecond, tzinfo=UTC
    )


def parse_timezone(value: Any) -> ZoneInfo:
    """A time zone by its IANA name.

    Raises:
        InvalidInputError: There is no such zone.
    """
    if isinstance(value, ZoneInfo):
        return value
    try:
        return ZoneInfo(str(value))
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidInputError(
            f"{value!r} is not a time zone; write an IANA name such as Europe/Berlin or UTC."
        ) from error


def parse_clock_time(text: str) -> time:
    """A time of day as `HH:MM`; `24:00` is the end of the day and comes back as 00:00.

    Raises:
        InvalidInputError: It is not a time of day.
    """
    if text.strip() == "24:00":
        return time(0)
    try:
        return time.fromisoformat(text.strip())
    except ValueError as error:
        raise InvalidInputError(f"{text!r} is not a time of day; write 22:00.") from error


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(write_duration, return_type=str, when_used="json"),
]
"""A pydantic field: takes what `parse_duration` takes, and writes JSON that it reads back to the microsecond."""

Moment = Annotated[
    datetime,
    BeforeValidator(parse_moment),
    PlainSerializer(lambda moment: moment.isoformat(), return_type=str, when_used="json"),
]
"""A pydantic field: an aware UTC moment; a naive one is refused."""
