"""Slots of a source's answer: where they begin, and that none is missing between them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from carbon_policy.domain.errors import GapInSignalError, SourceUnavailableError

_YEAR_ONE = datetime.min.replace(tzinfo=UTC)


def floor(moment: datetime, slot: timedelta) -> datetime:
    """The start of the slot that contains a moment, UTC."""
    return moment - (moment - _YEAR_ONE) % slot


def grams(value: object) -> float | None:
    """A value of an answer's JSON, g/kWh; `None` where the source says null.

    Raises:
        ValueError: It is no number.
    """
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise ValueError(f"{value!r} is no intensity")
    try:
        return None if value is None else float(value)
    except OverflowError:
        raise ValueError("a number with hundreds of digits is no intensity") from None


def dense(
    values: Mapping[datetime, float | None], slot: timedelta, name: str
) -> tuple[datetime, tuple[float, ...]]:
    """The first known slot and all values to the last known one.

    Slots that are not known at either end are left off, and never filled with anything.

    Raises:
        SourceUnavailableError: None is known.
        GapInSignalError: One between known ones is not.
    """
    known = [start for start, value in values.items() if value is not None]
    if not known:
        raise SourceUnavailableError(f"{name} knows none of these slots yet; ask for earlier ones, or later.")
    first, last = min(known), max(known)
    slots = [first + index * slot for index in range((last - first) // slot + 1)]
    all_values = [values.get(start) for start in slots]
    for start, value in zip(slots, all_values, strict=True):
        if value is None:
            raise GapInSignalError(
                f"{name} does not know {start.isoformat()} between slots that it knows; ask for a range without it."
            )
    return first, tuple(value for value in all_values if value is not None)
