"""Denmark's two grids as its operator publishes them, every five minutes and without an account."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import urlsplit

from pydantic import Field

from carbon_policy.domain.errors import SourceUnavailableError, WrongZoneError
from carbon_policy.domain.signal import BasisKind, FactorKind, IntensitySeries, SignalKind
from carbon_policy.domain.times import parse_moment
from carbon_policy.grid.client import get_json
from carbon_policy.grid.rows import Row, assemble, from_slot, within
from carbon_policy.grid.slots import floor, grams
from carbon_policy.grid.source import BaseUrl, Capabilities, GridSource, checked_range

_SLOT = timedelta(minutes=5)
_HORIZON = timedelta(hours=36)
_LONGEST_RANGE = timedelta(days=10)
# `start` and `end` are read as Danish time, which is ahead of UTC by an hour or two.
_DANISH_TIME = timedelta(hours=2)
_TTL_S = _SLOT.total_seconds()
_AREAS = {"DK-DK1": "DK1", "DK-DK2": "DK2"}


class EnerginetGrid(GridSource):
    """Energi Data Service of Energinet, for `DK-DK1` (west of the Great Belt) and `DK-DK2` (east).

    Five minutes, to the end of the next day, gCO2 of operation of what is consumed.

    Example:
        ```python
        from carbon_policy.grid.energinet import EnerginetGrid

        EnerginetGrid().save("denmark")
        energinet_grid = EnerginetGrid.load("BLOCK_NAME")
        ```
    """

    _block_type_name: ClassVar[str] = "Carbon Energinet Grid"
    _block_type_slug: ClassVar[str] = "carbon-energinet-grid"
    _description: ClassVar[str] = (
        "Carbon intensity of Denmark, measured and forecast; free and without a key."
    )

    base_url: BaseUrl = Field(
        default="https://api.energidataservice.dk", description="Where the API is, without a path."
    )

    def capabilities(self) -> Capabilities:
        """What this source can be asked."""
        return Capabilities(
            name="energinet",
            zones=tuple(_AREAS),
            horizon=_HORIZON,
            factors=FactorKind.DIRECT,
            basis=BasisKind.CONSUMPTION,
            live=True,
            attribution="Energinet, Energi Data Service.",
        )

    def history(self, zone: str, start: datetime, end: datetime) -> IntensitySeries:
        """The measured slots that overlap `start` to `end`, UTC; the newest may not be known yet."""
        self._refuse_other_zones(zone)
        start, end = checked_range(start, end)
        first, rows = floor(start, _SLOT), list[Row]()
        while first < end:
            last = min(first + _LONGEST_RANGE, end)
            rows += within(self._ask("CO2Emis", zone, first, last), _SLOT, first, last)
            first = last
        return self._series(zone, rows, "Measured by Energinet, as far as it is known yet.")

    def forecast(self, zone: str, now: datetime) -> IntensitySeries:
        """What is expected from the five minutes that contain `now`, UTC, to the end of the next day."""
        self._refuse_other_zones(zone)
        first = floor(parse_moment(now), _SLOT)
        rows = self._ask("CO2EmisProg", zone, first, first + _HORIZON + timedelta(hours=12))
        ahead = from_slot(rows, first, "energinet")
        return self._series(zone, ahead, "Forecast by Energinet.", issued_at=first)

    def _ask(self, dataset: str, zone: str, start: datetime, end: datetime) -> list[Row]:
        area = _AREAS[zone]
        params: dict[str, str | int] = {
            "start": f"{start:%Y-%m-%dT%H:%M}",
            "end": f"{end + _DANISH_TIME:%Y-%m-%dT%H:%M}",
            # Without these two: a hundred rows, the newest first.
            "limit": 0,
            "sort": "Minutes5UTC ASC",
            "filter": json.dumps({"PriceArea": [area]}),
        }
        answer = get_json(f"{self.base_url}/dataset/{dataset}", params, ttl_s=_TTL_S)
        try:
            return [
                Row(_slot(row), grams(row["CO2Emission"])) for row in answer["records"] if _is_of(row, area)
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise SourceUnavailableError(
                f"energinet answered in a shape that is not known here ({type(error).__name__}: {error});"
                " check base_url, or name another source."
            ) from error

    def _series(
        self,
        zone: str,
        rows: list[Row],
        says: str,
        issued_at: datetime | None = None,
    ) -> IntensitySeries:
        fields = assemble(rows, _SLOT, "energinet", "last" if issued_at is None else "first").as_fields()
        return IntensitySeries(
            zone=zone,
            step=_SLOT,
            source="energinet",
            signal=SignalKind.AVERAGE,
            factors=FactorKind.DIRECT,
            basis=BasisKind.CONSUMPTION,
            issued_at=issued_at,
            provenance=(
                f"{says} Asked at {urlsplit(self.base_url).hostname}, {_AREAS[zone]}.",
                "Energinet's figures are of operation: gCO2, not gCO2e of a life cycle.",
                self.capabilities().attribution,
            ),
            **fields,
        )


def _is_of(row: Any, area: str) -> bool:
    if row["PriceArea"] != area:
        raise WrongZoneError(
            f"energinet answered for {row['PriceArea']} instead of {area}; check base_url, or name another source."
        )
    return True


def _slot(row: Any) -> datetime:
    """The start of a row's slot; the API writes UTC without saying so."""
    start = datetime.fromisoformat(row["Minutes5UTC"]).replace(tzinfo=UTC)
    if start != floor(start, _SLOT):
        raise ValueError(f"{row['Minutes5UTC']} is no start of five minutes")
    return start
