"""Energy by time, in bounded memory."""

from __future__ import annotations

from datetime import datetime

from carbon_policy.domain.energy import EnergySegment

MAX_SEGMENTS = 2000
"""At 15 s a sample, a job of 8 h keeps every sample and one of a month keeps stretches of 32 minutes."""


class EnergyProfile:
    """Dense stretches of time with the energy used in each, never more than `MAX_SEGMENTS` of them.

    Each stretch holds the same number of samples. When there are too many stretches, neighbours are merged in
    pairs and that number doubles from then on, so the resolution is even over the whole run: merging old pairs
    alone would squeeze the beginning of a long run into one stretch.

    Args:
        start: Where the first stretch begins, UTC.
    """

    def __init__(self, start: datetime) -> None:
        self._start = start
        self._ends: list[datetime] = []
        self._energies_kwh: list[float] = []
        self._samples_each = 1
        self._samples_in_last = 0

    @property
    def end(self) -> datetime:
        """Where the last stretch ends, UTC."""
        return self._ends[-1] if self._ends else self._start

    def add(self, until: datetime, energy_kwh: float) -> None:
        """The energy used from the end so far until a moment.

        Args:
            until: UTC. Where the clock was set back and `until` lies before `end`, the energy is booked at `end`.
            energy_kwh: At the machine, without PUE.
        """
        until = max(until, self.end)
        if self._ends and self._samples_in_last < self._samples_each:
            self._ends[-1] = until
            self._energies_kwh[-1] += energy_kwh
            self._samples_in_last += 1
            return
        if len(self._ends) == MAX_SEGMENTS:
            self._merge_pairs()
        self._ends.append(until)
        self._energies_kwh.append(energy_kwh)
        self._samples_in_last = 1

    def segments(self) -> tuple[EnergySegment, ...]:
        """The stretches, each beginning where the one before ends."""
        starts = [self._start, *self._ends[:-1]]
        return tuple(
            EnergySegment(start=start, end=end, energy_kwh=energy_kwh)
            for start, end, energy_kwh in zip(starts, self._ends, self._energies_kwh, strict=True)
        )

    def _merge_pairs(self) -> None:
        self._ends = self._ends[1::2]
        self._energies_kwh = [
            first + second
            for first, second in zip(self._energies_kwh[::2], self._energies_kwh[1::2], strict=True)
        ]
        self._samples_each *= 2
