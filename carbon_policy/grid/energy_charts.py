"""Most of Europe's grids as Fraunhofer ISE publishes them, every quarter of an hour and without an account."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import ClassVar
from urllib.parse import urlsplit

from pydantic import BaseModel, Field

from carbon_policy.domain.errors import SourceUnavailableError
from carbon_policy.domain.signal import BasisKind, FactorKind, IntensitySeries, SignalKind
from carbon_policy.domain.times import parse_moment
from carbon_policy.grid.client import get_json
from carbon_policy.grid.rows import Row, assemble, from_slot, within
from carbon_policy.grid.slots import floor, grams
from carbon_policy.grid.source import BaseUrl, Capabilities, GridSource, checked_range

_HOUR = timedelta(hours=1)
# The day-ahead figures come in the evening and end with the next day: from 5 to 29 h ahead.
_HORIZON = timedelta(hours=29)
_LONGEST_RANGE = timedelta(days=31)
_TTL_S = 900.0
_ZONES = (
    *("AT", "BE", "BG", "CH", "CZ", "DE", "EE", "ES", "FI", "FR", "GR", "HR", "HU"),
    *("LT", "LU", "LV", "NL", "PL", "PT", "RO", "RS", "SI", "SK"),
)


class _Answer(BaseModel):
    """The body of `/co2eq`; one of the two lists has the value of a slot, or neither."""

    unix_seconds: list[int] = Field(min_length=2)
    co2eq: list[float | None]
    co2eq_forecast: list[float | None]


class EnergyChartsGrid(GridSource):
    """The Energy-Charts API of Fraunhofer ISE, for the countries of the European grid that are one zone.

    By what is *produced* in the country and life-cycle factors; imports do not count. Its forecast ends with the
    day that the exchange has cleared, so it reaches from a few hours to a day and a quarter ahead.

    Example:
        ```python
        from carbon_policy.grid.energy_charts import EnergyChartsGrid

        EnergyChartsGrid().save("europe")
        energy_charts_grid = EnergyChartsGrid.load("BLOCK_NAME")
        ```
    """

    _block_type_name: ClassVar[str] = "Carbon Energy-Charts Grid"
    _block_type_slug: ClassVar[str] = "carbon-energy-charts-grid"
    _description: ClassVar[str] = (
        "Carbon intensity of most European countries, measured and a day ahead; free and without a key."
    )

    base_url: BaseUrl = Field(
        default="https://api.energy-charts.info", description="Where the API is, without a path."
    )

    def capabilities(self) -> Capabilities:
        """What this source can be asked."""
        return Capabilities(
            name="energy-charts",
            zones=_ZONES,
            horizon=_HORIZON,
            factors=FactorKind.LIFE_CYCLE,
            basis=BasisKind.PRODUCTION,
            live=True,
            attribution="Energy-Charts.info (Fraunhofer ISE), CC BY 4.0.",
        )

    def history(self, zone: str, start: datetime, end: datetime) -> IntensitySeries:
        """The measured slots that overlap `start` to `end`, UTC; the newest may not be known yet."""
        self._refuse_other_zones(zone)
        start, end = checked_range(start, end)
        rows, step, first = list[Row](), _HOUR, floor(start, _HOUR)
        while first < end:
            last = min(first + _LONGEST_RANGE, end)
            # An hour more on each side, so that the slots at the edges are there whatever their length.
            measured, _, step = self._ask(zone, first - _HOUR, floor(last, _HOUR) + 2 * _HOUR)
            rows += within((Row(*slot) for slot in measured.items()), step, max(first, start), last)
            first = last
        return self._series(zone, rows, step, "Measured by Energy-Charts, as far as it is known yet.")

    def forecast(self, zone: str, now: datetime) -> IntensitySeries:
        """What is expected from the slot that contains `now`, UTC, to the end of what the exchange has cleared."""
        self._refuse_other_zones(zone)
        now = parse_moment(now)
        # The same question for an hour: the answer is recalculated hourly, and is asked no more often.
        hour = floor(now, _HOUR)
        measured, expected, step = self._ask(zone, hour - 3 * _HOUR, hour + timedelta(hours=48))
        first = floor(now, step)
        # A slot that is measured already is no forecast; it is taken only where there is nothing else.
        rows = [Row(slot, measured[slot] if expected[slot] is None else expected[slot]) for slot in measured]
        ahead = from_slot(rows, first, "energy-charts")
        says = "Forecast by Energy-Charts, recalculated every hour."
        return self._series(zone, ahead, step, says, issued_at=hour)

    def _ask(
        self, zone: str, start: datetime, end: datetime
    ) -> tuple[dict[datetime, float | None], dict[datetime, float | None], timedelta]:
        """Slot to g/kWh as measured and as forecast, and the slots' length."""
        # Seconds since 1970: a date would be read as the country's local one.
        params: dict[str, str | int] = {
            "country": zone.lower(),
            "start": int(start.timestamp()),
            "end": int(end.timestamp()),
        }
        answer = get_json(f"{self.base_url}/co2eq", params, ttl_s=_TTL_S)
        try:
            body = _Answer.model_validate(answer)
            steps = {later - earlier for earlier, later in pairwise(body.unix_seconds)}
            if len(steps) != 1 or not 0 < (step_s := steps.pop()) <= 3600:
                raise ValueError("its slots have no one length of an hour or less")
            slots = [datetime.fromtimestamp(seconds, UTC) for seconds in body.unix_seconds]
            measured = dict(zip(slots, map(grams, body.co2eq), strict=True))
            expected = dict(zip(slots, map(grams, body.co2eq_forecast), strict=True))
        except (ValueError, OverflowError) as error:
            raise SourceUnavailableError(
                f"energy-charts answered in a shape that is not known here ({_first_line(error)});"
                " check base_url, or name another source."
            ) from error
        return measured, expected, timedelta(seconds=step_s)

    def _series(
        self,
        zone: str,
        rows: list[Row],
        step: timedelta,
        says: str,
        issued_at: datetime | None = None,
    ) -> IntensitySeries:
        fields = assemble(rows, step, "energy-charts", "last" if issued_at is None else "first").as_fields()
        return IntensitySeries(
            zone=zone,
            step=step,
            source="energy-charts",
            signal=SignalKind.AVERAGE,
            factors=FactorKind.LIFE_CYCLE,
            basis=BasisKind.PRODUCTION,
            issued_at=issued_at,
            provenance=(
                f"{says} Asked at {urlsplit(self.base_url).hostname}.",
                "It counts what the country produces; imports and exports are left out.",
                self.capabilities().attribution,
            ),
            **fields,
        )


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0]}"
