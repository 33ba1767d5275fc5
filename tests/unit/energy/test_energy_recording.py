"""From measurements to a reading: what was measured, what was bridged, and how it is labelled."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest
from energy_fakes import sensors_of
from hypothesis import given
from hypothesis import strategies as st

from carbon_policy.domain.energy import EnergyMethod, EnergyReading
from carbon_policy.energy.recording import Instant, Recording
from carbon_policy.energy.sensors import SensorError

START = datetime(2026, 11, 22, tzinfo=UTC)


def after(seconds: float) -> Instant:
    return Instant(START + timedelta(seconds=seconds), 1000 + seconds)


def kwh(power_w: float, seconds: float) -> float:
    return power_w / 1000 * seconds / 3600


def parts_of(reading: EnergyReading) -> dict[tuple[str, str], float]:
    return {(part.component, part.method.value): part.energy_kwh for part in reading.parts}


def test_by_hand() -> None:
    recording = Recording(after(0), after(0), sensors_of())
    recording.sample(after(15))
    reading = recording.finish(after(36), "by hand")

    # 100 W and 20 W for 36 s: 1.0 Wh and 0.2 Wh.
    assert parts_of(reading) == pytest.approx({("cpu", "rapl"): 0.001, ("ram", "ram-model"): 0.0002})
    assert [segment.energy_kwh for segment in reading.segments] == pytest.approx([kwh(120, 15), kwh(120, 21)])
    assert (reading.started_at, reading.ended_at) == (START, START + timedelta(seconds=36))
    assert reading.measured_kwh == pytest.approx(0.001)
    assert reading.note == "A counter. A model."


def test_a_late_start_is_charged_at_the_first_power_as_a_model() -> None:
    recording = Recording(after(0), after(4), sensors_of())
    reading = recording.finish(after(10), "by hand")

    assert parts_of(reading) == pytest.approx(
        {
            ("cpu", "cpu-constant-model"): kwh(100, 4),
            ("cpu", "rapl"): kwh(100, 6),
            ("ram", "ram-model"): kwh(20, 10),
        }
    )
    assert reading.measured_kwh == pytest.approx(kwh(100, 6))
    assert "4.0 s were not measured" in reading.note


@pytest.mark.parametrize(
    "failure", [OSError("gone"), math.nan, -1.0, 0.0], ids=["raises", "nan", "negative", "zero of a counter"]
)
def test_a_failed_measurement_is_bridged_and_told(failure: float | Exception) -> None:
    recording = Recording(after(0), after(0), sensors_of({2: failure}))
    for seconds in (10, 20, 30):
        recording.sample(after(seconds))
    reading = recording.finish(after(40), "by hand")

    assert reading.energy_kwh == pytest.approx(kwh(120, 40))
    assert reading.measured_kwh == pytest.approx(kwh(100, 30))
    assert "10.0 s were not measured" in reading.note
    assert "1 measurements failed" in reading.note


def test_where_the_end_cannot_be_measured_the_last_power_holds() -> None:
    recording = Recording(after(0), after(0), sensors_of({2: OSError("gone")}))
    recording.sample(after(10))
    reading = recording.finish(after(25), "by hand")
    assert reading.energy_kwh == pytest.approx(kwh(120, 25))
    assert reading.measured_kwh == pytest.approx(kwh(100, 10))
    assert reading.ended_at == START + timedelta(seconds=25)
    assert "OSError: gone" in reading.note


def test_nothing_measured_is_no_reading() -> None:
    recording = Recording(after(0), after(0), sensors_of({1: OSError("gone"), 2: OSError("still gone")}))
    recording.sample(after(10))
    with pytest.raises(SensorError, match="OSError: still gone"):
        recording.finish(after(20), "by hand")


def test_a_blink_says_nothing_of_a_long_gap() -> None:
    with pytest.raises(SensorError, match="before anything could be measured"):
        Recording(after(0), after(4), sensors_of()).finish(after(4.01), "by hand")


def test_a_blink_without_a_gap_is_measured() -> None:
    reading = Recording(after(0), after(0), sensors_of()).finish(after(0.01), "by hand")
    assert reading.energy_kwh == pytest.approx(kwh(120, 0.01))


def test_the_clock_may_be_set_back() -> None:
    recording = Recording(after(0), after(0), sensors_of())
    recording.sample(after(10))
    hour_back = timedelta(hours=1)
    recording.sample(Instant(after(20).moment - hour_back, after(20).monotonic_s))
    reading = recording.finish(Instant(after(30).moment - hour_back, after(30).monotonic_s), "by hand")

    assert reading.energy_kwh == pytest.approx(kwh(120, 30))
    assert reading.ended_at == START + timedelta(seconds=10)
    assert [s.start <= s.end for s in reading.segments] == [True, True, True]


def test_watching_reaches_the_hardware_and_may_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, ram = sensors_of()
    monkeypatch.setattr(cpu.hardware, "monitor_power", None)
    Recording(after(0), after(0), (cpu, ram)).watch()
    assert ram.hardware.watched == 1


@given(
    head_s=st.floats(0, 10),
    steps_s=st.lists(st.floats(0.06, 100), min_size=1, max_size=30),
    failing=st.sets(st.integers(2, 31)),
)
def test_parts_and_segments_are_two_views_of_one_energy(
    head_s: float, steps_s: list[float], failing: set[int]
) -> None:
    recording = Recording(after(0), after(head_s), sensors_of({n: OSError() for n in failing}))
    now_s = head_s
    for step_s in steps_s:
        now_s += step_s
        recording.sample(after(now_s))
    reading = recording.finish(after(now_s), "hypothesis")

    by_time_kwh = math.fsum(segment.energy_kwh for segment in reading.segments)
    assert by_time_kwh == pytest.approx(reading.energy_kwh)
    assert reading.energy_kwh == pytest.approx(kwh(120, now_s))
    assert reading.segments[0].start == reading.started_at
    assert reading.segments[-1].end == reading.ended_at
    measured_s = now_s - head_s - sum(s for n, s in enumerate(steps_s, 1) if n in failing)
    assert reading.measured_kwh == pytest.approx(kwh(100, measured_s))
    assert {p.method for p in reading.parts} <= {
        EnergyMethod.RAPL,
        EnergyMethod.RAM_MODEL,
        EnergyMethod.CPU_CONSTANT,
    }
