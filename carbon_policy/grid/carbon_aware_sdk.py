"""The Green Software Foundation's Carbon Aware SDK, where a team runs its web API itself."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from carbon_policy.domain.errors import (
    InvalidInputError,
    SourceUnavailableError,
    UnknownZoneError,
    WrongZoneError,
)
from carbon_policy.domain.signal import BasisKind, FactorKind, IntensitySeries, SignalKind
from carbon_policy.domain.times import Duration, format_duration, parse_moment
from carbon_policy.grid.client import get_json
from carbon_policy.grid.http_errors import HttpStatusError
from carbon_policy.grid.rows import Row, assemble, from_slot
from carbon_policy.grid.slots import floor, grams
from carbon_policy.grid.source import BaseUrl, Capabilities, GridSource, checked_range

_NAME = "carbon-aware-sdk"
_LONGEST_RANGE = timedelta(days=10)
_MINUTE = timedelta(minutes=1)
_SHORTEST_TTL_S = 10.0


class CarbonAwareSdkGrid(GridSource):
    """The web API of the Carbon Aware SDK, with WattTime, Electricity Maps or a file of a team's own behind it.

    Its answers do not say which of these is behind it, nor what kind of numbers they are: `step`, `signal`,
    `factors` and `basis` must be told as the deployment has them. A forecast is asked in windows of one `step`,
    as it gives the means of windows, and of a single slot the mean is the value.

    Example:
        ```python
        from carbon_policy.grid.carbon_aware_sdk import CarbonAwareSdkGrid

        CarbonAwareSdkGrid(
            base_url="https://carbon.example.com", locations={"US-MIDA-PJM": "eastus"}, step="1h"
        ).save("own")
        carbon_aware_sdk_grid = CarbonAwareSdkGrid.load("BLOCK_NAME")
        ```
    """

    _block_type_name: ClassVar[str] = "Carbon Aware SDK Grid"
    _block_type_slug: ClassVar[str] = "carbon-aware-sdk-grid"
    _description: ClassVar[str] = (
        "Carbon intensity from a deployment of the Green Software Foundation's Carbon Aware SDK."
    )

    base_url: BaseUrl = Field(description="Where the web API is, without a path.")
    locations: dict[str, str] = Field(
        min_length=1, description="Zone to the SDK's location, such as US-MIDA-PJM to eastus."
    )
    step: Duration = Field(
        default=timedelta(minutes=5), description="The data's step: 5m of WattTime, 1h of Electricity Maps."
    )
    horizon: Duration = Field(
        default=timedelta(hours=24), description="How far the data source's forecast reaches."
    )
    signal: SignalKind = Field(
        default=SignalKind.AVERAGE, description="Average, or marginal where WattTime is behind it."
    )
    factors: FactorKind = Field(
        default=FactorKind.LIFE_CYCLE, description="Life-cycle, or direct where WattTime is behind it."
    )
    basis: BasisKind | None = Field(
        default=None, description="Of what is consumed or produced, where that is known."
    )

    @field_validator("step")
    @classmethod
    def _is_of_whole_minutes(cls, step: timedelta) -> timedelta:
        if not _MINUTE <= step <= timedelta(hours=1) or timedelta(days=1) % step or step % _MINUTE:
            raise InvalidInputError(
                f"{format_duration(step)} is no step of a grid's data; write 5m, 15m, 30m or 1h."
            )
        return step

    def capabilities(self) -> Capabilities:
        """What this source can be asked."""
        return Capabilities(
            name=_NAME,
            zones=tuple(sorted(self.locations)),
            horizon=self.horizon,
            signal=self.signal,
            factors=self.factors,
            basis=self.basis,
            live=True,
            attribution="As the terms of the data source behind the Carbon Aware SDK say.",
        )

    def history(self, zone: str, start: datetime, end: datetime) -> IntensitySeries:
        """The slots that overlap `start` to `end`, UTC; the newest may not be known yet."""
        location = self._location(zone)
        start, end = checked_range(start, end)
        first, rows = floor(start, self.step), list[Row]()
        while first < end:
            last = min(first + _LONGEST_RANGE, end)
            params = {"location": location, "time": first.isoformat(), "toTime": last.isoformat()}
            rows += self._rows(
                self._ask("/emissions/bylocation", params, self.step.total_seconds()), location
            )
            first = last
        # Some of its data sources answer with more than the range.
        inside = [row for row in rows if start < row.start + self.step and row.start < end]
        return self._series(zone, inside, "Measured, as far as the data source knows it yet.")

    def source_name(self, zone: str) -> str:
        """`carbon-aware-sdk` with the location."""
        return _name_of(self._location(zone))

    def forecast(self, zone: str, now: datetime) -> IntensitySeries:
        """What is expected from the slot that contains `now`, UTC, to the end of what the data source gives."""
        location, now = self._location(zone), parse_moment(now)
        first = floor(now, self.step)
        window_min = int(self.step / _MINUTE)
        ttl_s = max(_SHORTEST_TTL_S, (first + self.step - now).total_seconds())
        params: dict[str, str | int] = {"location": location, "windowSize": window_min}
        answer = self._ask("/emissions/forecasts/current", params, ttl_s)
        if answer == []:
            raise SourceUnavailableError(f"{_NAME} has no forecast of {location}; name another source.")
        try:
            (forecast,) = answer
            _refuse_other(forecast["location"], location)
            rows = [self._forecast_row(row) for row in forecast["forecastData"]]
            generated_at = parse_moment(forecast["generatedAt"])
        except (KeyError, OverflowError, TypeError, ValueError) as error:
            raise _unknown_shape(error) from error
        ahead = from_slot(rows, first, _name_of(location))
        says = "Forecast by the data source, as the SDK handed it on."
        return self._series(zone, ahead, says, issued_at=min(generated_at, now))

    def _location(self, zone: str) -> str:
        if zone not in self.locations:
            raise UnknownZoneError(
                f"{_NAME} is told the locations of {', '.join(sorted(self.locations))}, and not of {zone!r};"
                " add it to locations, or name another source."
            )
        return self.locations[zone]

    def _ask(self, path: str, params: Mapping[str, str | int], ttl_s: float) -> Any:
        try:
            return get_json(f"{self.base_url}{path}", params, ttl_s=ttl_s)
        except HttpStatusError as error:
            if error.status == 204:
                return []  # How it says that it knows nothing.
            raise error.saying(f"{_NAME}: {error}") from error

    def _rows(self, answer: Any, location: str) -> list[Row]:
        others = {other.casefold() for other in self.locations.values()} - {location.casefold()}
        try:
            rows = [self._row(row["time"], row["rating"]) for row in answer]
            told = {str(row.get("location", location)) for row in answer}
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
            raise _unknown_shape(error) from error
        # Of a row, some data sources give the grid's name instead of the location's; that is not told apart here.
        for name in told:
            if name.casefold() in others or len(told) > 1:
                _refuse_other(name, location)
        return rows

    def _forecast_row(self, row: Mapping[str, Any]) -> Row:
        window = timedelta(minutes=row["duration"])
        if window != self.step:
            raise SourceUnavailableError(
                f"{_NAME} forecasts in windows of {format_duration(window)}, and step is"
                f" {format_duration(self.step)}; set step to the data's."
            )
        return self._row(row["timestamp"], row["value"])

    def _row(self, time: Any, value: Any) -> Row:
        moment = parse_moment(time)
        start = floor(moment, self.step)
        if moment - start >= _MINUTE:
            raise ValueError(f"{time} is no start of {format_duration(self.step)}; set step to the data's")
        return Row(start, grams(value))

    def _series(
        self, zone: str, rows: list[Row], says: str, issued_at: datetime | None = None
    ) -> IntensitySeries:
        location = self.locations[zone]
        name = _name_of(location)
        fields = assemble(rows, self.step, name, "last" if issued_at is None else "first").as_fields()
        return IntensitySeries(
            zone=zone,
            step=self.step,
            source=name,
            signal=self.signal,
            factors=self.factors,
            basis=self.basis,
            issued_at=issued_at,
            provenance=(
                f"{says} Asked at {urlsplit(self.base_url).hostname} for {location}.",
                "What kind of numbers these are, the SDK does not say: the labels are the block's.",
                self.capabilities().attribution,
            ),
            **fields,
        )


def _name_of(location: str) -> str:
    """What a series is called; those of two locations must not be taken for one series."""
    return f"{_NAME} {location}"


def _refuse_other(told: Any, location: str) -> None:
    if str(told).casefold() != location.casefold():
        raise WrongZoneError(
            f"{_NAME} answered for {told} instead of {location}; check locations, or name another source."
        )


def _unknown_shape(error: Exception) -> SourceUnavailableError:
    return SourceUnavailableError(
        f"{_NAME} answered in a shape that is not known here ({type(error).__name__}: {error});"
        " check base_url and step, or name another source."
    )
