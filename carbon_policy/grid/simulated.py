"""A made-up grid for demonstrations and for zones without a free source."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from typing import ClassVar

from pydantic import Field

from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.domain.times import parse_moment
from carbon_policy.grid.replay import EPOCH, ReplayClock
from carbon_policy.grid.replayed import ReplayedSource
from carbon_policy.grid.source import Capabilities, checked_range
from carbon_policy.grid.weather import MadeUpGrid
from carbon_policy.grid.zones import yearly_mean_gco2_per_kwh

_HOUR = timedelta(hours=1)


class SimulatedGrid(ReplayedSource):
    """Made-up carbon intensity for any zone, without network or account.

    Its yearly mean is the zone's real one; its hours are invented: days with a midday dip and an
    evening peak, weekends, seasons, and spells of weather. The forecast knows the shape and today's
    weather, not tomorrow's. Every answer is labelled as simulated.

    Example:
        ```python
        from carbon_policy.grid.simulated import SimulatedGrid

        SimulatedGrid(seed=1).save("anywhere")
        simulated_grid = SimulatedGrid.load("BLOCK_NAME")
        ```
    """

    _block_type_name: ClassVar[str] = "Carbon Simulated Grid"
    _block_type_slug: ClassVar[str] = "carbon-simulated-grid"
    _description: ClassVar[str] = (
        "Made-up carbon intensity with each zone's real yearly mean, for trying things out."
    )

    seed: int = Field(default=0, description="Another seed is another weather.")

    def capabilities(self) -> Capabilities:
        """What this source can be asked."""
        return Capabilities(
            name="simulated",
            horizon=self.horizon / self.speed,
            speed=self.speed,
            simulated=True,
            attribution="Simulated hours; yearly means by Our World in Data and Ember, CC BY 4.0.",
        )

    def history(self, zone: str, start: datetime, end: datetime) -> IntensitySeries:
        """The simulated intensity in the slots that overlap `start` to `end`, UTC."""
        start, end = checked_range(start, end)
        origin, step = self._lattice()
        first = (start - origin) // step
        count = -((origin - end) // step) - first
        values = _grid(zone, self.seed).actual_gco2_per_kwh(first, count)
        return self._series(zone, origin + first * step, step, values, "Hours are simulated, not measured.")

    def forecast(self, zone: str, now: datetime) -> IntensitySeries:
        """What the simulation expects from the slot that contains `now`, UTC, to the horizon."""
        now = parse_moment(now)
        origin, step = self._lattice()
        first = (now - origin) // step
        values = _grid(zone, self.seed).forecast_gco2_per_kwh(first, max(1, self.horizon // _HOUR))
        says = "Forecast is simulated: the zone's shape, and the weather at its issue fading out."
        return self._series(zone, origin + first * step, step, values, says, issued_at=now)

    def _lattice(self) -> tuple[datetime, timedelta]:
        """When hour 0 of the made-up grid is shown on the wall, UTC, and for how long."""
        return self.clock.on_the_wall(EPOCH, _HOUR)

    def _series(
        self,
        zone: str,
        start: datetime,
        step: timedelta,
        values: list[float],
        says: str,
        issued_at: datetime | None = None,
    ) -> IntensitySeries:
        grid = _grid(zone, self.seed)
        replayed = () if self.clock == ReplayClock() else (self.clock.sentence(),)
        return IntensitySeries(
            zone=zone,
            start=start,
            step=step,
            values_gco2_per_kwh=tuple(values),
            source="simulated",
            issued_at=issued_at,
            simulated=True,
            provenance=(f"{says} Seed {self.seed}.", grid.mean.sentence(zone), *replayed),
        )


@lru_cache(maxsize=64)
def _grid(zone: str, seed: int) -> MadeUpGrid:
    return MadeUpGrid(zone, yearly_mean_gco2_per_kwh(zone), seed)
