"""Nearly every grid of the world as Electricity Maps publishes it, every hour, with a key."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr

from carbon_policy.domain.errors import SourceUnavailableError
from carbon_policy.domain.signal import FactorKind, IntensitySeries, SignalKind
from carbon_policy.domain.times import parse_moment
from carbon_policy.grid.client import get_json
from carbon_policy.grid.electricity_maps_body import NAME, SLOT, Body, access_of, allows, is_of_the_plan, read
from carbon_policy.grid.http_errors import HttpStatusError
from carbon_policy.grid.rows import Row, assemble, from_slot
from carbon_policy.grid.slots import floor
from carbon_policy.grid.source import BaseUrl, Capabilities, GridSource, checked_range

_HORIZON_HOURS = 72
_SHORT_HORIZON_HOURS = 24
_LONGEST_RANGE = timedelta(days=10)
_FORECAST, _HISTORY, _PAST_RANGE = (
    f"carbon-intensity/{what}" for what in ("forecast", "history", "past-range")
)
_TTL_S = SLOT.total_seconds()
# The 24 h of `history` have no range in their question; kept for an hour, the newest slot would come an hour late.
_HISTORY_TTL_S = 900.0
_SHORTEST_TTL_S = 60.0
_KINDS = {"lifecycle": FactorKind.LIFE_CYCLE, "direct": FactorKind.DIRECT}


class ElectricityMapsGrid(GridSource):
    """The API of Electricity Maps, v3 or v4, for all its zones.

    Average intensity of what is consumed: flows between zones are traced. What a key may ask for differs by
    plan; the API's own list is asked first, and a message names what is not in it. Sandbox keys, whose
    values are made up, are refused.

    Example:
        ```python
        from carbon_policy.grid.electricity_maps import ElectricityMapsGrid

        ElectricityMapsGrid(api_key="the key").save("world")
        electricity_maps_grid = ElectricityMapsGrid.load("BLOCK_NAME")
        ```
    """

    _block_type_name: ClassVar[str] = "Carbon Electricity Maps Grid"
    _block_type_slug: ClassVar[str] = "carbon-electricity-maps-grid"
    _description: ClassVar[str] = (
        "Carbon intensity of nearly every grid of the world, measured and up to three days ahead; with a key."
    )

    api_key: SecretStr = Field(description="The key, which is sent as the header auth-token.")
    base_url: BaseUrl = Field(
        default="https://api.electricitymaps.com", description="Where the API is, without a path."
    )
    api_version: Literal["v3", "v4"] = Field(default="v4", description="The API's version, v3 or v4.")
    emission_factor_type: Literal["lifecycle", "direct"] = Field(
        default="lifecycle", description="Factors of a plant's whole life, or of its operation only (direct)."
    )

    def capabilities(self) -> Capabilities:
        """What this source can be asked."""
        return Capabilities(
            name=NAME,
            horizon=timedelta(hours=_HORIZON_HOURS),
            needs_key=True,
            factors=_KINDS[self.emission_factor_type],
            live=True,
            attribution="Electricity Maps; its terms allow no redistribution without an agreement.",
        )

    def history(self, zone: str, start: datetime, end: datetime) -> IntensitySeries:
        """The slots that overlap `start` to `end`, UTC; the newest are estimates, or not known yet.

        Where the key's plan has no ranges, the last 24 h are all there is.
        """
        start, end = checked_range(start, end)
        access = self._access(zone)
        says = ["Measured or estimated by Electricity Maps, as far as it is known yet."]
        bodies: list[Body] = []
        if allows(access, _PAST_RANGE):
            try:
                bodies = self._past_range(zone, start, end)
            except HttpStatusError as error:
                if not is_of_the_plan(error) or not allows(access, _HISTORY):
                    raise self._explained(error, zone, _PAST_RANGE) from error
                says.append(
                    f"{_PAST_RANGE} was refused (HTTP {error.status}), so the last 24 h were asked for."
                )
        if not bodies:
            self._refuse_lacking(access, zone, _HISTORY)
            bodies = [self._ask(_HISTORY, zone, {}, _HISTORY_TTL_S)]
            says.append("The key has the last 24 h only.")
        inside = [row for body in bodies for row in body.rows if start < row.start + SLOT and row.start < end]
        if not inside and len(says) > 1:
            raise SourceUnavailableError(
                f"{NAME}: the key has no {_PAST_RANGE} for {zone}, and the last 24 h are not of"
                f" {start.isoformat()} to {end.isoformat()}; ask Electricity Maps for it, or name another source."
            )
        return self._series(zone, bodies, inside, says)

    def forecast(self, zone: str, now: datetime) -> IntensitySeries:
        """What is expected from the hour that contains `now`, UTC, for 72 h, or 24 h where the plan says so."""
        now = parse_moment(now)
        first = floor(now, SLOT)
        self._refuse_lacking(self._access(zone), zone, _FORECAST)
        # Kept until the hour ends: then there is a new slot at the end.
        ttl_s = max(_SHORTEST_TTL_S, (first + SLOT - now).total_seconds())
        says = [
            "Forecast by Electricity Maps; when its model ran is not said, so the answer's time stands for it."
        ]
        try:
            body = self._ask(_FORECAST, zone, {"horizonHours": _HORIZON_HOURS}, ttl_s)
        except HttpStatusError as error:
            if not is_of_the_plan(error):
                raise
            body = self._ask(_FORECAST, zone, {"horizonHours": _SHORT_HORIZON_HOURS}, ttl_s)
            says.append(f"{_HORIZON_HOURS} h were refused (HTTP {error.status}), so 24 h were asked for.")
        issued_at = min(body.updated_at or first, now)
        return self._series(zone, [body], from_slot(body.rows, first, NAME), says, issued_at)

    def _past_range(self, zone: str, start: datetime, end: datetime) -> list[Body]:
        first, bodies = floor(start, SLOT), list[Body]()
        end = floor(end - timedelta(microseconds=1), SLOT) + SLOT
        while first < end:
            last = min(first + _LONGEST_RANGE, end)
            # Not `_ask`: what this refusal means is decided where another endpoint may stand in.
            bodies.append(
                self._get(_PAST_RANGE, zone, {"start": _written(first), "end": _written(last)}, _TTL_S)
            )
            first = last
        return bodies

    def _access(self, zone: str) -> frozenset[str] | None:
        url = f"{self.base_url}/{self.api_version}/zones"
        try:
            answer = get_json(url, ttl_s=_TTL_S, headers=self._headers)
        except HttpStatusError as error:
            if is_of_the_plan(error):
                return None  # A host that has no such list; what is asked for will show.
            raise self._explained(error, zone, "zones") from error
        return access_of(answer, zone)

    def _ask(self, what: str, zone: str, params: Mapping[str, str | int], ttl_s: float) -> Body:
        try:
            return self._get(what, zone, params, ttl_s)
        except HttpStatusError as error:
            raise self._explained(error, zone, what) from error

    def _get(self, what: str, zone: str, params: Mapping[str, str | int], ttl_s: float) -> Body:
        asked: dict[str, str | int] = {
            "zone": zone,
            # Of a zone that it does not find, the API would take that of the asker's address.
            "disableCallerLookup": "true",
            "emissionFactorType": self.emission_factor_type,
            **params,
        }
        url = f"{self.base_url}/{self.api_version}/{what}"
        return read(get_json(url, asked, ttl_s=ttl_s, headers=self._headers), zone, self.emission_factor_type)

    @property
    def _headers(self) -> dict[str, SecretStr]:
        return {"auth-token": self.api_key}

    def _refuse_lacking(self, access: frozenset[str] | None, zone: str, what: str) -> None:
        if not allows(access, what):
            has = ", ".join(sorted(name for name in access or () if name.startswith("carbon-intensity/")))
            raise SourceUnavailableError(
                f"{NAME}: the key has no {what} for {zone} (it has {has or 'no carbon intensity'});"
                " ask Electricity Maps for it, or name another source."
            )

    def _explained(self, error: HttpStatusError, zone: str, what: str) -> HttpStatusError:
        """A refusal in words that say whether it is the key or the plan."""
        host = urlsplit(self.base_url).hostname
        said = f" ({error.said})" if error.said else ""
        if error.status in (401, 402, 403) and is_of_the_plan(error):
            return error.saying(
                f"{NAME}: the key's plan has no {what} for {zone}: {host} answered HTTP {error.status}{said};"
                " ask Electricity Maps for it, or name another source."
            )
        if error.status in (401, 403):
            return error.saying(
                f"{NAME}: {host} does not take the key (HTTP {error.status}{said}); set api_key to one that is good."
            )
        return error.saying(f"{NAME}: {error}")

    def _series(
        self,
        zone: str,
        bodies: list[Body],
        rows: list[Row],
        says: list[str],
        issued_at: datetime | None = None,
    ) -> IntensitySeries:
        bases = {body.basis for body in bodies}
        if len(bases) > 1:
            raise SourceUnavailableError(f"{NAME} traced flows in one part of its answer only; try later.")
        host = urlsplit(self.base_url).hostname
        fields = assemble(rows, SLOT, NAME, "last" if issued_at is None else "first").as_fields()
        return IntensitySeries(
            zone=zone,
            step=SLOT,
            source=NAME,
            signal=SignalKind.AVERAGE,
            factors=_KINDS[self.emission_factor_type],
            basis=bases.pop(),
            issued_at=issued_at,
            provenance=(
                *says,
                f"Asked at {host}, {self.api_version}, with {self.emission_factor_type} factors.",
                self.capabilities().attribution,
            ),
            **fields,
        )


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
