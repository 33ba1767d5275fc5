"""Energinet's API as it was recorded (no provider can be called from here), and each way in which it can fail."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from carbon_policy.domain.errors import (
    GapInSignalError,
    SourceUnavailableError,
    UnknownZoneError,
    WrongZoneError,
)
from carbon_policy.domain.signal import FactorKind
from carbon_policy.grid.energinet import EnerginetGrid

FIVE = timedelta(minutes=5)
SLOT = datetime(2025, 10, 27, 5, 45, tzinfo=UTC)
NOW = SLOT + timedelta(minutes=3)


def row(start: datetime, value: Any, area: str = "DK1") -> dict[str, Any]:
    return {
        "Minutes5UTC": f"{start:%Y-%m-%dT%H:%M:%S}",
        "Minutes5DK": f"{start + timedelta(hours=1):%Y-%m-%dT%H:%M:%S}",
        "PriceArea": area,
        "CO2Emission": value,
    }


def body(*rows: dict[str, Any], dataset: str = "CO2EmisProg") -> dict[str, Any]:
    return {"total": len(rows), "dataset": dataset, "records": list(rows)}


@pytest.fixture
def source(server: Any) -> EnerginetGrid:
    return EnerginetGrid(base_url=server.url)


def test_the_forecast_is_asked_whole_and_in_order(server: Any, answer: Any, source: EnerginetGrid) -> None:
    server.says(answer(body(*(row(SLOT + (k - 12) * FIVE, 150 + k) for k in range(60)))))
    series = source.forecast("DK-DK1", NOW)
    asked = urlsplit(server.asked[0])
    query = {name: values[0] for name, values in parse_qs(asked.query).items()}
    assert asked.path == "/dataset/CO2EmisProg"
    assert (query["limit"], query["sort"], query["filter"]) == (
        "0",
        "Minutes5UTC ASC",
        '{"PriceArea": ["DK1"]}',
    )
    assert (series.start, series.step, len(series.values_gco2_per_kwh)) == (SLOT, FIVE, 48)
    assert series.values_gco2_per_kwh[0] == 162
    assert series.issued_at == SLOT
    assert series.factors is FactorKind.DIRECT


def test_times_without_an_offset_are_utc_and_the_range_allows_for_danish_time(
    server: Any, answer: Any, source: EnerginetGrid
) -> None:
    server.says(answer(body(*(row(SLOT + (k - 30) * FIVE, 100 + k) for k in range(90)))))
    series = source.history("DK-DK1", SLOT, SLOT + timedelta(hours=1))
    query = {name: values[0] for name, values in parse_qs(urlsplit(server.asked[0]).query).items()}
    # Read as Danish time, this begins an hour or two too early, and ends no earlier than it must.
    assert (query["start"], query["end"]) == ("2025-10-27T05:45", "2025-10-27T08:45")
    assert (series.start, series.end) == (SLOT, SLOT + timedelta(hours=1))
    assert series.values_gco2_per_kwh[0] == 130


def test_what_is_not_measured_yet_is_left_off(server: Any, answer: Any, source: EnerginetGrid) -> None:
    server.says(answer(body(row(SLOT, 100), row(SLOT + FIVE, 101), row(SLOT + 2 * FIVE, None))))
    assert source.history("DK-DK1", SLOT, SLOT + 3 * FIVE).values_gco2_per_kwh == (100, 101)


def test_a_hole_is_named(server: Any, answer: Any, source: EnerginetGrid) -> None:
    server.says(answer(body(row(SLOT, 100), row(SLOT + 2 * FIVE, 101))))
    series = source.history("DK-DK1", SLOT, SLOT + 3 * FIVE)
    assert (series.start, series.values_gco2_per_kwh) == (SLOT + 2 * FIVE, (101,))
    assert "05:50Z" in series.findings[0].sentence


@pytest.mark.parametrize(
    "said",
    [
        {"records": [row(SLOT, "low")]},
        {"records": [row(SLOT + timedelta(minutes=2), 100)]},
        {"records": [{}]},
        {"records": None},
        {},
        [],
    ],
    ids=["no number", "no slot", "no fields", "no rows", "nothing", "a list"],
)
def test_another_shape_is_named(server: Any, answer: Any, source: EnerginetGrid, said: Any) -> None:
    server.says(answer(said))
    with pytest.raises(SourceUnavailableError, match="shape that is not known here"):
        source.forecast("DK-DK1", NOW)


def test_another_area_is_named(server: Any, answer: Any, source: EnerginetGrid) -> None:
    server.says(answer(body(row(SLOT, 100, "DK2"))))
    with pytest.raises(WrongZoneError, match="energinet answered for DK2 instead of DK1"):
        source.forecast("DK-DK1", NOW)


def test_an_empty_answer_and_a_forecast_that_begins_late_are_named(
    server: Any, answer: Any, source: EnerginetGrid
) -> None:
    server.says(answer(body()))
    with pytest.raises(GapInSignalError, match="try later"):
        source.forecast("DK-DK1", NOW)
    with pytest.raises(SourceUnavailableError, match="knows none"):
        source.history("DK-DK1", SLOT, SLOT + FIVE)


def test_the_whole_country_is_no_zone(source: EnerginetGrid) -> None:
    with pytest.raises(UnknownZoneError, match="DK-DK1, DK-DK2"):
        source.forecast("DK", NOW)
