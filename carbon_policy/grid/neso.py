"""Great Britain's grid as its operator publishes it, every half hour and without an account."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from carbon_policy.domain.errors import InvalidInputError, SourceUnavailableError, WrongZoneError
from carbon_policy.domain.signal import BasisKind, FactorKind, IntensitySeries, SignalKind
from carbon_policy.domain.times import parse_moment
from carbon_policy.grid.client import get_json
from carbon_policy.grid.rows import Row, assemble, from_slot, within
from carbon_policy.grid.slots import floor, grams
from carbon_policy.grid.source import BaseUrl, Capabilities, GridSource, checked_range

_SLOT = timedelta(minutes=30)
_LONGEST_RANGE = timedelta(days=14)
_HORIZON = timedelta(hours=48)
# Forecasts and actuals change once a half hour; to ask more often would be no use to us and a burden to them.
_TTL_S = _SLOT.total_seconds()


class NesoGrid(GridSource):
    """The Carbon Intensity API of the National Energy System Operator, for `GB`.

    Half hours, 48 h ahead, by generation factors: gCO2 of operation, not gCO2e of a life cycle.
    Regional figures are forecasts only; their history is not published. Old forecasts are not kept: of
    a `now` in the past, the API gives the last forecast that was made.

    Example:
        ```python
        from carbon_policy.grid.neso import NesoGrid

        NesoGrid().save("gb")
        neso_grid = NesoGrid.load("BLOCK_NAME")
        ```
    """

    _block_type_name: ClassVar[str] = "Carbon NESO Grid"
    _block_type_slug: ClassVar[str] = "carbon-neso-grid"
    _description: ClassVar[str] = (
        "Carbon intensity of Great Britain, measured and forecast; free and without a key."
    )

    base_url: BaseUrl = Field(
        default="https://api.carbonintensity.org.uk", description="Where the API is, without a path."
    )
    regionid: int | None = Field(
        default=None, ge=1, le=17, description="A region's number, 1 to 17, instead of the national figures."
    )
    postcode: str | None = Field(
        default=None,
        description="The first half of a postcode, such as RG10, instead of the national figures.",
    )

    @field_validator("postcode")
    @classmethod
    def _is_outward(cls, postcode: str | None) -> str | None:
        if postcode is not None and not (2 <= len(postcode) <= 4 and postcode.isalnum()):
            raise InvalidInputError(f"{postcode!r} is not the first half of a postcode; write RG10.")
        # One place has one name, however it was written.
        return None if postcode is None else postcode.upper()

    @model_validator(mode="after")
    def _is_one_place(self) -> Self:
        if self.regionid is not None and self.postcode is not None:
            raise InvalidInputError("A region and a postcode are two places; give one of them.")
        return self

    def capabilities(self) -> Capabilities:
        """What this source can be asked."""
        return Capabilities(
            name=self._name,
            zones=("GB",),
            horizon=_HORIZON,
            factors=FactorKind.DIRECT,
            basis=BasisKind.CONSUMPTION,
            live=True,
            attribution="NESO Carbon Intensity API, CC BY 4.0.",
        )

    def history(self, zone: str, start: datetime, end: datetime) -> IntensitySeries:
        """The measured half hours that overlap `start` to `end`, UTC; the newest may not be known yet."""
        self._refuse_other_zones(zone)
        start, end = checked_range(start, end)
        if self._place:
            raise SourceUnavailableError(
                "neso measures no region, only the nation; leave out `regionid` and `postcode` for history."
            )
        first, rows = floor(start, _SLOT), list[Row]()
        while first < end:
            last = min(first + _LONGEST_RANGE, floor(end - timedelta(microseconds=1), _SLOT) + _SLOT)
            answer = self._ask(f"/intensity/{_just_after(first)}/{_written(last)}")
            rows += within(_values(answer, "actual"), _SLOT, first, last)
            first = last
        return self._series(zone, rows, "Measured by NESO, as far as it is known yet.")

    def forecast(self, zone: str, now: datetime) -> IntensitySeries:
        """What is expected from the half hour that contains `now`, UTC, for 48 h."""
        self._refuse_other_zones(zone)
        first = floor(parse_moment(now), _SLOT)
        place = "/regional" if self._place else ""
        answer = self._ask(f"{place}/intensity/{_just_after(first)}/fw48h{self._place}")
        rows = _values(answer, "forecast")
        self._refuse_other_region(answer)
        ahead = from_slot(rows, first, self._name)
        # No issue time is published; a new forecast is made every half hour.
        says = "Forecast by NESO, renewed every half hour."
        return self._series(zone, ahead, says, issued_at=first)

    @property
    def _name(self) -> str:
        """Of a region its own: what a store keeps under one name is taken for one series."""
        if self.regionid is not None:
            return f"neso region {self.regionid}"
        return f"neso postcode {self.postcode}" if self.postcode is not None else "neso"

    @property
    def _place(self) -> str:
        if self.regionid is not None:
            return f"/regionid/{self.regionid}"
        return f"/postcode/{self.postcode}" if self.postcode is not None else ""

    def _refuse_other_region(self, answer: Any) -> None:
        """Refuse an answer that names another region; by postcode, which region it is is not known here."""
        data = answer["data"]
        place = data[0] if isinstance(data, list) else data
        told = place.get("regionid")
        if self.regionid is not None and told is not None and str(told) != str(self.regionid):
            raise WrongZoneError(
                f"neso answered for region {told} instead of {self.regionid};"
                " check base_url and regionid, or name another source."
            )

    def _ask(self, path: str) -> Any:
        return get_json(f"{self.base_url}{path}", ttl_s=_TTL_S)

    def _series(
        self,
        zone: str,
        rows: list[Row],
        says: str,
        issued_at: datetime | None = None,
    ) -> IntensitySeries:
        fields = assemble(rows, _SLOT, self._name, "last" if issued_at is None else "first").as_fields()
        host = urlsplit(self.base_url).hostname
        return IntensitySeries(
            zone=zone,
            step=_SLOT,
            source=self._name,
            signal=SignalKind.AVERAGE,
            factors=FactorKind.DIRECT,
            basis=BasisKind.CONSUMPTION,
            issued_at=issued_at,
            provenance=(
                f"{says} Asked at {host}{self._place}.",
                "NESO's factors are of generation: gCO2 of operation, not gCO2e of a life cycle.",
                self.capabilities().attribution,
            ),
            **fields,
        )


def _written(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%MZ")


def _just_after(slot: datetime) -> str:
    """A minute into a slot: asked from its very start, the API begins with the slot before."""
    return _written(slot + timedelta(minutes=1))


def _values(answer: Any, kind: Literal["forecast", "actual"]) -> list[Row]:
    try:
        return [Row(_slot(row), grams(row["intensity"][kind])) for row in _rows(answer)]
    except (KeyError, TypeError, ValueError) as error:
        raise SourceUnavailableError(
            f"neso answered in a shape that is not known here ({type(error).__name__}: {error});"
            " check base_url, or name another source."
        ) from error


def _rows(answer: Any) -> Iterable[Any]:
    """The rows of a national answer (a list), or of a regional one (a place, or a list of one, that holds them)."""
    data = answer["data"]
    if isinstance(data, list) and len(data) == 1 and "data" in data[0]:
        data = data[0]
    if isinstance(data, dict):
        data = data["data"]
    if not isinstance(data, list) or not data:
        raise ValueError("no rows")
    return data


def _slot(row: Any) -> datetime:
    start, end = datetime.fromisoformat(row["from"]), datetime.fromisoformat(row["to"])
    if end - start != _SLOT or start != floor(start, _SLOT):
        raise ValueError(f"{row['from']} to {row['to']} is no half hour")
    return start
