from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_policy.domain.errors import InvalidInputError
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.grid.replay import ReplayClock

BEGAN = datetime(2026, 11, 22, 9, tzinfo=UTC)
SHOWN = datetime(2023, 6, 1, 6, 20, tzinfo=UTC)
HOUR = timedelta(hours=1)

speeds = st.floats(1, 1e5)
moments = st.datetimes(datetime(2000, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
offsets = st.timedeltas(timedelta(days=-30), timedelta(days=30))


@given(began=moments, shown=moments, speed=speeds, offset=offsets)
def test_the_wall_is_found_again_from_the_trace(
    began: datetime, shown: datetime, speed: float, offset: timedelta
) -> None:
    clock = ReplayClock(began, shown, speed)
    moment = shown + offset
    # A microsecond of wall time is `speed` microseconds of trace.
    assert abs(clock.to_trace(clock.to_wall(moment)) - moment) <= timedelta(microseconds=speed + 1)


@given(speed=speeds, one=offsets, other=offsets)
def test_order_is_kept(speed: float, one: timedelta, other: timedelta) -> None:
    clock = ReplayClock(BEGAN, SHOWN, speed)
    early, late = sorted((SHOWN + one, SHOWN + other))
    assert clock.to_wall(early) <= clock.to_wall(late)


@given(speed=speeds, before=st.integers(0, 100), value=st.floats(1, 1000))
def test_a_compressed_series_shows_each_slot_when_the_clock_does(
    speed: float, before: int, value: float
) -> None:
    series = IntensitySeries(
        zone="DE",
        start=datetime(2023, 6, 1, 6, tzinfo=UTC) - before * HOUR,
        step=HOUR,
        values_gco2_per_kwh=tuple(value + index for index in range(before + 24)),
        source="test",
    )
    clock = ReplayClock(BEGAN, SHOWN, speed)
    compressed = clock.compress(series)
    assert compressed.values_gco2_per_kwh == series.values_gco2_per_kwh
    assert compressed.at(BEGAN) == series.at(SHOWN)
    for index in range(len(series.values_gco2_per_kwh)):
        drift = abs(compressed.slot_start(index) - clock.to_wall(series.slot_start(index)))
        assert drift <= timedelta(microseconds=100)


def test_an_hourly_trace_at_speed_1200_has_slots_of_three_seconds() -> None:
    clock = ReplayClock(BEGAN, datetime(2023, 6, 1, tzinfo=UTC), 1200)
    assert clock.on_the_wall(datetime(2023, 6, 1, tzinfo=UTC), HOUR) == (BEGAN, timedelta(seconds=3))


def test_the_clock_without_fields_changes_nothing() -> None:
    series = IntensitySeries(zone="DE", start=SHOWN, step=HOUR, values_gco2_per_kwh=(1.0,), source="test")
    assert ReplayClock().compress(series) is series
    assert ReplayClock().to_trace(SHOWN) == ReplayClock().to_wall(SHOWN) == SHOWN


def test_a_speed_that_leaves_no_time_for_a_slot_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="lower the speed"):
        ReplayClock(BEGAN, SHOWN, 1e13).on_the_wall(SHOWN, HOUR)
