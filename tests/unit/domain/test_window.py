"""From when to when a run may start: limits count from the due time, and leave to start early reaches before it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_policy.domain.job import JobSpec

DUE = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def starts(now: float, takes: float = 1, **said: Any) -> list[tuple[float, float]]:
    """The stretches in which it may start, in hours from its due time, asked so many hours from then."""
    window = JobSpec(**said).window(DUE)
    found = window.start_intervals(DUE + now * HOUR, takes * HOUR)
    return [((opens - DUE) / HOUR, (closes - DUE) / HOUR) for opens, closes in found]


@pytest.mark.parametrize(
    ("now", "said", "expected"),
    [
        (-6, {}, [(0, 0)]),
        (-6, {"start_early": "0s"}, [(0, 0)]),
        (-6, {"start_early": "4h"}, [(-4, 0)]),
        (-2, {"start_early": "4h"}, [(-2, 0)]),
        (0, {"start_early": "4h"}, [(0, 0)]),
        (2, {"start_early": "4h"}, [(2, 2)]),
        (-2, {"finish_within": "6h"}, [(0, 5)]),
        (-6, {"start_early": "4h", "finish_within": "6h"}, [(-4, 5)]),
        (-6, {"start_early": "4h", "start_within": "3h"}, [(-4, 3)]),
        (-6, {"start_early": "4h", "earliest_start": DUE - HOUR}, [(-1, 0)]),
        (-6, {"start_early": "4h", "earliest_start": DUE - 5 * HOUR}, [(-4, 0)]),
        (-6, {"start_early": "4h", "earliest_start": DUE + HOUR}, [(1, 1)]),
        (-6, {"start_early": "4h", "start_by": DUE - HOUR}, [(-4, -1)]),
        (-6, {"start_early": "4h", "allowed_hours": "09:00-10:00,11:00-18:00"}, [(-3, -2), (-1, 0)]),
        (-6, {"start_early": "4h", "allowed_hours": "09:00-10:00,15:00-18:00"}, [(-3, -2), (3, 3)]),
        (-6, {"start_early": "4h", "allowed_hours": "12:00-13:00"}, [(0, 0)]),
        (
            -6,
            {"start_early": "4h", "finish_within": "6h", "allowed_hours": "09:00-10:00,15:00-18:00"},
            [(-3, -2), (3, 5)],
        ),
    ],
)
def test_when_it_may_start(now: float, said: dict[str, Any], expected: list[tuple[float, float]]) -> None:
    assert starts(now, **said) == expected


hours = st.integers(min_value=0, max_value=48)


@given(hours, hours, st.none() | hours, st.sampled_from([None, "22:00-06:00", "03:00-04:30,11:00-12:00"]))
def test_once_it_is_due_leave_to_start_early_is_nothing(
    early: int, late: int, within: int | None, allowed: str | None
) -> None:
    said: dict[str, Any] = {"allowed_hours": allowed, "expected_duration": "1h"}
    if within:
        said["finish_within"] = within * HOUR
    assert starts(late, **said) == starts(late, start_early=early * HOUR, **said)


@given(hours, hours)
def test_the_deadline_counts_from_the_due_time(early: int, within: int) -> None:
    spec = JobSpec(start_early=early * HOUR, start_within=within * HOUR)
    window = spec.window(DUE)
    assert (window.due, window.earliest_start) == (DUE, DUE - early * HOUR)
    assert window.latest_start_for(HOUR) == DUE + within * HOUR
