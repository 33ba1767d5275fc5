"""NESO's API as it was recorded (no provider can be called from here), and each way in which it can fail."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from carbon_policy.domain.errors import (
    CarbonPolicyError,
    GapInSignalError,
    InvalidInputError,
    SourceUnavailableError,
    UnknownZoneError,
    WrongZoneError,
)
from carbon_policy.domain.finding import FindingKind, Treatment
from carbon_policy.domain.signal import FactorKind
from carbon_policy.grid.chain import outlook, pinned
from carbon_policy.grid.neso import NesoGrid
from carbon_policy.grid.recent import with_recent_history

NOW = datetime(2026, 7, 28, 13, 18, tzinfo=UTC)
SLOT = datetime(2026, 7, 28, 13, 0, tzinfo=UTC)
HALF_HOUR = timedelta(minutes=30)


def written(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%MZ")


def row(start: datetime, forecast: float | None, actual: float | None = None) -> dict[str, Any]:
    return {
        "from": written(start),
        "to": written(start + HALF_HOUR),
        "intensity": {"forecast": forecast, "actual": actual, "index": "low"},
    }


def regional_row(start: datetime, forecast: float) -> dict[str, Any]:
    return {
        "from": written(start),
        "to": written(start + HALF_HOUR),
        "intensity": {"forecast": forecast, "index": "moderate"},
        "generationmix": [{"fuel": "gas", "perc": 43.6}],
    }


def ahead(count: int = 96) -> list[dict[str, Any]]:
    return [row(SLOT + index * HALF_HOUR, 40 + index) for index in range(count)]


def measured(start: datetime, count: int) -> list[dict[str, Any]]:
    return [row(start + index * HALF_HOUR, 50, 60 + index) for index in range(count)]


@pytest.fixture
def neso(server: Any) -> NesoGrid:
    return NesoGrid(base_url=server.url)


def test_the_forecast_is_of_48_hours_from_the_current_half_hour(
    server: Any, answer: Any, neso: NesoGrid
) -> None:
    server.says(answer({"data": ahead()}))
    series = neso.forecast("GB", NOW)
    assert server.asked == ["/intensity/2026-07-28T13:01Z/fw48h"]
    assert (series.start, series.step, len(series.values_gco2_per_kwh)) == (SLOT, HALF_HOUR, 96)
    assert series.values_gco2_per_kwh[:2] == (40, 41)
    assert series.issued_at == SLOT
    assert series.factors is FactorKind.DIRECT
    assert "gCO2 of operation, not gCO2e" in " ".join(series.provenance)
    assert "CC BY 4.0" in " ".join(series.provenance)


def test_the_api_is_asked_once_a_half_hour(server: Any, answer: Any, neso: NesoGrid) -> None:
    server.says(answer({"data": ahead()}))
    assert neso.forecast("GB", NOW) == neso.forecast("GB", NOW + timedelta(minutes=11))
    assert len(server.asked) == 1


def test_the_slot_before_and_the_nulls_after_are_left_off(server: Any, answer: Any, neso: NesoGrid) -> None:
    rows = [row(SLOT - HALF_HOUR, 43, 54), *ahead(4), row(SLOT + 4 * HALF_HOUR, None)]
    server.says(answer({"data": rows}))
    assert neso.forecast("GB", NOW).values_gco2_per_kwh == (40, 41, 42, 43)


REGION = {"regionid": 13, "dnoregion": "UKPN London", "shortname": "London", "postcode": "RG10"}


@pytest.mark.parametrize("fields", [{"regionid": 13}, {"postcode": "RG10"}])
@pytest.mark.parametrize("wrap", [lambda place: place, lambda place: [place]], ids=["dict", "list"])
def test_a_region_answers_with_a_place_or_a_list_of_one(
    server: Any, answer: Any, fields: dict[str, Any], wrap: Callable[[Any], Any]
) -> None:
    rows = [regional_row(SLOT + index * HALF_HOUR, 266 + index) for index in range(3)]
    server.says(answer({"data": wrap(REGION | {"data": rows})}))
    series = NesoGrid(base_url=server.url, **fields).forecast("GB", NOW)
    name, value = next(iter(fields.items()))
    assert server.asked == [f"/regional/intensity/2026-07-28T13:01Z/fw48h/{name}/{value}"]
    assert series.values_gco2_per_kwh == (266, 267, 268)
    assert f"{name}/{value}" in series.provenance[0]


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({}, "neso"),
        ({"regionid": 13}, "neso region 13"),
        ({"postcode": "RG10"}, "neso postcode RG10"),
        ({"postcode": "rg10"}, "neso postcode RG10"),
    ],
)
def test_a_region_is_another_source_than_the_nation(
    server: Any, answer: Any, fields: dict[str, Any], name: str
) -> None:
    server.says(answer({"data": ahead(4)}))
    source = NesoGrid(base_url=server.url, **fields)
    assert source.forecast("GB", NOW).source == source.capabilities().name == name


@pytest.mark.parametrize("wrap", [lambda place: place, lambda place: [place]], ids=["dict", "list"])
def test_another_region_is_named(server: Any, answer: Any, wrap: Callable[[Any], Any]) -> None:
    server.says(answer({"data": wrap(REGION | {"data": [regional_row(SLOT, 266)]})}))
    with pytest.raises(WrongZoneError, match="answered for region 13 instead of 12"):
        NesoGrid(base_url=server.url, regionid=12).forecast("GB", NOW)


def test_a_region_has_no_history(server: Any) -> None:
    with pytest.raises(SourceUnavailableError, match="measures no region"):
        NesoGrid(base_url=server.url, regionid=13).history("GB", NOW - HALF_HOUR, NOW)


def test_history_is_what_was_measured(server: Any, answer: Any, neso: NesoGrid) -> None:
    start = SLOT - 4 * HALF_HOUR
    server.says(answer({"data": measured(start - HALF_HOUR, 6)}))
    series = neso.history("GB", start + timedelta(minutes=10), SLOT - timedelta(minutes=10))
    assert server.asked == ["/intensity/2026-07-28T11:01Z/2026-07-28T13:00Z"]
    assert (series.start, series.end) == (start, SLOT)
    assert series.values_gco2_per_kwh == (61, 62, 63, 64)
    assert series.issued_at is None


def test_what_is_not_measured_yet_is_left_off_and_not_filled(
    server: Any, answer: Any, neso: NesoGrid
) -> None:
    rows = [*measured(SLOT - 4 * HALF_HOUR, 2), row(SLOT - 2 * HALF_HOUR, 50), row(SLOT - HALF_HOUR, 50)]
    server.says(answer({"data": rows}))
    series = neso.history("GB", SLOT - 4 * HALF_HOUR, SLOT)
    assert (series.end, series.values_gco2_per_kwh) == (SLOT - 2 * HALF_HOUR, (60, 61))


def test_nothing_measured_is_said(server: Any, answer: Any, neso: NesoGrid) -> None:
    server.says(answer({"data": [row(SLOT, 50)]}))
    with pytest.raises(SourceUnavailableError, match="knows none of these slots yet"):
        neso.history("GB", SLOT, SLOT + HALF_HOUR)


@pytest.mark.parametrize(
    ("hole", "kind"), [([row(SLOT - 3 * HALF_HOUR, 50)], FindingKind.NULL), ([], FindingKind.GAP)]
)
def test_a_hole_in_history_is_named_and_not_filled(
    server: Any, answer: Any, neso: NesoGrid, hole: list[Any], kind: FindingKind
) -> None:
    rows = [*measured(SLOT - 4 * HALF_HOUR, 1), *hole, *measured(SLOT - 2 * HALF_HOUR, 2)]
    server.says(answer({"data": rows}))
    series = neso.history("GB", SLOT - 4 * HALF_HOUR, SLOT)
    assert (series.start, series.end) == (SLOT - 2 * HALF_HOUR, SLOT)
    [finding] = series.findings
    assert (finding.kind, finding.treatment) == (kind, Treatment.LEFT_OUT)
    assert "2026-07-28T11:30Z" in finding.sentence


def test_long_history_is_asked_in_fortnights(server: Any, answer: Any, neso: NesoGrid) -> None:
    def rows(path: str) -> Any:
        _, _, first, last = path.split("/")
        start, end = datetime.fromisoformat(first) - timedelta(minutes=1), datetime.fromisoformat(last)
        assert end - start <= timedelta(days=14)
        # As the API does, one slot too many at either end.
        return answer({"data": measured(start - HALF_HOUR, (end - start) // HALF_HOUR + 2)})

    server.answer = rows
    series = neso.history("GB", SLOT - timedelta(days=30), SLOT)
    # A busy machine may be asked for one of them again.
    assert len(set(server.asked)) == 3
    assert (series.start, series.end) == (SLOT - timedelta(days=30), SLOT)


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (
            {"error": {"code": "400 Bad Request", "message": "Please enter a valid datetime."}},
            400,
            "HTTP 400",
        ),
        ({"error": {"code": "500", "message": "Internal Server Error"}}, 500, "HTTP 500"),
        (b"<html>Service Unavailable</html>", 200, "not JSON"),
        (b"<html>Service Unavailable</html>", 503, "HTTP 503"),
        (b"", 200, "0 bytes"),
        (b'{"data":[{"from":"2026-07-28T12:30Z","to', 200, "not JSON"),
        ({"data": []}, 200, "no rows"),
        ({"data": {}}, 200, "'data'"),
        ({}, 200, "'data'"),
        ([], 200, "TypeError"),
        (None, 200, "TypeError"),
        ({"data": [{"from": written(SLOT)}]}, 200, "'to'"),
        ({"data": ["row"]}, 200, "TypeError"),
        ({"data": [row(SLOT, 50) | {"intensity": {}}]}, 200, "'forecast'"),
        ({"data": [row(SLOT, 50) | {"intensity": {"forecast": "50"}}]}, 200, "no intensity"),
        ({"data": [row(SLOT, 50) | {"from": "soon"}]}, 200, "ValueError"),
        ({"data": [row(SLOT, 50) | {"from": "2026-07-28T13:00"}]}, 200, "TypeError"),
        ({"data": [row(SLOT, 50) | {"to": "2026-07-28T14:00Z"}]}, 200, "no half hour"),
    ],
)
def test_whatever_else_it_says_is_refused(
    server: Any, answer: Any, neso: NesoGrid, body: Any, status: int, says: str
) -> None:
    server.says(answer(body, status=status))
    with pytest.raises(SourceUnavailableError, match=says):
        neso.forecast("GB", NOW)


def test_an_absurd_value_is_refused(server: Any, answer: Any, neso: NesoGrid) -> None:
    server.says(answer({"data": [row(SLOT, -5)]}))
    with pytest.raises(CarbonPolicyError, match="values that no grid has"):
        neso.forecast("GB", NOW)


@pytest.mark.parametrize(
    "rows", [[row(SLOT + HALF_HOUR, 50)], [row(SLOT - HALF_HOUR, 50)], [row(SLOT, None)]]
)
def test_a_forecast_without_now_is_refused(server: Any, answer: Any, neso: NesoGrid, rows: list[Any]) -> None:
    server.says(answer({"data": rows}))
    with pytest.raises(GapInSignalError, match="forecasts nothing for 2026-07-28T13:00:00"):
        neso.forecast("GB", NOW)


def test_it_serves_great_britain_only(neso: NesoGrid) -> None:
    with pytest.raises(UnknownZoneError, match="neso serves GB, and not 'DE'"):
        neso.forecast("DE", NOW)
    with pytest.raises(UnknownZoneError):
        neso.history("GB-NIR", NOW - HALF_HOUR, NOW)


def test_a_naive_moment_is_refused(neso: NesoGrid) -> None:
    with pytest.raises(InvalidInputError, match="no time zone"):
        neso.forecast("GB", NOW.replace(tzinfo=None))


@pytest.mark.parametrize(
    "fields",
    [{"regionid": 18}, {"postcode": "RG10 9XX"}, {"regionid": 1, "postcode": "RG10"}, {"base_url": "neso"}],
)
def test_what_is_no_place_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        NesoGrid(**fields)


def test_an_outage_is_a_note_in_bounded_time(server: Any, answer: Any, neso: NesoGrid) -> None:
    release = threading.Event()
    server.says(answer({"data": ahead()}, after=release))
    outcome = outlook("GB", NOW, pinned([neso]))
    release.set()
    assert outcome.series is None
    assert outcome.notes[0] == "neso: 127.0.0.1 did not answer in time; try later, or name another source."


def test_a_week_of_history_goes_before_the_forecast(server: Any, answer: Any, neso: NesoGrid) -> None:
    def rows(path: str) -> Any:
        if path.endswith("fw48h"):
            return answer({"data": ahead()})
        newest = [row(SLOT - 2 * HALF_HOUR, 50), row(SLOT - HALF_HOUR, 50)]
        return answer({"data": [*measured(SLOT - timedelta(days=7), 14 * 24 - 2), *newest]})

    server.answer = rows
    found = outlook("GB", NOW, pinned([neso]))
    longer = with_recent_history(found, NOW)
    assert longer is not None
    assert found.series is not None
    assert (longer.start, longer.end) == (SLOT - timedelta(days=7), found.series.end)
    assert "the last value held to" in longer.provenance[-1]
