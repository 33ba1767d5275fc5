"""Runs are due by the server's clock, whatever the worker's own says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_policy.worker.clock import ServerClock

NOW = datetime(2026, 11, 22, 18, 0, 0, 250000, tzinfo=UTC)


def answer(date: str | None) -> httpx.Response:
    return httpx.Response(200, headers={} if date is None else {"date": date})


def learnt(own: datetime, servers: datetime) -> ServerClock:
    """A clock that has heard one answer."""
    clock = ServerClock(lambda: own)
    clock.learn(answer(format_datetime(servers.replace(microsecond=0), usegmt=True)))
    return clock


@pytest.mark.parametrize("hours", [-3, 3])
def test_a_clock_that_is_wrong_is_put_right(hours: int) -> None:
    own = NOW + timedelta(hours=hours)
    assert abs(learnt(own, NOW).now() - NOW) <= timedelta(seconds=0.5)


def test_one_that_was_never_told_tells_its_own_time() -> None:
    clock = ServerClock(lambda: NOW)
    assert (clock.now(), clock.ahead) == (NOW, timedelta(0))


@given(st.floats(-1.4, 1.4))
def test_a_small_difference_is_none(seconds: float) -> None:
    own = NOW + timedelta(seconds=seconds)
    assert learnt(own, NOW).now() == own


@given(st.timedeltas(timedelta(days=-400), timedelta(days=400)))
def test_it_is_never_off_by_more_than_what_is_called_noise(wrong: timedelta) -> None:
    assert abs(learnt(NOW + wrong, NOW).now() - NOW) <= timedelta(seconds=2.5)


def test_a_clock_that_is_set_right_meanwhile_is_believed_again() -> None:
    own = [NOW + timedelta(hours=1)]
    clock = ServerClock(lambda: own[0])
    date = format_datetime(NOW.replace(microsecond=0), usegmt=True)
    clock.learn(answer(date))
    own[0] = NOW
    clock.learn(answer(date))
    assert clock.now() == NOW


@pytest.mark.parametrize(
    "date", [None, "", "yesterday", "Sun, 22 Nov 2026 12:00:00 -0000", "Sun, 99 Nov 2026 12:00:00 GMT"]
)
def test_an_answer_without_a_date_teaches_nothing(date: str | None) -> None:
    clock = learnt(NOW + timedelta(hours=1), NOW)
    before = clock.ahead
    clock.learn(answer(date))
    assert clock.ahead == before
