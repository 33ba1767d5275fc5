"""Realised grams: by hand, and whatever the segments and the slots."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_policy.accounting.grams import slot_grams, total_gco2
from carbon_policy.domain.energy import EnergySegment
from carbon_policy.domain.errors import HorizonError
from carbon_policy.domain.signal import IntensitySeries

MIDNIGHT = datetime(2026, 11, 22, tzinfo=UTC)
HOUR = timedelta(hours=1)


def series_of(*values: float, step: timedelta = HOUR) -> IntensitySeries:
    return IntensitySeries(zone="DE", start=MIDNIGHT, step=step, values_gco2_per_kwh=values, source="by hand")


def segment_of(start_min: float, end_min: float, energy_kwh: float) -> EnergySegment:
    return EnergySegment(
        start=MIDNIGHT + timedelta(minutes=start_min),
        end=MIDNIGHT + timedelta(minutes=end_min),
        energy_kwh=energy_kwh,
    )


def test_by_hand() -> None:
    """A job from 00:30 to 02:15, in two segments, at 400, 200 and 100 g/kWh, in a building with PUE 1.5.

    Segment A: 00:30 to 01:30, 0.60 kWh. 30 of its 60 minutes lie in each hour: 0.30 kWh and 0.30 kWh.
    Segment B: 01:30 to 02:15, 0.90 kWh. 30 of its 45 minutes lie before 02:00: 0.60 kWh, and then 0.30 kWh.

        slot    at the machine        with PUE              grams
        00:00   0.30                  0.30 x 1.5 = 0.45     0.45 x 400 = 180
        01:00   0.30 + 0.60 = 0.90    0.90 x 1.5 = 1.35     1.35 x 200 = 270
        02:00   0.30                  0.30 x 1.5 = 0.45     0.45 x 100 =  45
        sum     1.50                  2.25                               495
    """
    slots = slot_grams([segment_of(30, 90, 0.6), segment_of(90, 135, 0.9)], series_of(400, 200, 100), pue=1.5)

    assert [slot.energy_kwh for slot in slots] == pytest.approx([0.45, 1.35, 0.45])
    assert [slot.gco2 for slot in slots] == pytest.approx([180, 270, 45])
    assert total_gco2(slots) == pytest.approx(495)
    minutes = [((s.start - MIDNIGHT).seconds / 60, (s.end - MIDNIGHT).seconds / 60) for s in slots]
    assert minutes == [(30, 60), (60, 120), (120, 135)]


def test_energy_of_an_instant_goes_to_its_slot() -> None:
    slots = slot_grams([segment_of(70, 70, 0.5)], series_of(400, 200))
    assert [(slot.energy_kwh, slot.gco2_per_kwh) for slot in slots] == [(0.5, 200)]


def test_an_instant_on_a_boundary_belongs_to_the_slot_that_begins() -> None:
    assert slot_grams([segment_of(60, 60, 0.5)], series_of(400, 200))[0].gco2_per_kwh == 200


def test_a_segment_that_ends_on_a_boundary_does_not_touch_the_next_slot() -> None:
    assert len(slot_grams([segment_of(0, 60, 1)], series_of(400, 200))) == 1


def test_a_pause_leaves_its_slots_out() -> None:
    slots = slot_grams([segment_of(130, 140, 1), segment_of(10, 20, 1)], series_of(400, 200, 100))
    assert [slot.gco2_per_kwh for slot in slots] == [400, 100]


def test_no_segments_no_slots() -> None:
    assert slot_grams([], series_of(400)) == ()
    assert total_gco2(()) == 0


@pytest.mark.parametrize(("start_min", "end_min"), [(-1, 30), (30, 121), (-5, 200), (120, 120), (180, 240)])
def test_a_series_that_does_not_cover_the_run_is_refused(start_min: float, end_min: float) -> None:
    with pytest.raises(HorizonError, match="by hand covers DE from"):
        slot_grams([segment_of(start_min, end_min, 1)], series_of(400, 200))


# Segments as their lengths and the pauses before them, in seconds, with their energies.
runs = st.lists(
    st.tuples(st.floats(0, 7200), st.floats(0, 9000), st.floats(0, 1e4)), min_size=1, max_size=30
).map(lambda parts: _laid_out(parts))
steps = st.sampled_from([timedelta(minutes=m) for m in (5, 15, 30, 60)])
pues = st.floats(1, 3)


def _laid_out(parts: list[tuple[float, float, float]]) -> list[EnergySegment]:
    segments, moment = [], MIDNIGHT
    for pause_s, length_s, energy_kwh in parts:
        start = moment + timedelta(seconds=pause_s)
        moment = start + timedelta(seconds=length_s)
        segments.append(EnergySegment(start=start, end=moment, energy_kwh=energy_kwh))
    return segments


def _covering(segments: list[EnergySegment], step: timedelta) -> IntensitySeries:
    slots = (segments[-1].end - MIDNIGHT) // step + 2
    return series_of(*(50 + (index * 137) % 600 for index in range(slots)), step=step)


@given(segments=runs, step=steps, pue=pues)
def test_energy_is_conserved(segments: list[EnergySegment], step: timedelta, pue: float) -> None:
    slots = slot_grams(segments, _covering(segments, step), pue)
    used_kwh = math.fsum(segment.energy_kwh for segment in segments)
    assert math.fsum(slot.energy_kwh for slot in slots) == pytest.approx(
        used_kwh * pue, rel=1e-12, abs=1e-300
    )


@given(segments=runs, step=steps, pue=pues)
def test_grams_lie_between_the_cleanest_and_the_dirtiest_slot(
    segments: list[EnergySegment], step: timedelta, pue: float
) -> None:
    series = _covering(segments, step)
    slots = slot_grams(segments, series, pue)
    touched = [slot.gco2_per_kwh for slot in slots]
    energy_kwh = math.fsum(segment.energy_kwh for segment in segments) * pue
    assert min(touched) * energy_kwh * (1 - 1e-12) <= total_gco2(slots)
    assert total_gco2(slots) <= max(touched) * energy_kwh * (1 + 1e-12)


@given(segments=runs, step=steps)
def test_one_line_a_slot_and_each_within_it(segments: list[EnergySegment], step: timedelta) -> None:
    series = _covering(segments, step)
    slots = slot_grams(segments, series)
    indices = [(slot.start - series.start) // step for slot in slots]
    assert indices == sorted(set(indices))
    for index, slot in zip(indices, slots, strict=True):
        assert series.slot_start(index) <= slot.start <= slot.end <= series.slot_start(index + 1)
        assert slot.gco2_per_kwh == series.values_gco2_per_kwh[index]


@given(energy_kwh=st.floats(0, 1e4), start_min=st.floats(0, 300), length_min=st.floats(1, 300))
def test_constant_power_agrees_with_the_integral_of_the_signal(
    energy_kwh: float, start_min: float, length_min: float
) -> None:
    segment = segment_of(start_min, start_min + length_min, energy_kwh)
    series = series_of(*range(50, 850, 50))
    assert total_gco2(slot_grams([segment], series)) == pytest.approx(
        energy_kwh * series.mean(segment.start, segment.end), rel=1e-9
    )
