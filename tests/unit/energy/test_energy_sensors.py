"""What each of the installed CodeCarbon's hardware objects may claim."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from codecarbon.external.hardware import CPU, AppleSiliconChip
from codecarbon.external.ram import RAM

from carbon_policy.domain.energy import EnergyMethod
from carbon_policy.energy.sensors import Sensor, sensor_of


def cpu(mode: str, tracking_mode: str = "process", **more: Any) -> CPU:
    return CPU(output_dir=".", mode=mode, model="Some CPU", tdp=65, tracking_mode=tracking_mode, **more)


def gpu(device: str, gpu_ids: list[int] | None = None) -> Any:
    hardware = type("GPU", (), {})()
    hardware.devices = SimpleNamespace(devices=[type(device, (), {})()])
    hardware.gpu_ids = gpu_ids
    return hardware


@pytest.mark.parametrize(
    ("hardware", "component", "method", "caveat"),
    [
        (RAM(), "ram", EnergyMethod.RAM_MODEL, "never says less than 10 W"),
        (
            cpu("cpu_load"),
            "cpu",
            EnergyMethod.CPU_LOAD,
            "of this process and its children, on a design power of 65 W",
        ),
        (cpu("cpu_load", "machine"), "cpu", EnergyMethod.CPU_LOAD, "whole machine, other jobs included"),
        (cpu("constant"), "cpu", EnergyMethod.CPU_CONSTANT, "half of a design power of 65 W"),
        (gpu("NvidiaGPUDevice"), "gpu", EnergyMethod.NVML, "whole GPUs"),
        (gpu("AMDGPUDevice"), "gpu", EnergyMethod.GPU_MODEL, "driver's own"),
        (cpu("telepathy"), "cpu", EnergyMethod.CPU_CONSTANT, "does not know CodeCarbon's CPU mode telepathy"),
        (AppleSiliconChip.__new__(AppleSiliconChip), "job", EnergyMethod.CPU_CONSTANT, "does not know"),
        (object(), "job", EnergyMethod.CPU_CONSTANT, "does not know CodeCarbon's object"),
    ],
)
def test_labels(hardware: Any, component: str, method: EnergyMethod, caveat: str) -> None:
    sensor = sensor_of(hardware)
    assert (sensor.component, sensor.method) == (component, method)
    assert caveat in sensor.caveat


def test_rapl_is_read_as_a_counter(tmp_path: Path) -> None:
    domain = tmp_path / "intel-rapl" / "intel-rapl:0"
    domain.mkdir(parents=True)
    (domain / "name").write_text("package-0")
    (domain / "max_energy_range_uj").write_text("262143328850")
    (domain / "energy_uj").write_text("1000000")
    sensor = sensor_of(cpu("intel_rapl", rapl_dir=str(tmp_path / "intel-rapl")))
    assert sensor.method is EnergyMethod.RAPL
    assert "other jobs' load is in it" in sensor.caveat

    sensor.start()
    (domain / "energy_uj").write_text("37000000")
    assert sensor.measure(1.0) == pytest.approx(36 / 3.6e6)  # 36 J in kWh
    sensor.watch()


@pytest.mark.parametrize(
    ("method", "component", "modelled"),
    [
        (EnergyMethod.RAPL, "cpu", EnergyMethod.CPU_CONSTANT),
        (EnergyMethod.NVML, "gpu", EnergyMethod.GPU_MODEL),
        (EnergyMethod.CPU_LOAD, "cpu", EnergyMethod.CPU_LOAD),
        (EnergyMethod.RAM_MODEL, "ram", EnergyMethod.RAM_MODEL),
    ],
)
def test_what_was_not_measured_is_never_called_measured(
    method: EnergyMethod, component: str, modelled: EnergyMethod
) -> None:
    assert Sensor(component, method, "", None).modelled is modelled
