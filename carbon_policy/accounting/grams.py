"""Realised grams: energy by time against the intensity of each grid slot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from carbon_policy.domain.energy import EnergySegment
from carbon_policy.domain.errors import HorizonError
from carbon_policy.domain.ledger import SlotGrams
from carbon_policy.domain.signal import IntensitySeries


@dataclass
class _Stretch:
    start: datetime
    end: datetime
    energy_kwh: float

    def absorb(self, other: _Stretch) -> None:
        self.start = min(self.start, other.start)
        self.end = max(self.end, other.end)
        self.energy_kwh += other.energy_kwh


def slot_grams(
    segments: Sequence[EnergySegment], series: IntensitySeries, pue: float = 1.0
) -> tuple[SlotGrams, ...]:
    """A run's energy and grams, one line for each grid slot that it touched, in order of time.

    A segment that crosses a slot's boundary is split in proportion to time: inside a segment nobody knows
    when the energy was used. One whose start is its end belongs to the slot it lies in. This is the
    location-based method of the GHG Protocol's Scope 2 at the resolution of the signal, and `E x I` of the
    SCI (ISO/IEC 21031:2024), whose operational energy includes what the building adds.

    Args:
        segments: Energy by time, kWh at the machine, without PUE. Any order; pauses between them are fine.
        series: The intensity to account with, gCO2e/kWh: what was, not what was forecast.
        pue: Power usage effectiveness of the building; the slots' energy includes it.

    Returns:
        The slots; their energy adds up to that of the segments times `pue`.

    Raises:
        HorizonError: The series does not cover all of the segments.
    """
    slots: dict[int, _Stretch] = {}
    for segment in segments:
        for index, stretch in _split(segment, series):
            if index in slots:
                slots[index].absorb(stretch)
            else:
                slots[index] = stretch
    return tuple(
        SlotGrams(
            start=slot.start,
            end=slot.end,
            energy_kwh=slot.energy_kwh * pue,
            gco2_per_kwh=series.values_gco2_per_kwh[index],
        )
        for index, slot in sorted(slots.items())
    )


def total_gco2(slots: Iterable[SlotGrams]) -> float:
    """The grams of all slots together, gCO2e."""
    return sum(slot.gco2 for slot in slots)


def _split(segment: EnergySegment, series: IntensitySeries) -> Iterator[tuple[int, _Stretch]]:
    # The horizon is where the last slot ends, so an instant that lies on it lies in no slot.
    instant_on_horizon = segment.start == series.end
    if instant_on_horizon or not series.covers(segment.start, segment.end):
        raise HorizonError(
            f"{series.source} covers {series.zone} from {series.start.isoformat()} to {series.end.isoformat()};"
            f" energy was used from {segment.start.isoformat()} to {segment.end.isoformat()}."
        )
    first = (segment.start - series.start) // series.step
    beyond = -((series.start - segment.end) // series.step)  # rounded up, in exact integer arithmetic
    if beyond - first <= 1:
        yield first, _Stretch(segment.start, segment.end, segment.energy_kwh)
        return
    for index in range(first, beyond):
        start = max(segment.start, series.slot_start(index))
        end = min(segment.end, series.slot_start(index + 1))
        share = (end - start) / (segment.end - segment.start)
        yield index, _Stretch(start, end, segment.energy_kwh * share)
