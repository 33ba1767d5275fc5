"""The APIs of the networked sources, each with a fixed but lively grid behind it, in the shapes that were recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

from carbon_policy.grid.carbon_aware_sdk import CarbonAwareSdkGrid
from carbon_policy.grid.electricity_maps import ElectricityMapsGrid
from carbon_policy.grid.energinet import EnerginetGrid
from carbon_policy.grid.energy_charts import EnergyChartsGrid
from carbon_policy.grid.neso import NesoGrid
from carbon_policy.grid.source import GridSource
from carbon_policy.grid.watttime import WattTimeGrid

NOW = datetime(2026, 11, 22, 6, 17, 42, tzinfo=UTC)
HOUR = timedelta(hours=1)
FIVE = timedelta(minutes=5)

KEY, USER, PASSWORD, TOKEN = "em-key-4711", "freddo-4712", "the-frog-4713", "token-4714"
SECRETS = (KEY, USER, PASSWORD, TOKEN)


@dataclass(frozen=True)
class Api:
    """One API and the source that asks it.

    Attributes:
        source: At an address.
        zone: One that it serves.
        answer: Its body for a path.
        rows: What holds the rows of such a body, and under which key.
        value_keys: Of a row, where its value is.
        moved: The same body, as of another zone; `None` where no answer names one.
        at_the_door: What is asked before data are: a login, a list of zones.
    """

    source: Callable[[str], GridSource]
    zone: str
    answer: Callable[[str], Any]
    rows: Callable[[Any], tuple[Any, Any]]
    value_keys: tuple[str, ...]
    moved: Callable[[Any], Any] | None
    at_the_door: str = ""


def query(path: str) -> dict[str, str]:
    """A path's query, one value a name."""
    return {name: values[0] for name, values in parse_qs(urlsplit(path).query).items()}


def slots(start: datetime, end: datetime, step: timedelta) -> list[datetime]:
    return [start + k * step for k in range((end - start) // step)]


def floor(moment: datetime, step: timedelta) -> datetime:
    return moment - (moment - datetime.min.replace(tzinfo=UTC)) % step


def neso(path: str) -> Any:
    _, _, first, last = path.split("/")
    start, half = datetime.fromisoformat(first) - timedelta(minutes=1), timedelta(minutes=30)
    end = start + timedelta(days=2) if last == "fw48h" else datetime.fromisoformat(last)
    return {
        "data": [
            {
                "from": f"{slot:%Y-%m-%dT%H:%MZ}",
                "to": f"{slot + half:%Y-%m-%dT%H:%MZ}",
                "intensity": {
                    "forecast": 100 + slot.hour,
                    "actual": 90 + slot.hour if slot < NOW else None,
                    "index": "low",
                },
            }
            for slot in slots(start, end, half)
        ]
    }


def energy_charts(path: str) -> Any:
    """Measured to the last full hour, forecast for 29 h."""
    asked = query(path)
    seconds = list(range(int(asked["start"]), int(asked["end"]), 900))
    known, ends = floor(NOW, HOUR).timestamp(), (NOW + 29 * HOUR).timestamp()
    return {
        "unix_seconds": seconds,
        "co2eq": [300 + s // 900 % 50 if s < known else None for s in seconds],
        "co2eq_forecast": [280 + s // 900 % 50 if known <= s < ends else None for s in seconds],
        "deprecated": False,
    }


def energinet(path: str) -> Any:
    """It reads what it is asked as Danish time and answers in UTC."""
    start, end = (
        datetime.fromisoformat(query(path)[name])
        .replace(tzinfo=ZoneInfo("Europe/Copenhagen"))
        .astimezone(UTC)
        for name in ("start", "end")
    )
    is_history = path.startswith("/dataset/CO2Emis?")
    last = NOW - timedelta(minutes=10) if is_history else NOW + 36 * HOUR
    rows = [
        {"Minutes5UTC": f"{slot:%Y-%m-%dT%H:%M:%S}", "PriceArea": "DK1", "CO2Emission": 90 + slot.minute}
        for slot in slots(start, min(end, last), FIVE)
    ]
    return {"total": len(rows), "records": rows}


def electricity_maps(path: str) -> Any:
    """A key that may ask for everything; the last hour is estimated."""
    if urlsplit(path).path == "/v4/zones":
        access = [f"carbon-intensity/{what}" for what in ("latest", "history", "past-range", "forecast")]
        return {zone: {"zoneName": zone, "zoneKey": zone, "access": access} for zone in ("DE", "FR")}
    asked = query(path)
    if "horizonHours" in asked:
        hours = slots(floor(NOW, HOUR), floor(NOW, HOUR) + (int(asked["horizonHours"]) + 1) * HOUR, HOUR)
        ahead = [
            {"carbonIntensity": 200 + slot.hour, "datetime": f"{slot:%Y-%m-%dT%H:%M:%S}.000Z"}
            for slot in hours
        ]
        updated = f"{NOW:%Y-%m-%dT%H:%M:%S}.000Z"
        return {"zone": "DE", "forecast": ahead, "updatedAt": updated, "temporalGranularity": "hourly"}
    day = {"start": (floor(NOW, HOUR) - 23 * HOUR).isoformat(), "end": (floor(NOW, HOUR) + HOUR).isoformat()}
    start, end = (datetime.fromisoformat((day | asked)[name]) for name in ("start", "end"))
    rows = [
        {
            "zone": "DE",
            "carbonIntensity": 210 + slot.hour,
            "datetime": f"{slot:%Y-%m-%dT%H:%M:%S}.000Z",
            "emissionFactorType": "lifecycle",
            "flowTraced": True,
            "isEstimated": slot > NOW - HOUR,
            "estimationMethod": "FORECASTS_HIERARCHY" if slot > NOW - HOUR else None,
        }
        for slot in slots(start, min(end, NOW), HOUR)
    ]
    return {"zone": "DE", "temporalGranularity": "hourly", "data": rows}


def watttime(path: str) -> Any:
    if path == "/login":
        return {"token": TOKEN}
    asked, now = query(path), floor(NOW, FIVE)
    if "horizon_hours" in asked:
        ahead = slots(now, now + int(asked["horizon_hours"]) * HOUR, FIVE)
    else:
        last = min(datetime.fromisoformat(asked["end"]), now - 2 * FIVE)
        ahead = slots(datetime.fromisoformat(asked["start"]), last + FIVE, FIVE)
    return {
        "data": [{"point_time": slot.isoformat(), "value": 900.0 + slot.minute} for slot in ahead],
        "meta": {
            "data_point_period_seconds": 300,
            "region": "CAISO_NORTH",
            "warnings": [],
            "signal_type": "co2_moer",
            "model": {"date": "2023-03-01"},
            "units": "lbs_co2_per_mwh",
            "generated_at": now.isoformat(),
        },
    }


def carbon_aware_sdk(path: str) -> Any:
    asked = query(path)
    if "windowSize" not in asked:
        start, end = (datetime.fromisoformat(asked[name]) for name in ("time", "toTime"))
        past = slots(start, min(end + FIVE, floor(NOW, FIVE)), FIVE)
        return [
            {"location": "eastus", "time": slot.isoformat(), "rating": 300 + slot.minute} for slot in past
        ]
    now = floor(NOW, FIVE)
    ahead = [
        {"location": "eastus", "timestamp": slot.isoformat(), "duration": 5, "value": 310 + slot.minute}
        for slot in slots(now, now + 24 * HOUR, FIVE)
    ]
    return [
        {
            "requestedAt": NOW.isoformat(),
            "generatedAt": now.isoformat(),
            "location": "eastus",
            "dataStartAt": now.isoformat(),
            "dataEndAt": (now + 24 * HOUR).isoformat(),
            "windowSize": 5,
            "optimalDataPoint": ahead[0],
            "forecastData": ahead,
        }
    ]


def _em_rows(body: Any) -> tuple[Any, Any]:
    return body, "forecast" if "forecast" in body else "data"


def _sdk_moved(body: Any) -> Any:
    return [one | {"location": "westus"} for one in body]


APIS = {
    "neso": Api(
        source=lambda url: NesoGrid(base_url=url),
        zone="GB",
        answer=neso,
        rows=lambda body: (body, "data"),
        value_keys=("intensity",),
        moved=None,
    ),
    "energy_charts": Api(
        source=lambda url: EnergyChartsGrid(base_url=url),
        zone="DE",
        answer=energy_charts,
        rows=lambda body: (body, "co2eq_forecast"),
        value_keys=(),
        moved=None,
    ),
    "energinet": Api(
        source=lambda url: EnerginetGrid(base_url=url),
        zone="DK-DK1",
        answer=energinet,
        rows=lambda body: (body, "records"),
        value_keys=("CO2Emission",),
        moved=lambda body: body | {"records": [row | {"PriceArea": "DK2"} for row in body["records"]]},
    ),
    "electricity_maps": Api(
        source=lambda url: ElectricityMapsGrid(api_key=KEY, base_url=url),
        zone="DE",
        answer=electricity_maps,
        rows=_em_rows,
        value_keys=("carbonIntensity",),
        moved=lambda body: body | {"zone": "FR"},
        at_the_door="/v4/zones",
    ),
    "watttime": Api(
        source=lambda url: WattTimeGrid(username=USER, password=PASSWORD, base_url=url),
        zone="US-CAL-CISO",
        answer=watttime,
        rows=lambda body: (body, "data"),
        value_keys=("value",),
        moved=lambda body: body | {"meta": body["meta"] | {"region": "PSCO"}},
        at_the_door="/login",
    ),
    "carbon_aware_sdk": Api(
        source=lambda url: CarbonAwareSdkGrid(
            base_url=url, locations={"US-MIDA-PJM": "eastus", "US-CAL-CISO": "westus"}
        ),
        zone="US-MIDA-PJM",
        answer=carbon_aware_sdk,
        rows=lambda body: (body[0], "forecastData") if body and "forecastData" in body[0] else ([body], 0),
        value_keys=("rating", "value"),
        moved=_sdk_moved,
    ),
}
