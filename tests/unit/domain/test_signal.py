"""Intensity as a step function: integrals, edges, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_policy.domain.errors import AbsurdSignalError, HorizonError
from carbon_policy.domain.signal import IntensitySeries
from tests.unit.policies.strategies import series

START = datetime(2026, 1, 1, tzinfo=UTC)


def _series(*values: float, step: str = "1h") -> IntensitySeries:
    return IntensitySeries(zone="DE", start=START, step=step, values_gco2_per_kwh=values, source="test")


def test_an_intensity_holds_from_its_slots_start_to_the_next() -> None:
    known = _series(100, 200)
    assert known.at(START) == 100
    assert known.at(START + timedelta(minutes=59, seconds=59)) == 100
    assert known.at(START + timedelta(hours=1)) == 200


@pytest.mark.parametrize("offset_h", [-1, 2, 3])
def test_reading_outside_is_an_error_and_no_number(offset_h: int) -> None:
    with pytest.raises(HorizonError, match="outside"):
        _series(100, 200).at(START + timedelta(hours=offset_h))


def test_an_integral_worked_out_by_hand() -> None:
    # 30 min at 100 + 60 min at 200 + 15 min at 300 = 50 + 200 + 75 (g/kWh) x h.
    known = _series(100, 200, 300)
    begin = START + timedelta(minutes=30)
    assert known.integral(begin, begin + timedelta(minutes=105)) == pytest.approx(325)
    assert known.mean(begin, begin + timedelta(minutes=105)) == pytest.approx(325 / 1.75)


def test_the_last_slot_counts_to_its_end() -> None:
    known = _series(100, 200)
    assert known.integral(START, known.end) == pytest.approx(300)
    with pytest.raises(HorizonError):
        known.integral(START, known.end + timedelta(seconds=1))


@given(
    series(),
    st.floats(min_value=0, max_value=1),
    st.floats(min_value=0, max_value=1),
    st.floats(min_value=0, max_value=1),
)
def test_integrals_add_up_and_lie_between_the_extremes(
    known: IntensitySeries, a: float, b: float, c: float
) -> None:
    low, middle, high = sorted(known.start + (known.end - known.start) * share for share in (a, b, c))
    whole = known.integral(low, high)
    assert whole == pytest.approx(known.integral(low, middle) + known.integral(middle, high), abs=1e-6)
    hours = (high - low).total_seconds() / 3600
    assert (
        min(known.values_gco2_per_kwh) * hours - 1e-6
        <= whole
        <= max(known.values_gco2_per_kwh) * hours + 1e-6
    )


@given(series(), st.floats(min_value=0, max_value=0.9), st.floats(min_value=0.01, max_value=1))
def test_a_part_says_the_same_as_the_whole(known: IntensitySeries, where: float, length: float) -> None:
    begin = known.start + (known.end - known.start) * where
    end = begin + (known.end - begin) * length
    part = known.between(begin, end)
    assert part.covers(begin, end)
    assert part.integral(begin, end) == pytest.approx(known.integral(begin, end), rel=1e-9, abs=1e-9)
    assert part.fingerprint == IntensitySeries.model_validate_json(part.model_dump_json()).fingerprint


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1, 40_000])
def test_what_no_grid_has_is_refused(value: float) -> None:
    with pytest.raises(AbsurdSignalError, match="no grid has that"):
        _series(100, value)


def test_a_slot_must_have_a_length() -> None:
    with pytest.raises(ValueError, match="must have a length"):
        _series(100, step="0s")
