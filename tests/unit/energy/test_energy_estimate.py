"""The energy of a run that nobody measured."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from carbon_policy.domain.energy import EnergyMethod
from carbon_policy.domain.site import Site, Tier
from carbon_policy.energy.estimate import estimate_from_site

SITE = Site(name="eco", work_pool="eco", tier=Tier.ECO, zone="DE", power_w=80, pue=1.5)
START = datetime(2026, 11, 22, tzinfo=UTC)


def test_it_is_the_sites_power_for_as_long_as_it_ran_and_says_so() -> None:
    end = START + timedelta(minutes=45)
    reading = estimate_from_site(SITE, START, end, "no sensors")
    assert reading.energy_kwh == pytest.approx(0.06)  # 80 W x 0.75 h, without PUE
    assert reading.measured_kwh == 0
    assert [part.method for part in reading.parts] == [EnergyMethod.SITE_POWER]
    assert [(s.start, s.end, s.energy_kwh) for s in reading.segments] == [(START, end, reading.energy_kwh)]
    assert (reading.tool, reading.note) == ("site power", "no sensors")


def test_a_run_cannot_end_before_it_starts() -> None:
    with pytest.raises(ValueError, match="energy_kwh"):
        estimate_from_site(SITE, START, START - timedelta(seconds=1))
