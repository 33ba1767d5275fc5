"""Sensors as CodeCarbon has them, with figures of our choosing."""

from __future__ import annotations

from types import SimpleNamespace

from carbon_policy.domain.energy import EnergyMethod
from carbon_policy.energy.sensors import Sensor


class FakeHardware:
    """Draws a constant power; the `failing` measurements, counted from 1, do what they are told to."""

    def __init__(self, power_w: float, failing: dict[int, float | Exception] | None = None) -> None:
        self.power_w = power_w
        self.failing = failing or {}
        self.measurements = 0
        self.watched = 0

    def start(self) -> None:
        pass

    def monitor_power(self) -> None:
        self.watched += 1

    def measure_power_and_energy(self, last_duration: float) -> tuple[None, SimpleNamespace]:
        self.measurements += 1
        outcome = self.failing.get(self.measurements, self.power_w / 1000 * last_duration / 3600)
        if isinstance(outcome, Exception):
            raise outcome
        return None, SimpleNamespace(kWh=outcome)


def sensors_of(failing: dict[int, float | Exception] | None = None) -> tuple[Sensor, Sensor]:
    """RAPL at 100 W, failing as told, and RAM at 20 W."""
    return (
        Sensor("cpu", EnergyMethod.RAPL, "A counter.", FakeHardware(100, failing)),
        Sensor("ram", EnergyMethod.RAM_MODEL, "A model.", FakeHardware(20)),
    )
