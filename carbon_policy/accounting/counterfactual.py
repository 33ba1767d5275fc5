"""What the same job would have emitted at once on the reference site."""

from __future__ import annotations

from datetime import datetime

from carbon_policy.accounting.grams import slot_grams
from carbon_policy.domain.energy import EnergyReading, EnergySegment
from carbon_policy.domain.ledger import SlotGrams
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.domain.site import Site


def counterfactual(
    reading: EnergyReading,
    ran_on: Site,
    reference: Site,
    submitted_at: datetime,
    series: IntensitySeries,
    share: float = 1.0,
) -> tuple[float, tuple[SlotGrams, ...]]:
    """The energy and grams of the same job, started when it was due, on the reference site.

    A saving is only as honest as what it is compared with. Both the SCI and the GHG Protocol ask that the
    baseline be computed by the method of the thing itself, so this is the run's own energy over time,
    through the same `slot_grams` and actual intensities; only what the placement chose is undone: when
    (`submitted_at`), and where (the reference site's zone, PUE, power and speed). It is never a peak, a
    mean or the dirtiest hour, against which any schedule looks good.

    Nobody measured the job on the other site, so the sites' own figures carry it over: a job takes
    `speed_ran / speed_reference` times as long there, and, drawing `power_w` for that long, uses
    `(P_reference / speed_reference) / (P_ran / speed_ran)` times the energy, in the same profile. Where the
    sites are one, or alike, both factors are exactly 1: the energy is the measured one.

    Args:
        reading: What the run used, kWh at the machine, without PUE.
        ran_on: Where it ran.
        reference: Where it would have run at once: the fast site.
        submitted_at: When the job was due, UTC; after the run's own start where it started early.
        series: Actual intensity of the reference site's zone, gCO2e/kWh.
        share: The part of the reading, in time and energy, that the job would have needed anyway, 0 to 1: at once it
            would not have been stopped and restarted.

    Returns:
        The energy, kWh without PUE, and its slots, PUE included.

    Raises:
        HorizonError: The series does not cover the run that was not.
    """
    longer = share * ran_on.speed / reference.speed
    more_energy = share * (reference.power_w / reference.speed) / (ran_on.power_w / ran_on.speed)
    segments: list[EnergySegment] = []
    moment = submitted_at
    for segment in sorted(reading.segments, key=lambda segment: segment.start):
        start, moment = moment, moment + (segment.end - segment.start) * longer
        segments.append(EnergySegment(start=start, end=moment, energy_kwh=segment.energy_kwh * more_energy))
    return reading.energy_kwh * more_energy, slot_grams(segments, series, reference.pue)
