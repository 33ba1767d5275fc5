"""WattTime's v3 API as it was recorded (no provider can be called from here), and each way in which it can fail."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import ValidationError

from carbon_policy.domain.errors import GapInSignalError, SourceUnavailableError, UnknownZoneError
from carbon_policy.domain.signal import FactorKind, SignalKind
from carbon_policy.grid import client
from carbon_policy.grid.http_errors import HttpStatusError
from carbon_policy.grid.watttime import WattTimeGrid

FIVE = timedelta(minutes=5)
SLOT = datetime(2024, 6, 18, 18, 40, tzinfo=UTC)
NOW = SLOT + timedelta(minutes=2)
ZONE, REGION = "US-CAL-CISO", "CAISO_NORTH"
USER, PASSWORD, TOKEN = "freddo-4711", "the-frog-4712", "abcdef-4713"
FORBIDDEN = b"<html><head><title>403 Forbidden</title></head><body><center>nginx</center></body></html>"


def point(start: datetime, value: Any = 1000.0) -> dict[str, Any]:
    return {"point_time": start.isoformat(), "value": value}


def measured(start: datetime, value: float, *, imputed: bool = False) -> dict[str, Any]:
    return point(start, value) | {
        "last_updated": (start + timedelta(hours=1)).isoformat(),
        "imputed_data_used": imputed,
    }


def body(rows: list[dict[str, Any]], **meta: Any) -> dict[str, Any]:
    return {
        "data": rows,
        "meta": {
            "data_point_period_seconds": 300,
            "region": REGION,
            "warnings": [],
            "signal_type": "co2_moer",
            "model": {"date": "2023-03-01"},
            "units": "lbs_co2_per_mwh",
            "generated_at_period_seconds": 300,
            "generated_at": SLOT.isoformat(),
        }
        | meta,
    }


def ahead(count: int = 864) -> list[dict[str, Any]]:
    return [point(SLOT + k * FIVE, 1000.0 + k) for k in range(count)]


@pytest.fixture
def says(server: Any, answer: Any) -> Callable[..., None]:
    """Answers by the end of the path; the login gives a new token each time, unless told otherwise."""

    def says(**bodies: Any) -> None:
        logins = iter(range(99))
        bodies = {"login": lambda asked: {"token": f"{TOKEN}-{next(logins)}"}, **bodies}

        def by_path(path: str) -> Any:
            body = bodies[urlsplit(path).path.rsplit("/", 1)[-1]]
            body = body(query(path)) if callable(body) and not isinstance(body, answer) else body
            return body if isinstance(body, answer) else answer(body)

        server.answer = by_path

    return says


def query(path: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}


def paths(server: Any) -> list[str]:
    return [urlsplit(path).path for path in server.asked]


@pytest.fixture
def source(server: Any) -> WattTimeGrid:
    return WattTimeGrid(username=USER, password=PASSWORD, base_url=server.url)


def test_the_forecast_is_marginal_in_grams_and_says_what_it_is_of(
    server: Any, says: Callable[..., None], source: WattTimeGrid
) -> None:
    says(forecast=body(ahead()))
    series = source.forecast(ZONE, NOW)
    assert paths(server) == ["/login", "/v3/forecast"]
    basic = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    assert [headers["Authorization"] for headers in server.headers] == [
        f"Basic {basic}",
        f"Bearer {TOKEN}-0",
    ]
    assert query(server.asked[1]) == {"region": REGION, "signal_type": "co2_moer", "horizon_hours": "72"}
    assert (series.start, series.step, series.end) == (SLOT, FIVE, SLOT + timedelta(hours=72))
    assert series.values_gco2_per_kwh[0] == pytest.approx(453.59237)
    assert series.issued_at == SLOT
    assert (series.signal, series.factors) == (SignalKind.MARGINAL, FactorKind.DIRECT)
    told = " ".join(series.provenance)
    assert "By its model of 2023-03-01." in told
    assert "region CAISO_NORTH stands for US-CAL-CISO" in told


@pytest.mark.parametrize(
    ("zone", "regions", "region", "name"),
    [
        (ZONE, {}, REGION, "watttime"),
        (ZONE, {ZONE: REGION}, REGION, "watttime"),
        (ZONE, {ZONE: "CAISO_SDGE"}, "CAISO_SDGE", "watttime CAISO_SDGE"),
        ("US-MIDA-PJM", {"US-MIDA-PJM": "PJM_DC"}, "PJM_DC", "watttime PJM_DC"),
    ],
)
def test_a_region_that_was_chosen_is_a_source_of_its_own(
    server: Any, says: Callable[..., None], zone: str, regions: dict[str, str], region: str, name: str
) -> None:
    says(
        forecast=body(ahead(12), region=region),
        historical=body([measured(SLOT, 1000.0), measured(SLOT + 2 * FIVE, 1000.0)], region=region),
    )
    source = WattTimeGrid(username=USER, password=PASSWORD, base_url=server.url, regions=regions)
    assert source.forecast(zone, NOW).source == name
    past = source.history(zone, SLOT, SLOT + 3 * FIVE)
    assert [past.source, *(finding.source for finding in past.findings)] == [name, name]


def test_what_it_warns_of_is_in_the_provenance(says: Callable[..., None], source: WattTimeGrid) -> None:
    warnings = [{"type": "EXTENDED", "message": "Data is older than usual."}, "Odd"]
    says(forecast=body(ahead(12), warnings=warnings))
    told = source.forecast(ZONE, NOW).provenance
    assert "WattTime warns: Data is older than usual." in told
    assert "WattTime warns: Odd." in told


def test_a_token_is_used_until_it_is_nearly_thirty_minutes_old(
    server: Any, says: Callable[..., None], source: WattTimeGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 1000.0
    monkeypatch.setattr(client.ANSWERS, "clock", lambda: now_s)
    says(forecast=body(ahead()))
    for minutes in (0, 10, 24, 26, 40):
        now_s = 1000.0 + minutes * 60
        source.forecast(ZONE, NOW)
    assert paths(server) == ["/login", *["/v3/forecast"] * 3, "/login", *["/v3/forecast"] * 2]
    assert server.headers[-1]["Authorization"] == f"Bearer {TOKEN}-1"


@pytest.mark.parametrize(("status", "page"), [(401, b""), (401, {"error": "expired"}), (403, FORBIDDEN)])
def test_a_token_that_has_lapsed_is_renewed_once(
    server: Any,
    answer: Any,
    says: Callable[..., None],
    source: WattTimeGrid,
    status: int,
    page: Any,
) -> None:
    refusals = [answer(page, status=status, headers={"Content-Type": "text/html"})]
    says(forecast=lambda asked: refusals.pop() if refusals else body(ahead(12)))
    assert source.forecast(ZONE, NOW).start == SLOT
    assert paths(server) == ["/login", "/v3/forecast", "/login", "/v3/forecast"]
    source.forecast(ZONE, NOW + FIVE)
    assert len(server.asked) == 4


def test_an_account_that_stays_refused_is_named(
    server: Any, answer: Any, says: Callable[..., None], source: WattTimeGrid
) -> None:
    says(forecast=answer(FORBIDDEN, status=403))
    with pytest.raises(HttpStatusError, match=r"may not have co2_moer of CAISO_NORTH: 127.* HTTP 403;") as no:
        source.forecast(ZONE, NOW)
    assert no.value.status == 403
    assert paths(server) == ["/login", "/v3/forecast"] * 2


def test_a_plan_without_the_region_is_named_and_no_new_token_asked_for(
    server: Any, answer: Any, says: Callable[..., None]
) -> None:
    scope = {
        "error": "Invalid query parameters",
        "message": "Invalid scope. You do not have sufficient access to this resource.",
    }
    says(forecast=answer(scope, status=403))
    source = WattTimeGrid(
        username=USER, password=PASSWORD, base_url=server.url, regions={"US-MIDA-PJM": "PJM_DC"}
    )
    with pytest.raises(SourceUnavailableError, match=r"co2_moer of PJM_DC: .*Invalid scope.*Change the plan"):
        source.forecast("US-MIDA-PJM", NOW)
    assert paths(server) == ["/login", "/v3/forecast"]


@pytest.mark.parametrize("status", [401, 403])
def test_a_wrong_password_is_named(
    server: Any, answer: Any, says: Callable[..., None], source: WattTimeGrid, status: int
) -> None:
    says(login=answer(FORBIDDEN, status=status))
    with pytest.raises(HttpStatusError, match="correct username and password"):
        source.forecast(ZONE, NOW)
    assert paths(server) == ["/login"]


@pytest.mark.parametrize("said", [{}, {"token": ""}, {"token": 7}, [], f'"{TOKEN}"'.encode()])
def test_a_login_without_a_token_is_named(says: Callable[..., None], source: WattTimeGrid, said: Any) -> None:
    says(login=said)
    with pytest.raises(SourceUnavailableError, match="gave no token at its login") as refused:
        source.forecast(ZONE, NOW)
    assert TOKEN not in str(refused.value)


def test_a_login_that_is_not_json_does_not_quote_the_token(
    says: Callable[..., None], source: WattTimeGrid
) -> None:
    says(login=f'{{"token": "{TOKEN}", '.encode())
    with pytest.raises(SourceUnavailableError, match="not JSON") as refused:
        source.forecast(ZONE, NOW)
    assert refused.value.__cause__ is None
    assert TOKEN not in str(refused.value)


def test_history_is_asked_for_in_thirty_days_with_both_ends_inside(
    server: Any, says: Callable[..., None], source: WattTimeGrid
) -> None:
    def rows(asked: dict[str, str]) -> Any:
        start, last = (datetime.fromisoformat(asked[name]) for name in ("start", "end"))
        assert last - start < timedelta(days=30)
        count = (last - start) // FIVE + 1
        return body([measured(start + k * FIVE, 900.0 + k % 12) for k in range(min(count, 40))])

    says(historical=rows)
    source.history(ZONE, SLOT - timedelta(days=70), SLOT)
    spans = [(query(path)["start"], query(path)["end"]) for path in server.asked[1:]]
    assert spans == [
        ("2024-04-09T18:40:00+00:00", "2024-05-09T18:35:00+00:00"),
        ("2024-05-09T18:40:00+00:00", "2024-06-08T18:35:00+00:00"),
        ("2024-06-08T18:40:00+00:00", "2024-06-18T18:35:00+00:00"),
    ]


def test_history_is_the_slots_of_the_range_and_what_was_imputed_is_flagged(
    says: Callable[..., None], source: WattTimeGrid
) -> None:
    says(historical=body([measured(SLOT + k * FIVE, 1000.0, imputed=k == 1) for k in range(-1, 4)]))
    series = source.history(ZONE, SLOT + timedelta(minutes=2), SLOT + timedelta(minutes=12))
    assert (series.start, series.end) == (SLOT, SLOT + 3 * FIVE)
    assert series.estimated == (False, True, False)
    assert series.issued_at is None


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (body(ahead(3), region="PSCO"), "another region, PSCO instead of CAISO_NORTH"),
        (body(ahead(3), signal_type="co2_aoer"), "another signal, co2_aoer instead of co2_moer"),
        (body(ahead(3), units="percentile"), "another units, percentile"),
        (body(ahead(3), data_point_period_seconds=3600), "another period"),
        (body(ahead(3), generated_at="soon"), "shape that is not known here"),
        (body([point(SLOT, "low")]), "no intensity"),
        (body([point(SLOT + timedelta(minutes=1))]), "no start of five minutes"),
        (body([{}]), "KeyError"),
        (body(7), "shape that is not known here"),  # type: ignore[arg-type]
        ({"data": []}, "KeyError: 'meta'"),
        ({"data": [], "meta": None}, "shape that is not known here"),
        ([], "shape that is not known here"),
    ],
)
def test_another_region_signal_unit_or_shape_is_named(
    says: Callable[..., None], source: WattTimeGrid, said: Any, words: str
) -> None:
    says(forecast=said)
    with pytest.raises(SourceUnavailableError, match=words):
        source.forecast(ZONE, NOW)


def test_an_empty_answer_is_named(says: Callable[..., None], source: WattTimeGrid) -> None:
    says(forecast=body([]), historical=body([]))
    with pytest.raises(GapInSignalError, match="try later"):
        source.forecast(ZONE, NOW)
    with pytest.raises(SourceUnavailableError, match="knows none"):
        source.history(ZONE, SLOT, SLOT + FIVE)


@pytest.mark.parametrize(
    ("zone", "words"),
    [
        (
            "US-MIDA-PJM",
            r"several, such as PJM_CHICAGO, PJM_DC.*write regions=\{'US-MIDA-PJM': 'THE_REGION'\}",
        ),
        ("US-CAL-CIS", "known are US-CAL-CISO"),
        ("DE", "name another source"),
    ],
)
def test_a_zone_without_a_region_says_what_to_write(source: WattTimeGrid, zone: str, words: str) -> None:
    with pytest.raises(UnknownZoneError, match=words):
        source.forecast(zone, NOW)


def test_no_secret_is_in_a_repr_a_validation_error_or_the_log(
    server: Any, says: Callable[..., None], source: WattTimeGrid, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    says(forecast=body(ahead(12)))
    source.forecast(ZONE, NOW)
    with pytest.raises(ValidationError) as refused:
        WattTimeGrid.model_validate({"username": USER, "password": PASSWORD, "horizon_hours": 99})
    told = caplog.text + repr(source) + str(source.model_dump()) + str(refused.value) + repr(client.ANSWERS)
    assert "/v3/forecast" in caplog.text
    for secret in (USER, PASSWORD, TOKEN):
        assert secret not in told
