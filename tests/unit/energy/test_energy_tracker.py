"""The tracker around a job: it never gets in the way, and never fails in silence."""

from __future__ import annotations

import asyncio
import logging
import math
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import codecarbon
import pytest
from codecarbon.external.ram import RAM
from energy_fakes import sensors_of

from carbon_policy.domain.energy import EnergyMethod, EnergyReading
from carbon_policy.domain.errors import InvalidInputError
from carbon_policy.energy import tracker as module
from carbon_policy.energy.recording import Instant, Recording
from carbon_policy.energy.sensors import Sensor
from carbon_policy.energy.tracker import EnergyTracker


@pytest.fixture(autouse=True)
def _no_thread_stays() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before
    assert not module._running


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Sensor, ...]]:
    """Put fake sensors in the machine, to be found after some seconds."""

    def install(found_after_s: float = 0.0, **options: Any) -> tuple[Sensor, ...]:
        sensors = sensors_of(**options)

        def detect(_mode: str) -> tuple[tuple[Sensor, ...], str]:
            time.sleep(found_after_s)
            return sensors, "fake 1.0"

        monkeypatch.setattr(module, "detect_sensors", detect)
        return sensors

    return install


def reading_of(tracker: EnergyTracker) -> EnergyReading:
    assert tracker.failure is None
    assert tracker.reading is not None
    return tracker.reading


class TestWithCodeCarbon:
    def test_a_real_job(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """It measures, whatever the user's CodeCarbon configuration, writes no file and connects to nothing."""
        monkeypatch.chdir(tmp_path)
        hostile = {
            "PUE": "3",
            "TRACKING_MODE": "machine",
            "ALLOW_MULTIPLE_RUNS": "false",
            "SAVE_TO_API": "true",
        }
        hostile |= {"EMISSIONS_ENDPOINT": "http://localhost:9", "OUTPUT_DIR": "nowhere", "LOG_LEVEL": "debug"}
        for name, value in hostile.items():
            monkeypatch.setenv(f"CODECARBON_{name}", value)

        def refuse(*_: object) -> None:
            raise AssertionError("connected")

        monkeypatch.setattr(socket.socket, "connect", refuse)
        samples: list[Instant] = []

        def counted(recording: Recording, at: Instant) -> None:
            sample(recording, at)
            samples.append(at)

        sample = Recording.sample
        monkeypatch.setattr(Recording, "sample", counted)
        started = datetime.now(UTC)
        with EnergyTracker(measure_every_s=0.3, head_start_s=20) as tracker:
            until = time.monotonic() + 60
            while len(samples) < 3 and time.monotonic() < until:
                pass

        reading = reading_of(tracker)
        assert [part.component for part in reading.parts][:2] == ["ram", "cpu"]
        assert reading.tool.startswith("codecarbon 3.")
        assert "10 W" in reading.note
        # The least that the model says of RAM, on x86 and on ARM; a PUE of 3 would show.
        seconds = (reading.ended_at - reading.started_at).total_seconds()
        ram_w = reading.parts[0].energy_kwh * 3.6e6 / seconds
        assert ram_w in (pytest.approx(10, rel=0.01), pytest.approx(3, rel=0.01))
        assert math.fsum(s.energy_kwh for s in reading.segments) == pytest.approx(reading.energy_kwh)
        assert len(reading.segments) >= 3
        assert started <= reading.started_at < reading.ended_at <= datetime.now(UTC)
        assert list(tmp_path.iterdir()) == []

    def test_the_load_of_children_is_the_jobs(self) -> None:
        burn = "import time\nwhile time.process_time() < 0.6: pass"
        with EnergyTracker(measure_every_s=0.1) as idle:
            time.sleep(0.5)
        with EnergyTracker(measure_every_s=0.1) as busy:
            subprocess.run([sys.executable, "-c", burn], check=True)
        if EnergyMethod.CPU_LOAD not in {part.method for part in reading_of(busy).parts}:
            pytest.skip("this machine has a counter, which knows no processes")
        idle_kwh, busy_kwh = (
            sum(part.energy_kwh for part in reading_of(tracker).parts if part.component == "cpu")
            for tracker in (idle, busy)
        )
        assert busy_kwh > 3 * idle_kwh


class TestTheJobIsLeftAlone:
    @pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit(3), GeneratorExit()])
    @pytest.mark.parametrize("sensors_fail", [False, True])
    def test_what_it_raises_passes_through(
        self, fake: Callable[..., Any], error: BaseException, sensors_fail: bool
    ) -> None:
        fake(failing={1: OSError("gone")} if sensors_fail else None)
        with pytest.raises(type(error)) as caught, EnergyTracker() as tracker:
            raise error
        assert caught.value is error
        assert (tracker.reading is None) is sensors_fail

    def test_it_may_be_async(self, fake: Callable[..., Any]) -> None:
        fake()

        async def job() -> EnergyTracker:
            with EnergyTracker(measure_every_s=0.02) as tracker:
                await asyncio.sleep(0.1)
            return tracker

        assert len(reading_of(asyncio.run(job())).segments) > 1

    def test_an_interrupt_while_it_waits_for_the_sensors(
        self, fake: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fake()
        tracker = EnergyTracker()

        def interrupted(_timeout: float) -> bool:
            raise KeyboardInterrupt

        monkeypatch.setattr(tracker._ready, "wait", interrupted)
        with pytest.raises(KeyboardInterrupt), tracker:
            pass
        tracker._thread.join(5)

    def test_it_begins_although_the_sensors_are_late(
        self, fake: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fake()
        detect, found = module.detect_sensors, threading.Event()
        monkeypatch.setattr(module, "detect_sensors", lambda mode: found.wait(20) and detect(mode))
        with EnergyTracker(head_start_s=0.01) as tracker:
            time.sleep(0.1)
            found.set()
            time.sleep(0.2)
        reading = reading_of(tracker)
        seconds = (reading.ended_at - reading.started_at).total_seconds()
        assert reading.energy_kwh == pytest.approx(120 / 1000 * seconds / 3600, rel=0.01)
        assert 0 < reading.measured_kwh < 100 / 1000 * (seconds - 0.1) / 3600
        assert "were not measured" in reading.note

    def test_a_job_that_is_over_before_the_sensors_are_found(self, fake: Callable[..., Any]) -> None:
        fake(found_after_s=0.1)
        with EnergyTracker(head_start_s=0.01) as tracker:
            pass
        assert tracker.failure == "SensorError: The job ended before the sensors were found."

    def test_sensors_that_hang_hold_up_neither_its_start_nor_its_end(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        hung = threading.Event()

        def detect(_mode: str) -> Any:
            hung.wait(20)
            raise OSError("at last")

        monkeypatch.setattr(module, "detect_sensors", detect)
        began = time.monotonic()
        with EnergyTracker(head_start_s=0.05, stop_within_s=0.05) as tracker:
            pass
        assert time.monotonic() - began < 5
        assert tracker.failure == "SensorError: No reading within 0.05 s of the end."
        hung.set()
        tracker._thread.join(5)


class TestNoFailureIsSilent:
    def check(self, caplog: pytest.LogCaptureFixture, *words: str) -> None:
        with (
            caplog.at_level(logging.WARNING),
            EnergyTracker(measure_every_s=0.02, head_start_s=20) as tracker,
        ):
            time.sleep(0.05)
        assert tracker.reading is None
        assert tracker.failure is not None
        for word in words:
            assert word in tracker.failure
            assert word in caplog.text

    def test_no_codecarbon(self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
        monkeypatch.setitem(sys.modules, "codecarbon", None)
        self.check(caplog, "codecarbon")

    @pytest.mark.parametrize("method", ["__init__", "get_detected_hardware"])
    def test_it_raises_at_the_start(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, method: str
    ) -> None:
        def broken(*_: object, **__: object) -> None:
            raise RuntimeError("broken start")

        monkeypatch.setattr(codecarbon.OfflineEmissionsTracker, method, broken)
        self.check(caplog, "RuntimeError: broken start")

    def test_its_constructor_swallows_an_exception(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def broken(*_: object) -> None:
            raise RuntimeError("swallowed")

        monkeypatch.setattr(codecarbon.OfflineEmissionsTracker, "_initialize_runtime_state", broken)
        self.check(caplog, "CodeCarbon refused its configuration")

    def test_it_finds_nothing(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def nothing(tracker: Any) -> None:
            tracker._hardware = []

        monkeypatch.setattr(codecarbon.OfflineEmissionsTracker, "get_detected_hardware", nothing)
        self.check(caplog, "found nothing to read")

    @pytest.mark.parametrize("hook", ["start", "measure_power_and_energy"])
    def test_its_hardware_raises(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, hook: str
    ) -> None:
        def broken(*_: object, **__: object) -> None:
            raise RuntimeError("broken sensor")

        monkeypatch.setattr(RAM, hook, broken)
        self.check(caplog, "RuntimeError: broken sensor")

    @pytest.mark.parametrize("energy_kwh", [math.nan, math.inf, -1e-6, 0.0, None])
    def test_its_figures_are_nonsense(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, energy_kwh: float | None
    ) -> None:
        from codecarbon.core.units import Energy

        def nonsense(*_: object, **__: object) -> tuple[None, Any]:
            return None, Energy(kWh=energy_kwh)

        monkeypatch.setattr(RAM, "measure_power_and_energy", nonsense)
        self.check(caplog, "TypeError" if energy_kwh is None else "CodeCarbon says that ram used")

    def test_no_thread_can_be_started(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def refuse(*_: object) -> None:
            raise RuntimeError("can't start new thread")

        monkeypatch.setattr(threading.Thread, "start", refuse)
        self.check(caplog, "can't start new thread")


class TestTime:
    def test_trackers_at_the_same_time_say_so(self, fake: Callable[..., Any]) -> None:
        fake()
        with EnergyTracker() as flow, EnergyTracker() as subflow:
            time.sleep(0.05)
        with EnergyTracker() as alone:
            time.sleep(0.05)
        assert "do not add their energies" in reading_of(flow).note
        assert "do not add their energies" in reading_of(subflow).note
        assert "do not add" not in reading_of(alone).note

    def test_the_clock_may_be_set_back(self, fake: Callable[..., Any]) -> None:
        fake()
        hours = iter([9, *[8] * 1000])
        with EnergyTracker(
            measure_every_s=0.02, clock=lambda: datetime(2026, 11, 22, next(hours), tzinfo=UTC)
        ) as tracker:
            time.sleep(0.1)
        reading = reading_of(tracker)
        assert reading.started_at == reading.ended_at == datetime(2026, 11, 22, 9, tzinfo=UTC)
        assert reading.energy_kwh >= 120 / 1000 * 0.1 / 3600

    def test_it_looks_every_second_and_measures_when_told(
        self, fake: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "_WATCH_EVERY_S", 0.02)
        cpu, _ = fake()
        with EnergyTracker(measure_every_s=0.1):
            time.sleep(0.35)
        assert cpu.hardware.watched > cpu.hardware.measurements > 1

    @pytest.mark.parametrize("seconds", [0, -1, math.nan])
    def test_it_must_measure_every_some_seconds(self, seconds: float) -> None:
        with pytest.raises(InvalidInputError, match="such as 15"):
            EnergyTracker(measure_every_s=seconds)
