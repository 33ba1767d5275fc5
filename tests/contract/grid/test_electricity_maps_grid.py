"""Electricity Maps' API as it was recorded (no provider can be called from here), and each way in which it can fail."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import SecretStr, ValidationError

from carbon_policy.domain.errors import GapInSignalError, SourceUnavailableError, UnknownZoneError
from carbon_policy.domain.signal import BasisKind, FactorKind
from carbon_policy.grid.electricity_maps import ElectricityMapsGrid
from carbon_policy.grid.http_errors import HttpStatusError

HOUR = timedelta(hours=1)
SLOT = datetime(2026, 8, 22, 17, tzinfo=UTC)
NOW = SLOT + timedelta(minutes=34, seconds=30)
ZONE = "DK-DK2"
KEY = "em-key-4711"
EVERYTHING = [
    f"carbon-intensity/{what}" for what in ("latest", "history", "past", "past-range", "forecast")
] + ["carbon-intensity-level/history"]
FREE = ["carbon-intensity/latest", "carbon-intensity/history", "carbon-intensity/forecast"]


def written(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def zones(access: list[str] | None = EVERYTHING) -> dict[str, Any]:
    """The body of `/zones`; without a token there is no access in it."""
    known = {
        "zoneName": "East Denmark",
        "countryName": "Denmark",
        "zoneKey": ZONE,
        "countryCode": "DK",
        "zoneParentKey": "DK",
        "subZoneKeys": [],
        "isCommerciallyAvailable": True,
        "tier": "TIER_A",
    }
    return {ZONE: known | ({} if access is None else {"access": access}), "DK-DK1": known, "FR": known}


def row(start: datetime, value: Any = 75, **fields: Any) -> dict[str, Any]:
    """A row of history as v4 gives it."""
    return {
        "zone": ZONE,
        "carbonIntensity": value,
        "datetime": written(start),
        "updatedAt": "2026-08-22T17:24:08.708Z",
        "createdAt": "2026-08-21T22:35:11.365Z",
        "emissionFactorType": "lifecycle",
        "flowTraced": True,
        "isEstimated": False,
        "estimationMethod": None,
    } | fields


def row_v3(start: datetime, value: Any = 75) -> dict[str, Any]:
    return {name: said for name, said in row(start, value).items() if name != "flowTraced"}


def history(rows: list[dict[str, Any]], envelope: str = "history") -> dict[str, Any]:
    return {"zone": ZONE, envelope: rows, "temporalGranularity": "hourly"}


def last_day() -> list[dict[str, Any]]:
    """The last 24 rows; the last two are estimated."""
    guessed = {"isEstimated": True, "estimationMethod": "FORECASTS_HIERARCHY"}
    return [row(SLOT - (23 - k) * HOUR, 60 + k, **(guessed if k > 21 else {})) for k in range(24)]


def forecast(count: int = 73, **fields: Any) -> dict[str, Any]:
    return {
        "zone": ZONE,
        "forecast": [{"carbonIntensity": 77 + k, "datetime": written(SLOT + k * HOUR)} for k in range(count)],
        "updatedAt": "2026-08-22T17:34:24.392Z",
        "temporalGranularity": "hourly",
    } | fields


DENIED = {
    "error": "Request unauthorized for zoneKey=PT,requestType=past,dataType=power-breakdown.",
    "message": "You do not have access to this specific endpoint for this specific zone. Please visit"
    " https://help.electricitymaps.com if this is a mistake",
}


@pytest.fixture
def says(server: Any, answer: Any) -> Callable[..., None]:
    """Answers by the end of the path: a body, or an `Answer` of its own; `/zones` allows everything."""

    def says(**bodies: Any) -> None:
        bodies = {"zones": zones(), **bodies}

        def by_path(path: str) -> Any:
            body = bodies[urlsplit(path).path.rsplit("/", 1)[-1].replace("-", "_")]
            body = body(query(path)) if callable(body) and not isinstance(body, answer) else body
            return body if isinstance(body, answer) else answer(body)

        server.answer = by_path

    return says


def query(path: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}


def paths(server: Any) -> list[str]:
    return [urlsplit(path).path for path in server.asked]


@pytest.fixture
def source(server: Any) -> ElectricityMapsGrid:
    return ElectricityMapsGrid(api_key=KEY, base_url=server.url)


def test_the_forecast_is_of_three_days_and_says_whose_it_is(
    server: Any, says: Callable[..., None], source: ElectricityMapsGrid
) -> None:
    says(forecast=forecast())
    series = source.forecast(ZONE, NOW)
    assert paths(server) == ["/v4/zones", "/v4/carbon-intensity/forecast"]
    assert query(server.asked[1]) == {
        "zone": ZONE,
        "disableCallerLookup": "true",
        "emissionFactorType": "lifecycle",
        "horizonHours": "72",
    }
    assert [headers["auth-token"] for headers in server.headers] == [KEY, KEY]
    assert (series.start, series.step, len(series.values_gco2_per_kwh)) == (SLOT, HOUR, 73)
    assert series.values_gco2_per_kwh[:2] == (77, 78)
    assert series.issued_at == datetime(2026, 8, 22, 17, 34, 24, 392000, tzinfo=UTC)
    assert (series.factors, series.basis) == (FactorKind.LIFE_CYCLE, BasisKind.CONSUMPTION)
    assert series.estimated == ()
    assert "redistribution" in series.provenance[-1]


def test_an_answer_from_the_future_is_issued_now(
    says: Callable[..., None], source: ElectricityMapsGrid
) -> None:
    says(forecast=forecast(updatedAt="2026-08-22T18:00:00.000Z"))
    assert source.forecast(ZONE, NOW).issued_at == NOW


def test_v3_and_direct_factors_are_asked_for(server: Any, says: Callable[..., None]) -> None:
    says(history=history([row_v3(SLOT - HOUR) | {"emissionFactorType": "direct"}]), zones=zones(FREE))
    source = ElectricityMapsGrid(
        api_key=KEY, base_url=server.url, api_version="v3", emission_factor_type="direct"
    )
    series = source.history(ZONE, SLOT - HOUR, SLOT)
    assert paths(server) == ["/v3/zones", "/v3/carbon-intensity/history"]
    assert query(server.asked[1])["emissionFactorType"] == "direct"
    assert (series.factors, series.basis) == (FactorKind.DIRECT, BasisKind.CONSUMPTION)


def test_the_same_hour_is_asked_for_once(
    server: Any, says: Callable[..., None], source: ElectricityMapsGrid
) -> None:
    says(forecast=forecast())
    source.forecast(ZONE, NOW)
    source.forecast(ZONE, NOW + timedelta(minutes=20))
    assert len(server.asked) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 422])
def test_a_day_is_asked_for_where_three_are_refused(
    server: Any, answer: Any, says: Callable[..., None], source: ElectricityMapsGrid, status: int
) -> None:
    says(
        forecast=lambda asked: (
            forecast(25) if asked["horizonHours"] == "24" else answer(DENIED, status=status)
        )
    )
    series = source.forecast(ZONE, NOW)
    assert len(series.values_gco2_per_kwh) == 25
    assert f"72 h were refused (HTTP {status})" in " ".join(series.provenance)


@pytest.mark.parametrize("envelope", ["history", "data", "forecast"])
def test_history_comes_in_any_envelope_and_estimates_are_flagged(
    says: Callable[..., None], source: ElectricityMapsGrid, envelope: str
) -> None:
    says(past_range=history(last_day(), envelope))
    series = source.history(ZONE, SLOT - 3 * HOUR, SLOT + HOUR)
    assert (series.start, series.end) == (SLOT - 3 * HOUR, SLOT + HOUR)
    assert series.values_gco2_per_kwh == (80, 81, 82, 83)
    assert series.estimated == (False, False, True, True)
    assert series.issued_at is None


@pytest.mark.parametrize("wrap", [lambda one: one, lambda one: {"zone": ZONE, "data": one}])
def test_one_row_comes_bare_or_as_a_dict(
    says: Callable[..., None], source: ElectricityMapsGrid, wrap: Callable[[Any], Any]
) -> None:
    says(past_range=wrap(row(SLOT, temporalGranularity="hourly")))
    assert source.history(ZONE, SLOT, SLOT + HOUR).values_gco2_per_kwh == (75,)


def test_a_long_history_is_asked_for_in_ten_days(
    server: Any, says: Callable[..., None], source: ElectricityMapsGrid
) -> None:
    def rows(asked: dict[str, str]) -> Any:
        start, end = (datetime.fromisoformat(asked[name]) for name in ("start", "end"))
        assert end - start <= timedelta(days=10)
        hours = range((end - start) // HOUR)
        return history([row(start + k * HOUR, 50 + k % 24) for k in hours], "data")

    says(past_range=rows)
    series = source.history(ZONE, SLOT - timedelta(days=25), SLOT - timedelta(minutes=30))
    assert len(server.asked) == 1 + 3
    assert query(server.asked[1])["start"] == "2026-07-28T17:00:00Z"
    assert query(server.asked[3])["end"] == "2026-08-22T17:00:00Z"
    assert (series.start, series.end) == (SLOT - timedelta(days=25), SLOT)


def test_without_ranges_the_last_day_is_all_there_is(
    server: Any, says: Callable[..., None], source: ElectricityMapsGrid
) -> None:
    says(zones=zones(FREE), history=history(last_day()))
    series = source.history(ZONE, SLOT - timedelta(days=3), SLOT)
    assert paths(server) == ["/v4/zones", "/v4/carbon-intensity/history"]
    assert (series.start, series.end) == (SLOT - 23 * HOUR, SLOT)
    assert "the last 24 h only" in " ".join(series.provenance)
    with pytest.raises(SourceUnavailableError, match="the key has no carbon-intensity/past-range for DK-DK2"):
        source.history(ZONE, SLOT - timedelta(days=3), SLOT - timedelta(days=2))


def test_what_is_advertised_and_refused_is_passed_over(
    answer: Any, says: Callable[..., None], source: ElectricityMapsGrid
) -> None:
    says(
        past_range=answer({"error": "Expected one of latest, past"}, status=400), history=history(last_day())
    )
    series = source.history(ZONE, SLOT - 2 * HOUR, SLOT)
    assert "past-range was refused (HTTP 400)" in " ".join(series.provenance)


@pytest.mark.parametrize("access", [["*"], ["carbon-intensity/*"], None])
def test_access_to_everything_or_that_is_not_said_is_tried(
    says: Callable[..., None], source: ElectricityMapsGrid, access: list[str] | None
) -> None:
    says(zones=zones(access), forecast=forecast())
    assert source.forecast(ZONE, NOW).start == SLOT


def test_a_host_without_a_list_of_zones_is_tried(
    answer: Any, says: Callable[..., None], source: ElectricityMapsGrid
) -> None:
    says(zones=answer(status=404), forecast=forecast())
    assert source.forecast(ZONE, NOW).start == SLOT


def test_what_the_key_lacks_is_named_and_not_asked_for(
    server: Any, says: Callable[..., None], source: ElectricityMapsGrid
) -> None:
    says(zones=zones(["carbon-intensity/latest", "power-breakdown/latest"]))
    with pytest.raises(
        SourceUnavailableError,
        match=r"has no carbon-intensity/forecast for DK-DK2 \(it has carbon-intensity/latest\); ask",
    ):
        source.forecast(ZONE, NOW)
    with pytest.raises(SourceUnavailableError, match="no carbon-intensity/history"):
        source.history(ZONE, SLOT - HOUR, SLOT)
    assert paths(server) == ["/v4/zones"]


def test_a_zone_that_is_not_in_the_list_is_named_with_the_nearest(
    says: Callable[..., None], source: ElectricityMapsGrid
) -> None:
    says()
    with pytest.raises(UnknownZoneError, match="has no zone 'DK-DK3'; did you mean DK-DK"):
        source.forecast("DK-DK3", NOW)


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, DENIED, "the key's plan has no carbon-intensity/forecast for DK-DK2"),
        (401, {"error": "Token unauthorized for zoneKey"}, "the key's plan has no"),
        (403, {"error": "Endpoint not available"}, "the key's plan has no"),
        (401, b"", "does not take the key .HTTP 401.; set api_key"),
        (403, b"Access denied", r"does not take the key \(HTTP 403 \(Access denied\)\); set api_key"),
    ],
    ids=["plan", "zone", "endpoint", "no body", "bad key"],
)
def test_a_plan_that_lacks_something_is_told_from_a_bad_key(
    answer: Any,
    says: Callable[..., None],
    source: ElectricityMapsGrid,
    status: int,
    body: Any,
    words: str,
) -> None:
    says(forecast=answer(body, status=status))
    with pytest.raises(HttpStatusError, match=words) as refused:
        source.forecast(ZONE, NOW)
    assert refused.value.status == status
    assert "127.0.0.1" in str(refused.value)


def test_a_bad_key_is_found_out_at_the_list_of_zones(
    server: Any, answer: Any, says: Callable[..., None], source: ElectricityMapsGrid
) -> None:
    says(zones=answer({"error": "Invalid auth-token"}, status=401))
    with pytest.raises(HttpStatusError, match="set api_key"):
        source.forecast(ZONE, NOW)
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"history": [row(SLOT, isEstimated=True, estimationMethod="SANDBOX_MODE_DATA")]},
        {"history": [row(SLOT)], "_disclaimer": "This data is fake: SANDBOX MODE is on."},
    ],
    ids=["rows", "disclaimer"],
)
def test_made_up_data_is_refused(
    says: Callable[..., None], source: ElectricityMapsGrid, change: dict[str, Any]
) -> None:
    says(past_range={"zone": ZONE} | change)
    with pytest.raises(SourceUnavailableError, match="sandbox data; give a key"):
        source.history(ZONE, SLOT, SLOT + HOUR)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (history([row(SLOT, zone="FR")]), "answered for FR instead of DK-DK2"),
        (history([row(SLOT)]) | {"zone": "FR"}, "answered for FR"),
        (history([row(SLOT, emissionFactorType="direct")]), "direct factors instead of lifecycle"),
        (history([row(SLOT)]) | {"temporalGranularity": "15_minutes"}, "15_minutes and not hourly"),
        (history([row(SLOT), row(SLOT + HOUR, flowTraced=False)]), "traced in some slots only"),
        (history([row(SLOT + timedelta(minutes=15))]), "no start of an hour"),
        (history([row(SLOT, "low")]), "no intensity"),
        (history([row(SLOT) | {"datetime": "2026-08-22T17:00:00"}]), "no time zone"),
        ({"history": [{"carbonIntensity": 7, "datetime": written(SLOT)}]}, "KeyError: 'zone'"),
        (history([{}]), "KeyError"),
        ({"zone": ZONE}, "none of forecast, history, data"),
        (history(None), "TypeError"),  # type: ignore[arg-type]
        ([], "shape that is not known here"),
        (None, "shape that is not known here"),
    ],
)
def test_another_zone_kind_or_shape_is_named(
    says: Callable[..., None], source: ElectricityMapsGrid, body: Any, words: str
) -> None:
    says(past_range=body)
    with pytest.raises(SourceUnavailableError, match=words):
        source.history(ZONE, SLOT, SLOT + HOUR)


def test_flows_that_are_not_traced_make_it_production(
    says: Callable[..., None], source: ElectricityMapsGrid
) -> None:
    says(past_range=history([row(SLOT, flowTraced=False)]))
    assert source.history(ZONE, SLOT, SLOT + HOUR).basis is BasisKind.PRODUCTION


@pytest.mark.parametrize("body", [[], {}, "DK"])
def test_no_list_of_zones_is_named(says: Callable[..., None], source: ElectricityMapsGrid, body: Any) -> None:
    says(zones=body)
    with pytest.raises(SourceUnavailableError, match="no list of zones"):
        source.forecast(ZONE, NOW)


def test_a_forecast_that_begins_late_and_an_empty_history_are_named(
    says: Callable[..., None], source: ElectricityMapsGrid
) -> None:
    says(forecast=forecast(), past_range=history([], "data"))
    with pytest.raises(GapInSignalError, match="try later"):
        source.forecast(ZONE, SLOT - HOUR)
    with pytest.raises(SourceUnavailableError, match="knows none"):
        source.history(ZONE, SLOT, SLOT + HOUR)


def test_the_key_is_in_no_repr_and_no_validation_error(source: ElectricityMapsGrid) -> None:
    assert KEY not in repr(source) + str(source) + str(source.model_dump())
    with pytest.raises(ValidationError) as refused:
        ElectricityMapsGrid.model_validate({"api_key": KEY, "api_version": "v5"})
    assert KEY not in str(refused.value) + repr(refused.value)


@pytest.mark.parametrize("key", [f"{KEY}\n", f"{KEY}é", f" {KEY}", f"{KEY} ", ""])
def test_a_key_that_no_header_can_hold_is_not_quoted(server: Any, key: str) -> None:
    with pytest.raises(SourceUnavailableError, match="copy it anew") as refused:
        ElectricityMapsGrid(api_key=SecretStr(key), base_url=server.url).forecast(ZONE, NOW)
    assert KEY not in str(refused.value)
    assert refused.value.__context__ is None
    assert server.asked == []
