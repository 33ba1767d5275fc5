"""CodeCarbon's edge: what this machine lets us read, and what each figure may claim to be.

CodeCarbon is used for what it is best at, finding the machine's sensors and modelling what has none. They are read
from here, one thread and one clock, rather than through its tracker's own `start` and `stop`, because in 3.3.2 those
- swallow every exception and go on with a zero;
- drive two `threading.Timer` chains that can measure an interval twice, or go on for ever, if `stop` meets a tick;
- multiply by a PUE and by one country's yearly intensity, for the whole run: we do both, by site and by slot. It is
  for that only that CodeCarbon wants to know a country, and so it is told none.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Literal

from carbon_policy.domain.energy import EnergyMethod

TrackingMode = Literal["process", "machine"]


class SensorError(Exception):
    """CodeCarbon gave no usable figure."""


@dataclass(frozen=True)
class Sensor:
    """One component that CodeCarbon can read or model.

    Attributes:
        component: `cpu`, `ram` or `gpu`.
        method: How its figures are obtained.
        caveat: What a reader must know of them, one sentence.
        hardware: CodeCarbon's object.
    """

    component: str
    method: EnergyMethod
    caveat: str
    hardware: Any

    @property
    def modelled(self) -> EnergyMethod:
        """What to call time that was not measured and is charged at the power of the time that was."""
        if not self.method.measured:
            return self.method
        return EnergyMethod.GPU_MODEL if self.component == "gpu" else EnergyMethod.CPU_CONSTANT

    def start(self) -> None:
        """Measure from here."""
        self.hardware.start()

    def watch(self) -> None:
        """Look between two measurements, as CodeCarbon does every second, for children that come and go."""
        if hasattr(self.hardware, "monitor_power"):
            self.hardware.monitor_power()

    def measure(self, seconds: float) -> float:
        """The energy since the last measurement, or the start, that many seconds ago; kWh without PUE.

        Raises:
            SensorError: The figure is NaN, negative, or a zero that cannot be true.
        """
        _, energy = self.hardware.measure_power_and_energy(last_duration=seconds)
        energy_kwh = float(energy.kWh)
        if not math.isfinite(energy_kwh) or energy_kwh < 0:
            raise SensorError(f"CodeCarbon says that {self.component} used {energy_kwh} kWh.")
        # An idle process may use no CPU, but what is powered draws something: where a counter or the memory cannot
        # be read, CodeCarbon logs it and answers zero.
        if energy_kwh == 0 and self.method is not EnergyMethod.CPU_LOAD:
            raise SensorError(
                f"CodeCarbon says that {self.component} used nothing: {self.method} could not be read."
            )
        return energy_kwh


def detect_sensors(tracking_mode: TrackingMode) -> tuple[tuple[Sensor, ...], str]:
    """The machine's sensors, and the tool that reads them, such as `codecarbon 3.3.2`.

    The first call in a process takes seconds (it imports pandas and asks the processor for its name), later ones
    a hundredth of one. No file is written and no connection is made, whatever the user's CodeCarbon configuration
    says; what it says of the hardware (`CODECARBON_FORCE_CPU_POWER` and the like) holds.

    Raises:
        SensorError: CodeCarbon refused its configuration, or found nothing to read.
        Exception: Whatever else CodeCarbon raises, from the import on.
    """
    from codecarbon import OfflineEmissionsTracker

    # Its constructor speaks before it reads `log_level`.
    logging.getLogger("codecarbon").setLevel(logging.ERROR)
    tracker = OfflineEmissionsTracker(
        tracking_mode=tracking_mode,
        log_level="error",
        output_dir=".",
        output_methods=[],
        emissions_endpoint=None,
        # Otherwise it takes a lock file and the process's signal handlers, which are Prefect's.
        allow_multiple_runs=True,
    )
    if not hasattr(tracker, "_hardware"):
        raise SensorError(
            "CodeCarbon refused its configuration; see .codecarbon.config and CODECARBON_* variables."
        )
    tracker.get_detected_hardware()
    sensors = tuple(sensor_of(hardware) for hardware in tracker._hardware if not _hidden(hardware))
    if not sensors:
        raise SensorError("CodeCarbon found nothing to read on this machine.")
    return sensors, f"codecarbon {version('codecarbon')}"


def sensor_of(hardware: Any) -> Sensor:
    """What one of CodeCarbon's hardware objects may claim; what is not known here claims to be a model."""
    # By the name of the class, as CodeCarbon's own hardware cache does.
    kind = type(hardware).__name__
    if kind == "RAM":
        return Sensor(
            "ram",
            EnergyMethod.RAM_MODEL,
            "RAM is modelled from its size, and the model never says less than 10 W (3 W on ARM).",
            hardware,
        )
    if kind == "GPU":
        return _gpu(hardware)
    if kind == "CPU":
        return _cpu(hardware, getattr(hardware, "_mode", None))
    return _unknown(kind, str(getattr(hardware, "chip_part", "job")).lower(), hardware)


def _cpu(hardware: Any, mode: str | None) -> Sensor:
    tdp_w = getattr(hardware, "_tdp", None)
    if mode in ("intel_rapl", "windows_emi"):
        caveat = "RAPL counts the whole processor: other jobs' load is in it."
        return Sensor("cpu", EnergyMethod.RAPL, caveat, hardware)
    if mode == "cpu_load":
        own = getattr(hardware, "_tracking_mode", None) == "process"
        whose = "of this process and its children" if own else "of the whole machine, other jobs included"
        caveat = f"CPU is modelled from the load {whose}, on a design power of {tdp_w} W."
        return Sensor("cpu", EnergyMethod.CPU_LOAD, caveat, hardware)
    if mode == "constant":
        caveat = f"CPU is taken as half of a design power of {tdp_w} W, whatever the load."
        return Sensor("cpu", EnergyMethod.CPU_CONSTANT, caveat, hardware)
    return _unknown(f"CPU mode {mode}", "cpu", hardware)


def _gpu(hardware: Any) -> Sensor:
    devices = getattr(getattr(hardware, "devices", None), "devices", None) or []
    if devices and all(type(device).__name__.startswith("Nvidia") for device in devices):
        caveat = "NVML counts whole GPUs: other jobs' load is in it."
        return Sensor("gpu", EnergyMethod.NVML, caveat, hardware)
    return Sensor("gpu", EnergyMethod.GPU_MODEL, "GPU figures are the driver's own, of whole GPUs.", hardware)


def _unknown(what: str, component: str, hardware: Any) -> Sensor:
    caveat = f"carbon-policy does not know CodeCarbon's {what}, so its figures count as a model."
    return Sensor(component, EnergyMethod.CPU_CONSTANT, caveat, hardware)


def _hidden(hardware: Any) -> bool:
    """Whether these are GPUs of which the job may see none (`CUDA_VISIBLE_DEVICES=-1`)."""
    return type(hardware).__name__ == "GPU" and getattr(hardware, "gpu_ids", None) == []
