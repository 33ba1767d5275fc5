#!/usr/bin/env python3
"""Writes carbon_policy/grid/data/zone_means.csv from what CodeCarbon, pycountry and tzdata ship.

The table is committed: run this again only to take a newer CodeCarbon's figures. CodeCarbon is MIT; its
country figures are Our World in Data's, from Ember (CC BY 4.0).
"""

from __future__ import annotations

import csv
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import pycountry

TABLE = Path(__file__).resolve().parent.parent / "carbon_policy" / "grid" / "data" / "zone_means.csv"
COLUMNS = ("zone", "name", "gco2_per_kwh", "year", "latitude", "longitude", "source")

# US states are no grid zones of Electricity Maps' and are left out; so are China's provinces.
PROVINCES = {
    "alberta": "AB",
    "british columbia": "BC",
    "manitoba": "MB",
    "new brunswick": "NB",
    "newfoundland and labrador": "NL",
    "northwest territories": "NT",
    "nova scotia": "NS",
    "nunavut": "NU",
    "ontario": "ON",
    "prince edward island": "PE",
    "quebec": "QC",
    "saskatchewan": "SK",
    "yukon": "YT",
}
FUELS = {"naturalGas": "natural_gas", "hydro": "hydroelectricity"}


def package_folder(name: str) -> Path:
    """Where an installed package lies, without importing it."""
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"{name} is not installed; install the dev extra.")
    return Path(spec.submodule_search_locations[0])


def read_json(path: Path) -> Any:
    """A JSON file's content."""
    return json.loads(path.read_text(encoding="utf-8"))


def degrees(text: str) -> float:
    """ISO 6709 degrees and minutes (and seconds), such as `+0131` or `-0740023`, as a number."""
    sign, digits = (-1 if text[0] == "-" else 1), text[1:]
    whole = 2 if len(digits) in (4, 6) else 3
    minutes, seconds = digits[whole : whole + 2], digits[whole + 2 :] or "0"
    return sign * (float(digits[:whole]) + float(minutes) / 60 + float(seconds) / 3600)


def coordinates() -> dict[str, tuple[float, float]]:
    """Roughly where each country lies: the median place of its time zones, degrees."""
    places = defaultdict(list)
    for line in (package_folder("tzdata") / "zoneinfo" / "zone.tab").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            country, place = line.split("\t")[:2]
            latitude, longitude = re.findall(r"[+-]\d+", place)
            places[country].append((degrees(latitude), degrees(longitude)))
    return {
        country: (median(lat for lat, _ in known), median(lon for _, lon in known))
        for country, known in places.items()
    }


def zone_means() -> Iterator[tuple[str, str, float, int, str]]:
    """Zone, name, g/kWh, year and source of each row."""
    folder = package_folder("codecarbon") / "data" / "private_infra"
    package = f"CodeCarbon {version('codecarbon')}"
    for iso3, mix in read_json(folder / "global_energy_mix.json").items():
        country = pycountry.countries.get(alpha_3=iso3)
        # No grid's life-cycle intensity is nothing; such a row is a country without data.
        if country is not None and mix["carbon_intensity"] > 0:
            source = f"{package}: Our World in Data and Ember (CC BY 4.0)"
            yield country.alpha_2, mix["country_name"], mix["carbon_intensity"], mix["year"], source
    for area, known in read_json(folder / "nordic_emissions.json")["data"].items():
        if len(area) == 3:  # SE1, NO5; Finland is a country and has its row.
            source = f"{package}: ENTSO-E generation with CodeCarbon's factors"
            yield f"{area[:2]}-{area}", known["description"], known["emission_factor"], known["year"], source
    factors = read_json(folder / "carbon_intensity_per_source.json")
    for province, mix in read_json(folder / "2023" / "canada_energy_mix.json").items():
        shares = {fuel: share for fuel, share in mix.items() if fuel != "total" and share > 0}
        grams = sum(share * factors[FUELS.get(fuel, fuel)] for fuel, share in shares.items())
        source = f"{package}: provincial mix with CodeCarbon's factors"
        name = province.title().replace(" And ", " and ")
        yield f"CA-{PROVINCES[province]}", name, grams / mix["total"], 2023, source


def main() -> None:
    """Write the table."""
    places = coordinates()
    rows = sorted(zone_means())
    TABLE.parent.mkdir(exist_ok=True)
    with TABLE.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for zone, name, grams, year, source in rows:
            latitude, longitude = places[zone[:2]]
            writer.writerow((zone, name, f"{grams:.1f}", year, f"{latitude:.1f}", f"{longitude:.1f}", source))
    print(f"{len(rows)} zones in {TABLE.name}")


if __name__ == "__main__":
    main()
