"""Which grid feeds a region of a cloud: the table that ships with the package."""

from __future__ import annotations

import csv
from difflib import get_close_matches
from functools import cache
from importlib.resources import files

from pydantic import BaseModel, ConfigDict

from carbon_policy.domain.errors import UnknownZoneError
from carbon_policy.grid.zones import check_zone


class CloudRegion(BaseModel):
    """A region and its grid.

    Attributes:
        provider: `aws`, `azure` or `gcp`.
        region: As the provider writes it.
        zone: Electricity Maps' key.
        location: Where it is, as far as the provider says.
        source: Who says so.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: str
    region: str
    zone: str
    location: str
    source: str

    @property
    def name(self) -> str:
        """As people write it: `aws:eu-west-1`."""
        return f"{self.provider}:{self.region}"


@cache
def cloud_regions() -> dict[str, CloudRegion]:
    """Name to region, in order."""
    text = files("carbon_policy.grid").joinpath("data", "cloud_regions.csv").read_text(encoding="utf-8")
    rows = [CloudRegion.model_validate(row) for row in csv.DictReader(text.splitlines())]
    return {row.name: row for row in rows}


def zone_of(name: str) -> str:
    """The zone of a cloud's region, or the zone itself.

    Args:
        name: `aws:eu-west-1`, `gcp:europe-west1`, `azure:northeurope`, in any case; or a zone, such as `DE`.

    Raises:
        UnknownZoneError: It is neither; the message names the nearest.
    """
    key = "".join(name.split()).lower()
    if key in cloud_regions():
        return cloud_regions()[key].zone
    if ":" not in key:
        of_region = [known for known in cloud_regions() if known.endswith(f":{key}")]
        if of_region:
            raise UnknownZoneError(
                f"{name!r} is no zone but a cloud's region; write {' or '.join(of_region)}."
            )
        return check_zone(name)
    raise UnknownZoneError(f"{name!r} is no cloud region that is known here; {_suggestion(key)}")


def _suggestion(key: str) -> str:
    provider = key.split(":")[0]
    of_provider = [known for known in cloud_regions() if known.startswith(f"{provider}:")]
    if not of_provider:
        return "write aws:, azure: or gcp: before the region, or Electricity Maps' key of the zone."
    near = get_close_matches(key, of_provider, n=3, cutoff=0.4)
    if not near:
        return "write the region as the provider does, or Electricity Maps' key of the zone."
    return f"did you mean {' or '.join(near)}?"
