"""Marginal emissions as WattTime models them, every five minutes, with an account."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import urlsplit

from pydantic import Field, SecretStr

from carbon_policy.domain.errors import SourceUnavailableError, WrongZoneError
from carbon_policy.domain.signal import FactorKind, IntensitySeries, SignalKind
from carbon_policy.domain.times import parse_moment
from carbon_policy.grid.client import get_json
from carbon_policy.grid.http_errors import HttpStatusError
from carbon_policy.grid.rows import Row, assemble, from_slot
from carbon_policy.grid.slots import floor, grams
from carbon_policy.grid.source import BaseUrl, Capabilities, GridSource, checked_range
from carbon_policy.grid.watttime_regions import REGIONS, region_of

_NAME = "watttime"
_SLOT = timedelta(minutes=5)
_LONGEST_RANGE = timedelta(days=30)
_TTL_S = _SLOT.total_seconds()
_SHORTEST_TTL_S = 10.0
# A token holds for 30 min; one that is younger than this is used for a question that may take a while.
_TOKEN_TTL_S = 25 * 60.0
_SIGNAL = "co2_moer"
_UNITS = "lbs_co2_per_mwh"
_GRAMS_PER_LB_MWH = 0.45359237
"""lb/MWh to g/kWh."""


class WattTimeGrid(GridSource):
    """The v3 API of WattTime: what one more kWh emits, by the marginal plants of a region.

    Marginal values are never mixed with average ones. Free accounts have the region CAISO_NORTH only. WattTime
    names its own regions: `regions` says which one stands for a zone, where the table does not.

    Example:
        ```python
        from carbon_policy.grid.watttime import WattTimeGrid

        WattTimeGrid(username="someone", password="a password", regions={"US-MIDA-PJM": "PJM_DC"}).save("usa")
        watttime_grid = WattTimeGrid.load("BLOCK_NAME")
        ```
    """

    _block_type_name: ClassVar[str] = "Carbon WattTime Grid"
    _block_type_slug: ClassVar[str] = "carbon-watttime-grid"
    _description: ClassVar[str] = (
        "Marginal carbon intensity, measured and up to three days ahead; with an account at WattTime."
    )

    username: SecretStr = Field(description="The account's user name.")
    password: SecretStr = Field(description="The account's password.")
    base_url: BaseUrl = Field(
        default="https://api.watttime.org", description="Where the API is, without a path."
    )
    regions: dict[str, str] = Field(
        default_factory=dict, description="Zone to WattTime's region, such as US-MIDA-PJM to PJM_DC."
    )
    horizon_hours: int = Field(default=72, ge=1, le=72, description="How far to ask ahead, 1 to 72 h.")

    def capabilities(self) -> Capabilities:
        """What this source can be asked."""
        return Capabilities(
            name=_NAME,
            zones=tuple(sorted({**REGIONS, **self.regions})),
            horizon=timedelta(hours=self.horizon_hours),
            needs_key=True,
            signal=SignalKind.MARGINAL,
            factors=FactorKind.DIRECT,
            live=True,
            attribution="WattTime; proprietary, as the account's terms say.",
        )

    def history(self, zone: str, start: datetime, end: datetime) -> IntensitySeries:
        """The slots that overlap `start` to `end`, UTC; the newest may not be known yet."""
        region = region_of(zone, self.regions)
        start, end = checked_range(start, end)
        first, rows, said = floor(start, _SLOT), list[Row](), list[str]()
        end_of_last = floor(end - timedelta(microseconds=1), _SLOT) + _SLOT
        while first < end_of_last:
            last = min(first + _LONGEST_RANGE, end_of_last)
            # Both ends are in the answer: the last slot begins five minutes before the end.
            params = {"start": first.isoformat(), "end": (last - _SLOT).isoformat()}
            answer = self._ask("/v3/historical", region, params, _TTL_S)
            rows += _rows(answer)
            said += _told(answer)
            first = last
        inside = [row for row in rows if start < row.start + _SLOT and row.start < end]
        says = [
            "Modelled by WattTime from what was measured, as far as it is known yet.",
            *dict.fromkeys(said),
        ]
        return self._series(zone, region, inside, says)

    def forecast(self, zone: str, now: datetime) -> IntensitySeries:
        """What is expected from the five minutes that contain `now`, UTC, for `horizon_hours`."""
        region, now = region_of(zone, self.regions), parse_moment(now)
        first = floor(now, _SLOT)
        ttl_s = max(_SHORTEST_TTL_S, (first + _SLOT - now).total_seconds())
        answer = self._ask("/v3/forecast", region, {"horizon_hours": self.horizon_hours}, ttl_s)
        ahead = from_slot(_rows(answer), first, _name_of(zone, region))
        issued_at = min(_issued_at(answer), now)
        return self._series(zone, region, ahead, ["Forecast by WattTime.", *_told(answer)], issued_at)

    def source_name(self, zone: str) -> str:
        """`watttime`, with the region where a team has chosen it."""
        return _name_of(zone, region_of(zone, self.regions))

    def _ask(
        self, path: str, region: str, params: Mapping[str, str | int], ttl_s: float
    ) -> Mapping[str, Any]:
        """An answer that is of the region, the signal and the units that were asked for."""
        url = f"{self.base_url}{path}"
        asked = {"region": region, "signal_type": _SIGNAL, **params}
        bearer = self._bearer()
        try:
            answer = get_json(url, asked, ttl_s=ttl_s, headers=bearer)
        except HttpStatusError as error:
            # A token that has lapsed is refused with a web page; a plan that lacks something, with JSON.
            if error.status != 401 and not (error.status == 403 and error.html):
                raise self._explained(error, region) from error
            answer = self._ask_anew(url, asked, region, ttl_s)
        _refuse_others(answer, region)
        return answer  # type: ignore[no-any-return]

    def _ask_anew(self, url: str, asked: Mapping[str, str | int], region: str, ttl_s: float) -> Any:
        bearer = self._bearer(afresh=True)
        try:
            return get_json(url, asked, ttl_s=ttl_s, headers=bearer)
        except HttpStatusError as error:
            raise self._explained(error, region) from error

    def _bearer(self, *, afresh: bool = False) -> dict[str, SecretStr]:
        try:
            answer = get_json(
                f"{self.base_url}/login",
                ttl_s=_TOKEN_TTL_S,
                auth=(self.username, self.password),
                afresh=afresh,
            )
        except HttpStatusError as error:
            if error.status not in (401, 403):
                raise error.saying(f"{_NAME}, at its login: {error}") from error
            raise error.saying(
                f"{_NAME}: {self._host} does not take the user name and the password (HTTP {error.status});"
                " correct username and password."
            ) from error
        token = answer.get("token") if isinstance(answer, dict) else None
        if not isinstance(token, str) or not token:
            raise SourceUnavailableError(f"{_NAME}: {self._host} gave no token at its login; check base_url.")
        return {"Authorization": SecretStr(f"Bearer {token}")}

    @property
    def _host(self) -> str | None:
        return urlsplit(self.base_url).hostname

    def _explained(self, error: HttpStatusError, region: str) -> HttpStatusError:
        if error.status in (401, 403) or "scope" in error.said.lower():
            said = f" ({error.said})" if error.said else ""
            return error.saying(
                f"{_NAME}: the account may not have {_SIGNAL} of {region}: {self._host} answered"
                f" HTTP {error.status}{said}; free accounts have CAISO_NORTH only. Change the plan or the region."
            )
        return error.saying(f"{_NAME}: {error}")

    def _series(
        self, zone: str, region: str, rows: list[Row], says: list[str], issued_at: datetime | None = None
    ) -> IntensitySeries:
        name = _name_of(zone, region)
        fields = assemble(rows, _SLOT, name, "last" if issued_at is None else "first").as_fields()
        return IntensitySeries(
            zone=zone,
            step=_SLOT,
            source=name,
            signal=SignalKind.MARGINAL,
            factors=FactorKind.DIRECT,
            issued_at=issued_at,
            provenance=(
                *says,
                f"Asked at {self._host}: WattTime's region {region} stands for {zone}.",
                "Marginal: what one more kWh emits, CO2 of operation; lb/MWh made g/kWh.",
                self.capabilities().attribution,
            ),
            **fields,
        )


def _name_of(zone: str, region: str) -> str:
    """What a series is called; where a team chose the region, the two must not be taken for one series."""
    return _NAME if REGIONS.get(zone) == region else f"{_NAME} {region}"


def _unknown_shape(error: Exception) -> SourceUnavailableError:
    return SourceUnavailableError(
        f"{_NAME} answered in a shape that is not known here ({type(error).__name__}: {error});"
        " check base_url, or name another source."
    )


def _refuse_others(answer: Any, region: str) -> None:
    try:
        meta = answer["meta"]
        told = (meta["region"], meta["signal_type"], meta["units"], meta["data_point_period_seconds"])
    except (KeyError, TypeError) as error:
        raise _unknown_shape(error) from error
    wanted = (region, _SIGNAL, _UNITS, _SLOT.total_seconds())
    for name, is_told, is_wanted in zip(
        ("region", "signal", "units", "period, s"), told, wanted, strict=True
    ):
        if is_told != is_wanted:
            refused = WrongZoneError if name == "region" else SourceUnavailableError
            raise refused(
                f"{_NAME} answered for another {name}, {is_told} instead of {is_wanted};"
                " check base_url and regions, or name another source."
            )


def _rows(answer: Mapping[str, Any]) -> list[Row]:
    try:
        return [_row(row) for row in answer["data"]]
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise _unknown_shape(error) from error


def _row(row: Mapping[str, Any]) -> Row:
    start = parse_moment(row["point_time"])
    if start != floor(start, _SLOT):
        raise ValueError(f"{row['point_time']} is no start of five minutes")
    lb_per_mwh = grams(row["value"])
    value = None if lb_per_mwh is None else lb_per_mwh * _GRAMS_PER_LB_MWH
    return Row(start, value, bool(row.get("imputed_data_used")))


def _issued_at(answer: Mapping[str, Any]) -> datetime:
    try:
        return parse_moment(answer["meta"]["generated_at"])
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        raise _unknown_shape(error) from error


def _told(answer: Mapping[str, Any]) -> list[str]:
    """The model, and what WattTime itself warns of, one sentence each."""
    meta = answer["meta"]
    model = meta.get("model")
    told = [f"By its model of {model['date']}."] if isinstance(model, dict) and "date" in model else []
    for warning in meta.get("warnings") or ():
        text = warning.get("message") if isinstance(warning, dict) else warning
        told.append(f"WattTime warns: {str(text).strip().rstrip('.')}.")
    return told
