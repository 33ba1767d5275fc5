from __future__ import annotations

import pytest

from carbon_policy.domain.errors import UnknownZoneError
from carbon_policy.grid.zones import check_zone, known_zones, yearly_mean_gco2_per_kwh


def test_the_table_is_plausible() -> None:
    zones = known_zones()
    assert len(zones) > 200
    assert len(set(zones)) == len(zones)
    assert {"DE", "FR", "GB", "US", "CA-ON", "SE-SE3", "NO-NO1"} <= set(zones)
    for zone in zones:
        mean = yearly_mean_gco2_per_kwh(zone)
        assert mean.zone == zone
        assert 10 < mean.gco2_per_kwh < 1500
        assert 2000 < mean.year < 2030
        assert abs(mean.latitude) <= 90
        assert abs(mean.longitude) <= 180
        assert mean.source


def test_a_zone_of_its_own_says_nothing_of_another() -> None:
    mean = yearly_mean_gco2_per_kwh("FR")
    assert mean.gco2_per_kwh == pytest.approx(56, abs=1)
    assert "not in the table" not in mean.sentence("FR")


@pytest.mark.parametrize(("asked", "taken"), [("US-CAL-CISO", "US"), ("CA-NL-LB", "CA-NL"), ("GB-NIR", "GB")])
def test_an_unknown_part_takes_what_is_around_it_and_says_so(asked: str, taken: str) -> None:
    mean = yearly_mean_gco2_per_kwh(asked)
    assert mean.zone == taken
    assert f"{asked} is not in the table, so {taken}'s figure was taken." in mean.sentence(asked)


@pytest.mark.parametrize(
    ("asked", "meant"), [("de", "DE"), ("DEU", "DE"), ("Germany", "DE"), ("UK", "GB"), ("CA_ON", "CA-ON")]
)
def test_an_unknown_zone_is_refused_with_what_may_be_meant(asked: str, meant: str) -> None:
    with pytest.raises(UnknownZoneError, match=rf"did you mean .*\b{meant}\b"):
        check_zone(asked)


@pytest.mark.parametrize("asked", ["", "???", "00000"])
def test_what_is_no_zone_at_all_is_refused(asked: str) -> None:
    with pytest.raises(UnknownZoneError, match="Electricity Maps' key"):
        check_zone(asked)


def test_a_known_zone_is_given_back() -> None:
    assert check_zone("US-CAL-CISO") == "US-CAL-CISO"
