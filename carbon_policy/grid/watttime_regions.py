"""Which of WattTime's regions stands for a zone.

WattTime names its regions after balancing authorities, as Electricity Maps does; where an authority is one region,
the two are the same area. The names are from a public table of regions and their time zones that is in use with
the v3 API, and from public code that pairs both names; none was checked against the API itself.
"""

from __future__ import annotations

from collections.abc import Mapping

from carbon_policy.domain.errors import UnknownZoneError
from carbon_policy.grid.zones import suggest_zones

REGIONS: dict[str, str] = {
    # Parts of a grid that stand for the whole: the one with the most load, or that free accounts have.
    "US-CAL-CISO": "CAISO_NORTH",
    "US-NY-NYIS": "NYISO_NYC",
    "US-TEX-ERCO": "ERCOT_NORTHCENTRAL",
    # One authority, one region.
    "US-CAL-BANC": "BANC",
    "US-CAL-IID": "IID",
    "US-CAL-LDWP": "LDWP",
    "US-CAR-CPLE": "CPLE",
    "US-CAR-CPLW": "CPLW",
    "US-CAR-DUK": "DUK",
    "US-CAR-SC": "SC",
    "US-CAR-SCEG": "SCEG",
    "US-FLA-FPC": "FPC",
    "US-FLA-FPL": "FPL",
    "US-FLA-JEA": "JEA",
    "US-FLA-TEC": "TEC",
    "US-MIDW-AECI": "AECI",
    "US-MIDW-LGEE": "LGEE",
    "US-NW-AVA": "AVA",
    "US-NW-BPAT": "BPA",
    "US-NW-CHPD": "CHPD",
    "US-NW-DOPD": "DOPD",
    "US-NW-IPCO": "IPCO",
    "US-NW-NEVP": "NEVP",
    "US-NW-PACE": "PACE",
    "US-NW-PACW": "PACW",
    "US-NW-PGE": "PGE",
    "US-NW-PSCO": "PSCO",
    "US-NW-PSEI": "PSEI",
    "US-NW-SCL": "SCL",
    "US-NW-TPWR": "TPWR",
    "US-NW-WACM": "WACM",
    "US-NW-WAUW": "WAUW",
    "US-SE-SOCO": "SOCO",
    "US-SW-AZPS": "AZPS",
    "US-SW-PNM": "PNM",
    "US-SW-SRP": "SRP",
    "US-SW-TEPC": "TEPC",
    "US-SW-WALC": "WALC",
    "US-TEN-TVA": "TVA",
}

# Grids whose regions differ so much that none may stand for the whole.
_SEVERAL: dict[str, tuple[str, ...]] = {
    "US-CENT-SWPP": ("SPP_KANSAS", "SPP_OKCTY", "SPP_SIOUX"),
    "US-MIDA-PJM": ("PJM_CHICAGO", "PJM_DC", "PJM_NJ", "PJM_EASTERN_OH"),
    "US-MIDW-MISO": ("MISO_INDIANAPOLIS", "MISO_N_DAKOTA"),
    "US-NE-ISNE": ("ISONE_CT", "ISONE_NEMA", "ISONE_WCMA"),
}


def region_of(zone: str, given: Mapping[str, str]) -> str:
    """WattTime's region for a zone.

    Args:
        zone: Electricity Maps' key.
        given: Zone to region, as a team set it; it goes before the table.

    Raises:
        UnknownZoneError: It must be said first which region.
    """
    if zone in given:
        return given[zone]
    if zone in REGIONS:
        return REGIONS[zone]
    if zone in _SEVERAL:
        hint = f"WattTime has several, such as {', '.join(_SEVERAL[zone])}"
    else:
        near = suggest_zones(zone, tuple({**REGIONS, **given}))
        hint = f"known are {', '.join(near)}" if near else "its list is at /v3/region-from-loc"
    raise UnknownZoneError(
        f"Which of WattTime's regions {zone!r} is, is not known here ({hint});"
        f" write regions={{{zone!r}: 'THE_REGION'}}, or name another source."
    )
