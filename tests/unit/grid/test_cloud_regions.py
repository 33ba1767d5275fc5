from __future__ import annotations

import pytest

from carbon_policy.domain.errors import UnknownZoneError
from carbon_policy.grid.cloud_regions import CloudRegion, cloud_regions, zone_of
from carbon_policy.grid.zones import check_zone

COUNTRIES = {
    "Australia": "AU",
    "Austria": "AT",
    "Bahrain": "BH",
    "Belgium": "BE",
    "Brazil": "BR",
    "Canada": "CA",
    "Chile": "CL",
    "China": "CN",
    "Denmark": "DK",
    "Finland": "FI",
    "France": "FR",
    "Germany": "DE",
    "Hong Kong": "HK",
    "India": "IN",
    "Indonesia": "ID",
    "Ireland": "IE",
    "Israel": "IL",
    "Italy": "IT",
    "Japan": "JP",
    "Malaysia": "MY",
    "Mexico": "MX",
    "Netherlands": "NL",
    "New Zealand": "NZ",
    "Norway": "NO",
    "Poland": "PL",
    "Qatar": "QA",
    "Saudi Arabia": "SA",
    "Singapore": "SG",
    "South Africa": "ZA",
    "South Korea": "KR",
    "Spain": "ES",
    "Sweden": "SE",
    "Switzerland": "CH",
    "Taiwan": "TW",
    "Thailand": "TH",
    "United Arab Emirates": "AE",
    "United Kingdom": "GB",
    "United States": "US",
}


@pytest.mark.parametrize(
    ("name", "zone"),
    [
        ("aws:eu-west-1", "IE"),
        ("gcp:europe-west1", "BE"),
        ("azure:northeurope", "IE"),
        ("Azure:NorthEurope", "IE"),
        ("azure:North Europe", "IE"),
        (" AWS:US-EAST-1 ", "US-MIDA-PJM"),
        ("DE", "DE"),
        ("US-CAL-CISO", "US-CAL-CISO"),
    ],
)
def test_a_region_is_its_grids_zone(name: str, zone: str) -> None:
    assert zone_of(name) == zone


@pytest.mark.parametrize(
    ("name", "zone"),
    [
        ("azure:westeurope", "NL"),
        ("azure:israelcentral", "IL"),
        ("azure:southeastasia", "SG"),
        ("azure:japaneast", "JP-TK"),
        ("gcp:northamerica-northeast2", "CA-ON"),
        ("gcp:us-west2", "US-CAL-LDWP"),
    ],
)
def test_what_the_published_table_has_wrong_is_put_right(name: str, zone: str) -> None:
    assert zone_of(name) == zone
    assert "put right" in cloud_regions()[name].source


@pytest.mark.parametrize("row", cloud_regions().values(), ids=lambda row: row.name)
def test_every_zone_is_in_the_country_of_its_location(row: CloudRegion) -> None:
    country = row.location.split(", ")[-1]
    assert row.zone.split("-")[0] == COUNTRIES[country]
    assert row.region == row.region.lower()
    assert row.source
    if country != "Taiwan":  # It has no row in the table of yearly means.
        assert check_zone(row.zone) == row.zone


def test_all_providers_are_covered() -> None:
    counts = {
        provider: sum(row.provider == provider for row in cloud_regions().values())
        for provider in ("aws", "azure", "gcp")
    }
    assert counts["aws"] >= 39
    assert counts["azure"] >= 60
    assert counts["gcp"] >= 42


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("aws:eu-west-9", "aws:eu-west-1"),
        ("gcp:europe-west11", "gcp:europe-west1"),
        ("azure:westeurop", "did you mean azure:westeurope"),
        ("ibm:eu-de", "write aws:, azure: or gcp: before the region"),
        ("eu-west-1", "write aws:eu-west-1"),
        ("Germany", "did you mean DE"),
        ("", "no grid zone"),
        ("aws:", "no cloud region"),
    ],
)
def test_what_is_not_known_is_named_with_the_nearest(name: str, says: str) -> None:
    with pytest.raises(UnknownZoneError, match=says):
        zone_of(name)
