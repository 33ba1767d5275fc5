"""The newest slot is told in no time, however much is kept."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from carbon_policy.domain.signal import IntensitySeries, SignalKind
from carbon_policy.store import History

MakeSeries = Callable[..., IntensitySeries]
START = datetime(2026, 11, 22, 6, tzinfo=UTC)
HOUR = timedelta(hours=1)
LATER = START + timedelta(days=1)


def test_the_newest_slot_is_told(history: History, make_series: MakeSeries) -> None:
    assert history.newest("DE") is None
    history.record(make_series(1, 2, 3), fetched_at=LATER)
    history.record(make_series(1, 2, source="neso"), fetched_at=LATER)
    history.record(make_series(3, hour=2.25, source="neso", step=HOUR / 4), fetched_at=LATER)
    marginal = make_series(1, hour=9, signal=SignalKind.MARGINAL)
    history.record(marginal, fetched_at=LATER)
    history.record_forecast(make_series(hour=20, issued_at=START), fetched_at=LATER)
    assert history.newest("DE") == START + 9 * HOUR
    assert history.newest("DE", source="neso") == START + 2.25 * HOUR
    assert history.newest("DE", signal=SignalKind.AVERAGE) == START + 2.25 * HOUR
    assert history.newest("DE", source="energy-charts", labels=make_series().labels) == START + 2 * HOUR
    assert history.newest("DE", labels=marginal.labels, signal=SignalKind.AVERAGE) is None
    assert history.newest("FR") is None
    # A series of which nothing is left.
    history.forget(LATER)
    assert history.newest("DE") is None


def test_the_newest_slot_is_found_without_reading_the_others(
    sqlite_url: str, make_series: MakeSeries
) -> None:
    with History(sqlite_url) as history:
        history.record(make_series(*map(float, range(2000))), fetched_at=LATER)
        steps = 0

        def count() -> None:
            nonlocal steps
            steps += 100

        with history._engine.connect() as connection:
            driver = connection.connection.driver_connection
            assert driver is not None
            driver.set_progress_handler(count, 100)
        assert history.newest("DE") == START + 1999 * HOUR
        assert steps < 1000
        history.zones()
        assert steps > 2000
