"""Energy-Charts' API as it was recorded (no provider can be called from here), and each way in which it can fail."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from carbon_policy.domain.errors import (
    GapInSignalError,
    SourceUnavailableError,
    UnknownZoneError,
)
from carbon_policy.domain.signal import FactorKind
from carbon_policy.grid.energy_charts import EnergyChartsGrid

QUARTER = timedelta(minutes=15)
MIDNIGHT = datetime(2026, 10, 3, 22, 0, tzinfo=UTC)  # Local midnight in France.
SPLICE = MIDNIGHT + 24 * QUARTER
NOW = SPLICE + timedelta(minutes=4)
HORIZON = SPLICE + 75 * QUARTER


def recorded() -> dict[str, Any]:
    """France on 2026-10-04: two days of quarters, 24 measured, then 75 forecast, 17 % lower, then nothing."""
    return {
        "unix_seconds": [int((MIDNIGHT + k * QUARTER).timestamp()) for k in range(192)],
        "co2eq": [64.8, 64.7, *[60.0] * 21, 59.6, *[None] * 168],
        "co2eq_forecast": [*[None] * 24, 49.4, 49.4, *[50.0 + k / 10 for k in range(73)], *[None] * 93],
        "deprecated": False,
    }


@pytest.fixture
def source(server: Any) -> EnergyChartsGrid:
    return EnergyChartsGrid(base_url=server.url)


def test_the_forecast_begins_now_and_ends_where_the_nulls_begin(
    server: Any, answer: Any, source: EnergyChartsGrid
) -> None:
    server.says(answer(recorded()))
    series = source.forecast("FR", NOW)
    hour = SPLICE.replace(minute=0)
    assert server.asked == [
        f"/co2eq?country=fr&start={int((hour - timedelta(hours=3)).timestamp())}"
        f"&end={int((hour + timedelta(hours=48)).timestamp())}"
    ]
    assert (series.start, series.step, series.end) == (SPLICE, QUARTER, HORIZON)
    assert series.values_gco2_per_kwh[:3] == (49.4, 49.4, 50.0)
    assert series.issued_at == hour
    assert series.factors is FactorKind.LIFE_CYCLE
    assert "imports and exports are left out" in " ".join(series.provenance)
    assert "CC BY 4.0" in " ".join(series.provenance)


def test_a_quarter_that_is_measured_already_stands_for_itself(
    server: Any, answer: Any, source: EnergyChartsGrid
) -> None:
    server.says(answer(recorded()))
    assert source.forecast("FR", SPLICE - timedelta(minutes=1)).values_gco2_per_kwh[:2] == (59.6, 49.4)


def test_it_is_asked_once_an_hour_at_most_for_the_same_hours(
    server: Any, answer: Any, source: EnergyChartsGrid
) -> None:
    server.says(answer(recorded()))
    source.forecast("FR", NOW)
    source.forecast("FR", NOW + timedelta(minutes=50))
    assert len(server.asked) == 1


def test_history_is_measured_and_never_filled_with_a_forecast(
    server: Any, answer: Any, source: EnergyChartsGrid
) -> None:
    server.says(answer(recorded()))
    series = source.history("FR", MIDNIGHT + timedelta(minutes=20), NOW + timedelta(hours=2))
    assert (series.start, series.end) == (MIDNIGHT + QUARTER, SPLICE)
    assert series.values_gco2_per_kwh[0] == 64.7
    assert series.issued_at is None


def test_a_long_history_is_asked_for_in_parts(server: Any, answer: Any, source: EnergyChartsGrid) -> None:
    def days(path: str) -> Any:
        query = dict(part.split("=") for part in path.split("?")[1].split("&"))
        seconds = list(range(int(query["start"]), int(query["end"]), 3600))
        return answer(
            {
                "unix_seconds": seconds,
                "co2eq": [100.0 + second / 3600 % 7 for second in seconds],
                "co2eq_forecast": [None] * len(seconds),
            }
        )

    server.answer = days
    series = source.history("FR", MIDNIGHT, MIDNIGHT + timedelta(days=70))
    assert len(server.asked) == 3
    assert (series.start, series.end - series.start) == (MIDNIGHT, timedelta(days=70))


@pytest.mark.parametrize(
    "change",
    [
        {"unix_seconds": [1, 2]},
        {"unix_seconds": "soon"},
        {"co2eq": ["low"] * 192},
        {"co2eq": [50.0]},
        {"co2eq_forecast": None},
        {"unix_seconds": [k * 7200 for k in range(192)]},
        {"unix_seconds": [*range(0, 191 * 900, 900), 10**15]},
    ],
    ids=["too few", "no list", "no numbers", "short", "missing", "two hours", "absurd"],
)
def test_another_shape_is_named(
    server: Any, answer: Any, source: EnergyChartsGrid, change: dict[str, Any]
) -> None:
    server.says(answer(recorded() | change))
    with pytest.raises(SourceUnavailableError, match="shape that is not known here"):
        source.forecast("FR", NOW)


def test_a_country_that_it_does_not_know_is_named(server: Any, answer: Any, source: EnergyChartsGrid) -> None:
    server.says(answer(b"'xx' is not the code for an available country.", 400))
    with pytest.raises(SourceUnavailableError, match="HTTP 400"):
        source.forecast("FR", NOW)
    with pytest.raises(UnknownZoneError, match="name another source"):
        source.forecast("US-CAL-CISO", NOW)


def test_nothing_said_of_now_is_a_gap(server: Any, answer: Any, source: EnergyChartsGrid) -> None:
    server.says(answer(recorded()))
    with pytest.raises(GapInSignalError, match="try later"):
        source.forecast("FR", HORIZON + QUARTER)


def test_an_address_is_checked() -> None:
    with pytest.raises(ValidationError, match="no address"):
        EnergyChartsGrid(base_url="api.energy-charts.info")
