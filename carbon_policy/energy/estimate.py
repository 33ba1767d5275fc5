"""The energy of a run that nobody measured: the site's own figure."""

from __future__ import annotations

from datetime import datetime

from carbon_policy.domain.energy import EnergyMethod, EnergyPart, EnergyReading, EnergySegment
from carbon_policy.domain.site import Site


def estimate_from_site(site: Site, started_at: datetime, ended_at: datetime, note: str = "") -> EnergyReading:
    """What the site says a running job draws, for as long as it ran; labelled an estimate, never a measurement.

    Args:
        site: Where the job ran; its `power_w` is what one running job draws, watts, before PUE.
        started_at: When the user's code began, UTC.
        ended_at: When it ended, UTC.
        note: Why nothing was measured.

    Raises:
        ValueError: It ended before it started, or one of the times has no time zone.
    """
    energy_kwh = site.power_w / 1000 * (ended_at - started_at).total_seconds() / 3600
    return EnergyReading(
        started_at=started_at,
        ended_at=ended_at,
        parts=(EnergyPart(component="job", method=EnergyMethod.SITE_POWER, energy_kwh=energy_kwh),),
        segments=(EnergySegment(start=started_at, end=ended_at, energy_kwh=energy_kwh),),
        tool="site power",
        note=note,
    )
