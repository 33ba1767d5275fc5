"""The same job, at once, on the reference site."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_policy.accounting.counterfactual import counterfactual
from carbon_policy.accounting.grams import slot_grams, total_gco2
from carbon_policy.domain.energy import EnergyMethod, EnergyPart, EnergyReading, EnergySegment
from carbon_policy.domain.errors import HorizonError
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.domain.site import Site, Tier

MIDNIGHT = datetime(2026, 11, 22, tzinfo=UTC)


def at(hours: float) -> datetime:
    return MIDNIGHT + timedelta(hours=hours)


def site_of(name: str, **figures: Any) -> Site:
    fields: dict[str, Any] = {"tier": Tier.FAST, "zone": "DE", "power_w": 200.0} | figures
    return Site(name=name, work_pool=name, **fields)


FAST = site_of("fast", pue=1.2)
ECO = site_of("eco", tier=Tier.ECO, power_w=75, speed=0.5, pue=1.5)


def reading_of(*pieces: tuple[float, float, float]) -> EnergyReading:
    """Segments as hours from midnight and kWh."""
    energy_kwh = sum(piece[2] for piece in pieces)
    return EnergyReading(
        started_at=at(pieces[0][0]),
        ended_at=at(pieces[-1][1]),
        parts=(EnergyPart(component="job", method=EnergyMethod.POWER_METER, energy_kwh=energy_kwh),),
        segments=tuple(EnergySegment(start=at(a), end=at(b), energy_kwh=kwh) for a, b, kwh in pieces),
        tool="by hand",
    )


def series_of(*values: float) -> IntensitySeries:
    return IntensitySeries(
        zone="DE", start=MIDNIGHT, step=timedelta(hours=1), values_gco2_per_kwh=values, source="by hand"
    )


def test_by_hand() -> None:
    """A job due at 00:30 ran on eco from 06:00 to 08:00 and used 0.10 kWh, then 0.20 kWh, an hour each.

    Time on fast:   speed 0.5 / speed 1.0 = 0.5 of it: 00:30 to 01:00, then 01:00 to 01:30.
    Energy on fast: (200 W / 1.0) / (75 W / 0.5) = 200 / 150 = 4/3 of it: 0.1333 kWh, then 0.2667 kWh.

        slot    at the machine    with PUE 1.2    grams
        00:00   0.13333           0.16            0.16 x 500 = 80
        01:00   0.26667           0.32            0.32 x 300 = 96
        sum     0.4               0.48                        176
    """
    energy_kwh, slots = counterfactual(
        reading_of((6, 7, 0.1), (7, 8, 0.2)), ECO, FAST, at(0.5), series_of(500, 300)
    )

    assert energy_kwh == pytest.approx(0.4)
    assert [(slot.start, slot.end) for slot in slots] == [(at(0.5), at(1)), (at(1), at(1.5))]
    assert [slot.energy_kwh for slot in slots] == pytest.approx([0.16, 0.32])
    assert total_gco2(slots) == pytest.approx(176)


def test_at_once_on_fast_saves_nothing_exactly() -> None:
    reading = reading_of((0, 0.7, 0.3), (0.7, 2.1, 0.9))
    series = series_of(500, 300, 100)
    energy_kwh, slots = counterfactual(reading, FAST, FAST, reading.started_at, series)
    assert energy_kwh == reading.energy_kwh
    assert slots == slot_grams(reading.segments, series, FAST.pue)


def test_waiting_on_the_same_site_changes_the_time_and_not_the_energy() -> None:
    reading = reading_of((6, 7, 0.25))
    energy_kwh, slots = counterfactual(reading, FAST, FAST, at(0), series_of(500))
    assert energy_kwh == 0.25
    assert total_gco2(slots) == pytest.approx(0.25 * 1.2 * 500)


def test_a_run_that_started_early_is_compared_with_its_due_time() -> None:
    energy_kwh, slots = counterfactual(
        reading_of((0, 1, 0.25)), FAST, FAST, at(2.5), series_of(100, 100, 400, 200)
    )
    assert energy_kwh == 0.25
    assert [(slot.start, slot.gco2_per_kwh) for slot in slots] == [(at(2.5), 400), (at(3), 200)]
    assert total_gco2(slots) == pytest.approx(0.25 * 1.2 * 300)


def test_pauses_are_closed() -> None:
    _, slots = counterfactual(reading_of((2, 2.5, 0.1), (5, 5.5, 0.1)), FAST, FAST, at(0), series_of(500))
    assert [(slot.start, slot.end) for slot in slots] == [(at(0), at(1))]


def test_it_needs_the_intensities_of_the_time_that_was_not_used() -> None:
    with pytest.raises(HorizonError):
        counterfactual(reading_of((6, 7, 0.25)), FAST, FAST, at(-1), series_of(500))


figures = {"power_w": st.floats(1, 1000), "speed": st.floats(0.1, 10)}


@given(ran=st.fixed_dictionaries(figures), fast=st.fixed_dictionaries(figures))
def test_the_energy_is_that_of_the_slots_without_pue(ran: dict[str, float], fast: dict[str, float]) -> None:
    reading = reading_of((6, 6.5, 0.1), (6.5, 8, 0.3))
    reference = site_of("fast", pue=1.4, **fast)
    energy_kwh, slots = counterfactual(
        reading, site_of("eco", **ran), reference, at(0), series_of(*[300] * 300)
    )
    assert sum(slot.energy_kwh for slot in slots) == pytest.approx(energy_kwh * 1.4)


@given(ran=st.fixed_dictionaries(figures), fast=st.fixed_dictionaries(figures))
def test_there_and_back_is_where_one_was(ran: dict[str, float], fast: dict[str, float]) -> None:
    here, there = site_of("here", **ran), site_of("there", **fast)
    series = series_of(*[300] * 300)
    out_kwh, _ = counterfactual(reading_of((0, 1, 0.3)), here, there, at(0), series)
    back_kwh, _ = counterfactual(reading_of((0, 1, out_kwh)), there, here, at(0), series)
    assert back_kwh == pytest.approx(0.3)


def test_of_a_run_that_was_stopped_only_the_job_itself_is_carried_over() -> None:
    """A quarter of 2 h and 0.4 kWh went into stops: at once it takes 1.5 h and 0.3 kWh, a third of it late."""
    reading = reading_of((6, 7, 0.2), (9, 10, 0.2))
    energy_kwh, slots = counterfactual(reading, FAST, FAST, MIDNIGHT, series_of(500, 100), 0.75)
    assert energy_kwh == pytest.approx(0.3)
    assert [slot.energy_kwh for slot in slots] == pytest.approx([0.2 * 1.2, 0.1 * 1.2])
    assert slots[-1].end == at(1.5)
