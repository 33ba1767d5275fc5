"""Grid zones and their yearly mean intensity: the table that ships with the package."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache
from importlib.resources import files

from pydantic import BaseModel, ConfigDict

from carbon_policy.domain.errors import UnknownZoneError

_SLIPS = {"UK": "GB", "EL": "GR"}
"""Codes that people write and that are no ISO 3166 country."""


class ZoneMean(BaseModel):
    """A zone's yearly mean intensity, life-cycle.

    Attributes:
        zone: Key of the row: the zone that was asked for, or the zone around it.
        name: The zone's name.
        gco2_per_kwh: Mean over the year.
        year: The year.
        latitude: Roughly where the zone's country lies, degrees north.
        longitude: Roughly where the zone's country lies, degrees east.
        source: Who says so.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    zone: str
    name: str
    gco2_per_kwh: float
    year: int
    latitude: float
    longitude: float
    source: str

    def sentence(self, zone: str) -> str:
        """What provenance says of this figure when it is taken for `zone`."""
        instead = (
            "" if zone == self.zone else f" {zone} is not in the table, so {self.zone}'s figure was taken."
        )
        return f"Yearly mean of {self.name} in {self.year}: {self.gco2_per_kwh:g} g/kWh ({self.source}).{instead}"


@cache
def _table() -> dict[str, ZoneMean]:
    text = files("carbon_policy.grid").joinpath("data", "zone_means.csv").read_text(encoding="utf-8")
    return {row["zone"]: ZoneMean.model_validate(row) for row in csv.DictReader(text.splitlines())}


def known_zones() -> tuple[str, ...]:
    """The zones of the table, in order."""
    return tuple(_table())


def yearly_mean_gco2_per_kwh(zone: str) -> ZoneMean:
    """The yearly mean intensity of a zone, or of the nearest zone around it: `US` for `US-CAL-CISO`.

    Args:
        zone: Electricity Maps' key.

    Raises:
        UnknownZoneError: Neither the zone nor its country is in the table.
    """
    for key in _outwards(zone):
        if key in _table():
            return _table()[key]
    raise UnknownZoneError(f"{zone!r} is no grid zone that is known here; {_suggestion(zone)}")


def check_zone(zone: str) -> str:
    """The zone itself, if its country is known.

    Raises:
        UnknownZoneError: It is not; the message names the nearest.
    """
    yearly_mean_gco2_per_kwh(zone)
    return zone


def suggest_zones(zone: str, known: tuple[str, ...]) -> list[str]:
    """Up to three of the known zones that look most like `zone`, the nearest first."""
    return get_close_matches(zone.upper(), known, n=3, cutoff=0.4)


def _outwards(zone: str) -> Iterator[str]:
    """`CA-NL-LB`, then `CA-NL`, then `CA`."""
    parts = zone.split("-")
    for count in range(len(parts), 0, -1):
        yield "-".join(parts[:count])


def _suggestion(zone: str) -> str:
    names = {row.name.upper(): row.zone for row in _table().values()}
    by_name = [names[name] for name in get_close_matches(zone.upper(), tuple(names), n=1, cutoff=0.8)]
    near = [_SLIPS[zone.upper()]] if zone.upper() in _SLIPS else by_name or suggest_zones(zone, known_zones())
    if not near:
        return "write Electricity Maps' key, such as DE, GB or US-CAL-CISO."
    return f"did you mean {' or '.join(near)}?"
