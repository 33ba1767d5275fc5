"""Durations, moments and hours of the day, through changes of clocks and half-hour zones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_policy.domain.errors import InvalidInputError
from carbon_policy.domain.job import AllowedHours, JobSpec
from carbon_policy.domain.times import format_duration, parse_duration, parse_moment, write_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("45m", 2700),
        ("1h30m", 5400),
        ("1h 30m", 5400),
        ("2d", 172800),
        ("PT45M", 2700),
        ("P1DT2H", 93600),
        ("90", None),
    ],
)
def test_durations_are_read_as_people_write_them(text: str, seconds: int | None) -> None:
    if seconds is None:
        with pytest.raises(InvalidInputError):
            parse_duration(text)
    else:
        assert parse_duration(text) == timedelta(seconds=seconds)


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=31)))
def test_a_spec_keeps_its_durations_through_json(duration: timedelta) -> None:
    spec = JobSpec(start_within=duration)
    assert JobSpec.model_validate_json(spec.model_dump_json()) == spec


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (timedelta(0), "0s"),
        (timedelta(hours=12), "12h"),
        (timedelta(days=2, seconds=1, milliseconds=250), "2d1.25s"),
        (timedelta(microseconds=1), "0.000001s"),
    ],
)
def test_a_duration_is_recorded_short_and_exact(duration: timedelta, text: str) -> None:
    assert write_duration(duration) == text
    assert parse_duration(text) == duration


def test_a_duration_is_shown_in_two_units_at_most() -> None:
    assert format_duration(timedelta(days=1, hours=2, minutes=3)) == "1d 2h"
    assert format_duration(timedelta(seconds=3.25)) == "3.25s"


@pytest.mark.parametrize("value", [True, None, "soon", float("nan"), [], "5 parsecs"])
def test_what_is_no_duration_is_refused(value: object) -> None:
    with pytest.raises(InvalidInputError):
        parse_duration(value)


def test_moments_become_utc_and_naive_ones_are_refused() -> None:
    half_hour_zone = timezone(timedelta(hours=5, minutes=30))
    assert parse_moment(datetime(2026, 1, 1, 5, 30, tzinfo=half_hour_zone)) == datetime(
        2026, 1, 1, tzinfo=UTC
    )
    with pytest.raises(InvalidInputError, match="add Z"):
        parse_moment(datetime(2026, 1, 1))  # noqa: DTZ001


def _span(day: str, zone: str, hours: str) -> list[tuple[datetime, datetime]]:
    start = datetime.fromisoformat(f"{day}T12:00:00+00:00")
    return AllowedHours.parse(hours, zone).intervals(start, start + timedelta(days=1))


def test_a_night_across_the_change_to_summer_time_is_an_hour_shorter() -> None:
    # Berlin, 2026-03-28 22:00 CET is 21:00 UTC; 2026-03-29 06:00 CEST is 04:00 UTC: seven hours.
    ((opens, closes),) = _span("2026-03-28", "Europe/Berlin", "22:00-06:00")
    assert (opens.hour, closes.hour) == (21, 4)
    assert closes - opens == timedelta(hours=7)


def test_a_night_across_the_change_to_winter_time_is_an_hour_longer() -> None:
    ((opens, closes),) = _span("2026-10-24", "Europe/Berlin", "22:00-06:00")
    assert closes - opens == timedelta(hours=9)


def test_hours_in_a_half_hour_zone() -> None:
    # 22:00 in Kolkata (UTC+5:30) is 16:30 UTC.
    ((opens, _),) = _span("2026-06-01", "Asia/Kolkata", "22:00-06:00")
    assert (opens.hour, opens.minute) == (16, 30)


def test_ranges_that_touch_become_one() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    hours = AllowedHours.parse("00:00-06:00,06:00-08:00")
    assert hours.intervals(start, start + timedelta(hours=12)) == [(start, start + timedelta(hours=8))]


@given(st.integers(min_value=0, max_value=48 * 60), st.integers(min_value=1, max_value=48 * 60))
def test_intervals_are_ordered_apart_and_inside(offset_min: int, length_min: int) -> None:
    start = datetime(2026, 3, 28, tzinfo=UTC) + timedelta(minutes=offset_min)
    end = start + timedelta(minutes=length_min)
    found = AllowedHours.parse("22:00-02:30,12:00-13:00", "Europe/Berlin").intervals(start, end)
    edges = [edge for interval in found for edge in interval]
    assert edges == sorted(edges)
    assert all(start <= edge <= end for edge in edges)
