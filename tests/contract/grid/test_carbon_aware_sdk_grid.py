"""The Carbon Aware SDK's web API as it was recorded, and each way in which it can fail."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import ValidationError

from carbon_policy.domain.errors import GapInSignalError, SourceUnavailableError, UnknownZoneError
from carbon_policy.domain.signal import BasisKind, FactorKind, SignalKind
from carbon_policy.grid.carbon_aware_sdk import CarbonAwareSdkGrid
from carbon_policy.grid.http_errors import HttpStatusError

TEN = timedelta(minutes=10)
SLOT = datetime(2022, 7, 19, 14, 0, tzinfo=UTC)
NOW = SLOT + timedelta(minutes=7)
ZONE, LOCATION = "US-MIDA-PJM", "eastus"


def past(start: datetime, rating: Any = 70, location: str = LOCATION) -> dict[str, Any]:
    # The SDK is .NET, which writes seven digits of a second.
    return {"location": location, "time": start.strftime("%Y-%m-%dT%H:%M:%S.0092741+00:00"), "rating": rating}


def ahead(start: datetime, value: Any = 448.445, duration: int = 10) -> dict[str, Any]:
    return {"location": "IE", "timestamp": start.isoformat(), "duration": duration, "value": value}


def forecast(rows: list[Any], **fields: Any) -> list[dict[str, Any]]:
    return [
        {
            "requestedAt": NOW.isoformat(),
            "generatedAt": (SLOT - timedelta(minutes=5)).isoformat(),
            "location": LOCATION,
            "dataStartAt": SLOT.isoformat(),
            "dataEndAt": (SLOT + timedelta(hours=24)).isoformat(),
            "windowSize": 10,
            "optimalDataPoint": ahead(SLOT),
            "forecastData": rows,
        }
        | fields
    ]


def query(path: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}


@pytest.fixture
def source(server: Any) -> CarbonAwareSdkGrid:
    return CarbonAwareSdkGrid(
        base_url=server.url, locations={ZONE: LOCATION, "IE": "northeurope"}, step="10m"
    )


def test_the_forecast_is_asked_in_windows_of_a_step_so_that_its_values_are_raw(
    server: Any, answer: Any, source: CarbonAwareSdkGrid
) -> None:
    server.says(answer(forecast([ahead(SLOT + k * TEN, 400 + k) for k in range(144)])))
    series = source.forecast(ZONE, NOW)
    assert urlsplit(server.asked[0]).path == "/emissions/forecasts/current"
    assert query(server.asked[0]) == {"location": "eastus", "windowSize": "10"}
    assert (series.start, series.step, series.end) == (SLOT, TEN, SLOT + timedelta(hours=24))
    assert series.values_gco2_per_kwh[:2] == (400, 401)
    assert series.issued_at == SLOT - timedelta(minutes=5)
    assert (series.signal, series.factors, series.basis) == (SignalKind.AVERAGE, FactorKind.LIFE_CYCLE, None)
    assert "the labels are the block's" in " ".join(series.provenance)


def test_a_location_is_a_source_of_its_own(server: Any, answer: Any) -> None:
    def named(location: str) -> list[str]:
        server.answer = lambda path: answer(
            forecast([ahead(SLOT)], location=location)
            if "windowSize" in path
            else [past(SLOT, location=location)]
        )
        source = CarbonAwareSdkGrid(base_url=server.url, locations={ZONE: location}, step="10m")
        return [source.forecast(ZONE, NOW).source, source.history(ZONE, SLOT, SLOT + TEN).source]

    assert named("eastus") == ["carbon-aware-sdk eastus"] * 2
    assert named("eastus2") == ["carbon-aware-sdk eastus2"] * 2


def test_the_labels_are_those_of_the_block(server: Any, answer: Any) -> None:
    server.says(answer([past(SLOT)]))
    source = CarbonAwareSdkGrid(
        base_url=server.url,
        locations={ZONE: LOCATION},
        signal="marginal",
        factors="direct",
        basis="production",
    )
    series = source.history(ZONE, SLOT, SLOT + timedelta(minutes=5))
    assert (series.signal, series.factors, series.basis) == (
        SignalKind.MARGINAL,
        FactorKind.DIRECT,
        BasisKind.PRODUCTION,
    )
    assert source.capabilities().signal is SignalKind.MARGINAL


def test_history_is_the_slots_of_the_range_even_where_more_is_answered(
    server: Any, answer: Any, source: CarbonAwareSdkGrid
) -> None:
    server.says(answer([past(SLOT + k * TEN, 70 + k) for k in range(-6, 6)]))
    series = source.history(ZONE, SLOT + timedelta(minutes=2), SLOT + timedelta(minutes=25))
    assert urlsplit(server.asked[0]).path == "/emissions/bylocation"
    assert query(server.asked[0]) == {
        "location": "eastus",
        "time": "2022-07-19T14:00:00+00:00",
        "toTime": "2022-07-19T14:25:00+00:00",
    }
    assert (series.start, series.values_gco2_per_kwh) == (SLOT, (70, 71, 72))
    assert series.issued_at is None


def test_a_long_history_is_asked_for_in_parts(server: Any, answer: Any) -> None:
    def rows(path: str) -> Any:
        start, end = (datetime.fromisoformat(query(path)[name]) for name in ("time", "toTime"))
        hours = range((end - start) // timedelta(hours=1))
        return answer([past(start + k * timedelta(hours=1), 100 + k % 24) for k in hours])

    server.answer = rows
    source = CarbonAwareSdkGrid(base_url=server.url, locations={ZONE: LOCATION}, step="1h")
    series = source.history(ZONE, SLOT - timedelta(days=25), SLOT)
    assert len(server.asked) == 3
    assert (series.start, series.end) == (SLOT - timedelta(days=25), SLOT)


def test_rows_that_name_the_grid_instead_of_the_location_are_taken(
    server: Any, answer: Any, source: CarbonAwareSdkGrid
) -> None:
    server.says(answer([past(SLOT, location="PJM"), past(SLOT + TEN, location="PJM")]))
    assert len(source.history(ZONE, SLOT, SLOT + 2 * TEN).values_gco2_per_kwh) == 2


def test_nothing_is_said_with_no_content(server: Any, answer: Any, source: CarbonAwareSdkGrid) -> None:
    server.says(answer(status=204))
    with pytest.raises(SourceUnavailableError, match="knows none"):
        source.history(ZONE, SLOT, SLOT + TEN)
    with pytest.raises(SourceUnavailableError, match="no forecast of eastus"):
        source.forecast(ZONE, NOW)


def test_a_problem_is_told_in_its_own_words(server: Any, answer: Any, source: CarbonAwareSdkGrid) -> None:
    problem = {
        "type": "https://tools.ietf.org/html/rfc7231#section-6.5.1",
        "title": "One or more validation errors occurred.",
        "status": 400,
        "traceId": "00-1-2-00",
        "errors": {"location": ["The location field is required."]},
    }
    server.says(answer(problem, status=400, headers={"Content-Type": "application/problem+json"}))
    with pytest.raises(
        HttpStatusError,
        match=r"^carbon-aware-sdk: 127\.0\.0\.1 answered HTTP 400 .*location field is required",
    ) as refused:
        source.forecast(ZONE, NOW)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (forecast([ahead(SLOT)], location="northeurope"), "answered for northeurope instead of eastus"),
        (forecast([ahead(SLOT, duration=60)]), r"windows of 1h, and step is 10m; set step"),
        (forecast([ahead(SLOT + timedelta(minutes=5))]), "no start of 10m"),
        (forecast([ahead(SLOT, "low")]), "no intensity"),
        (forecast([{}]), "KeyError"),
        (forecast([ahead(SLOT)]) * 2, "shape that is not known here"),
        (forecast([ahead(SLOT)], generatedAt=None), "shape that is not known here"),
        ({}, "shape that is not known here"),
        (None, "shape that is not known here"),
    ],
)
def test_another_place_step_or_shape_is_named(
    server: Any, answer: Any, source: CarbonAwareSdkGrid, body: Any, words: str
) -> None:
    server.says(answer(body))
    with pytest.raises(SourceUnavailableError, match=words):
        source.forecast(ZONE, NOW)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ([past(SLOT, location="northeurope")], "answered for northeurope instead of eastus"),
        ([past(SLOT), past(SLOT + TEN, location="PJM")], "answered for PJM instead of eastus"),
        ([{"location": LOCATION}], "KeyError"),
        ({"data": []}, "shape that is not known here"),
        ([None], "shape that is not known here"),
    ],
)
def test_another_place_or_shape_of_history_is_named(
    server: Any, answer: Any, source: CarbonAwareSdkGrid, body: Any, words: str
) -> None:
    server.says(answer(body))
    with pytest.raises(SourceUnavailableError, match=words):
        source.history(ZONE, SLOT, SLOT + TEN)


def test_a_forecast_that_begins_late_is_named(server: Any, answer: Any, source: CarbonAwareSdkGrid) -> None:
    server.says(answer(forecast([ahead(SLOT + TEN)])))
    with pytest.raises(GapInSignalError, match="try later"):
        source.forecast(ZONE, NOW)


def test_a_zone_without_a_location_and_a_step_that_is_none_are_named(source: CarbonAwareSdkGrid) -> None:
    with pytest.raises(UnknownZoneError, match="locations of IE, US-MIDA-PJM, and not of 'DE'; add it"):
        source.forecast("DE", NOW)
    for step in ("7m", "0m", "2h", "90s"):
        with pytest.raises(ValidationError, match="write 5m, 15m, 30m or 1h"):
            CarbonAwareSdkGrid(base_url="http://localhost", locations={ZONE: LOCATION}, step=step)
    with pytest.raises(ValidationError, match="locations"):
        CarbonAwareSdkGrid(base_url="http://localhost", locations={})
