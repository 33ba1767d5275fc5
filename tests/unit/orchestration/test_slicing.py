"""When a run that is interruptible asks whether it goes on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from carbon_policy.domain.decision import Slice
from carbon_policy.domain.job import JobSpec
from carbon_policy.orchestration.slicing import _as_label, _of_label, next_question

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SPEC = JobSpec(interruptible=True, stop_cost=timedelta(minutes=1), shortest_slice=timedelta(minutes=15))


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def slices(*spans: tuple[float, float]) -> list[Slice]:
    return [Slice(start=at(start), finish=at(finish)) for start, finish in spans]


@pytest.mark.parametrize(
    ("planned", "began", "asks"),
    [
        pytest.param(slices(), 0, None, id="no slices: to its end"),
        pytest.param(slices((0, 60), (120, 180)), 0, 59, id="when its slice has just room to stop"),
        pytest.param(slices((0, 60), (120, 180)), 121, 179, id="in its second slice"),
        pytest.param(slices((0, 60)), 50, 65, id="not before the shortest slice is run"),
        pytest.param(slices((0, 60)), 90, 105, id="started late: its slice has passed"),
        pytest.param(slices((30, 60)), 0, 15, id="started before its slice"),
        pytest.param(slices((0.25, 60)), 0, 59, id="a worker that is a little early"),
    ],
)
def test_it_asks_at_the_end_of_its_slice(planned: list[Slice], began: float, asks: float | None) -> None:
    found = next_question(planned, SPEC, at(began), at(began))
    assert found == (None if asks is None else at(asks))


def test_a_slice_is_kept_in_a_label() -> None:
    [only] = slices((0, 60))
    assert _of_label(_as_label(only)) == (only,)
    assert _of_label(_as_label(None)) == ()
