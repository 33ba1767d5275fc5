"""From measurements to one reading: parts by component, segments by time, and what nobody measured."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import NamedTuple

from carbon_policy.domain.energy import EnergyMethod, EnergyPart, EnergyReading
from carbon_policy.energy.profile import EnergyProfile
from carbon_policy.energy.sensors import Sensor, SensorError

_SHORTEST_S = 0.05
"""Processors count their time in hundredths of a second: a shorter measurement says nothing of a longer gap."""


class Instant(NamedTuple):
    """One instant on both clocks: the wall's says which grid slot, the monotonic one how long.

    Attributes:
        moment: UTC; may be set back.
        monotonic_s: Seconds; never goes back.
    """

    moment: datetime
    monotonic_s: float


class Recording:
    """One run's energy as it is measured.

    Time that nobody measured (the sensors were still being found, or could not be read) is charged at the power
    measured next to it: that of the next measurement or, at the end of the run, of the last. Such energy is
    labelled a model whatever the sensor, and the note tells for how long.

    Args:
        started: When the job began.
        baseline: When the sensors were started.
        sensors: What to read.
    """

    def __init__(self, started: Instant, baseline: Instant, sensors: Sequence[Sensor]) -> None:
        self._started = started
        self._covered = started
        self._baseline = baseline
        self._sensors = sensors
        self._powers_kw: list[float] = []
        self._parts_kwh: defaultdict[tuple[str, EnergyMethod], float] = defaultdict(float)
        self._profile = EnergyProfile(started.moment)
        self._bridged_s = 0.0
        self._failures = 0
        self._last_failure = ""

    def watch(self) -> None:
        """Look between two measurements; what cannot be seen now is left to the next measurement."""
        for sensor in self._sensors:
            with suppress(Exception):
                sensor.watch()

    def sample(self, now: Instant) -> None:
        """Measure what was used since the last measurement; if a sensor cannot be read, leave a gap."""
        since, took_s = self._baseline, now.monotonic_s - self._baseline.monotonic_s
        gap_s = since.monotonic_s - self._covered.monotonic_s
        if took_s <= 0 or (gap_s > 0 and took_s < _SHORTEST_S):
            return
        # Also where a sensor fails: the others have begun anew, and what they said would not make a whole.
        self._baseline = now
        try:
            energies_kwh = [sensor.measure(took_s) for sensor in self._sensors]
        except Exception as error:
            self._failures += 1
            self._last_failure = described(error)
            return
        self._powers_kw = [energy_kwh * 3600 / took_s for energy_kwh in energies_kwh]
        if gap_s > 0:
            self._bridge(since)
        self._book(now, [sensor.method for sensor in self._sensors], energies_kwh)

    def finish(self, now: Instant, tool: str, remarks: Sequence[str] = ()) -> EnergyReading:
        """Measure for the last time and add up.

        Args:
            now: The end of the run.
            tool: What read the sensors, with its version.
            remarks: Sentences to put in front of the note.

        Raises:
            SensorError: Nothing was measured, so there is nothing to charge the run by.
        """
        self.sample(now)
        if not self._powers_kw:
            raise SensorError(self._last_failure or "The job ended before anything could be measured.")
        if now.monotonic_s > self._covered.monotonic_s:
            self._bridge(now)
        return EnergyReading(
            started_at=self._started.moment,
            ended_at=self._profile.end,
            parts=tuple(
                EnergyPart(component=component, method=method, energy_kwh=energy_kwh)
                for (component, method), energy_kwh in self._parts_kwh.items()
            ),
            segments=self._profile.segments(),
            tool=tool,
            note=" ".join([*remarks, *(sensor.caveat for sensor in self._sensors), *self._gaps()]),
        )

    def _bridge(self, until: Instant) -> None:
        gap_s = until.monotonic_s - self._covered.monotonic_s
        self._bridged_s += gap_s
        modelled_kwh = [power_kw * gap_s / 3600 for power_kw in self._powers_kw]
        self._book(until, [sensor.modelled for sensor in self._sensors], modelled_kwh)

    def _book(self, until: Instant, methods: Sequence[EnergyMethod], energies_kwh: Sequence[float]) -> None:
        for sensor, method, energy_kwh in zip(self._sensors, methods, energies_kwh, strict=True):
            self._parts_kwh[sensor.component, method] += energy_kwh
        self._profile.add(until.moment, sum(energies_kwh))
        self._covered = until

    def _gaps(self) -> list[str]:
        sentences = []
        if self._bridged_s:
            sentences.append(
                f"{self._bridged_s:.1f} s were not measured and are charged at the power measured next to them."
            )
        if self._failures:
            sentences.append(f"{self._failures} measurements failed, the last with {self._last_failure}.")
        return sentences


def described(error: BaseException) -> str:
    """An error in one line."""
    return f"{type(error).__name__}: {error}"
