"""CodeCarbon around a job: one thread that measures, and never gets in the job's way."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from typing import Self

from carbon_policy.domain.energy import EnergyReading
from carbon_policy.domain.errors import InvalidInputError
from carbon_policy.energy.recording import Instant, Recording, described
from carbon_policy.energy.sensors import SensorError, TrackingMode, detect_sensors

logger = logging.getLogger(__name__)

_WATCH_EVERY_S = 1.0

_running: set[EnergyTracker] = set()
_running_lock = threading.Lock()


class EnergyTracker:
    """Measures the energy of what happens inside; after it, either `reading` or `failure` is set.

        with EnergyTracker() as tracker:
            train()
        if tracker.reading is None:
            print(tracker.failure)

    Nothing that goes wrong here reaches the job, and nothing that the job raises is touched. The job begins when the
    sensors have been found: on two cores 2.4 s for the first tracker in a process (half a core: 3.0 s), 0.01 s for
    every later one. It waits `head_start_s` for them and no longer; then it begins all the same, what it uses until
    they are found is charged at the first measured power, and the reading says so. Beside a busy job that takes twice
    as long, which is why it is not the rule: jobs of a few seconds would end unmeasured. Leaving takes one
    measurement, some milliseconds, and never more than `stop_within_s`.

    In `process` mode, the default, CPU and RAM are those of this process and its children, so that a job does not pay
    for its neighbours on the machine; work that it hands to other processes (a Dask or Ray cluster) is not in it,
    nor are the last moments of children that come and go within a second. In `machine` mode every job pays for the
    whole machine: right only where it has the machine to itself, and not in a container, which sees its host's load.
    RAPL and NVML know no processes: in both modes they count whole processors and GPUs. PUE is never included.

    Trackers may run at the same time in one process, as a subflow's inside its flow's, but each counts the whole
    process, so their energies must not be added; their notes say so.

    Attributes:
        reading: The energy; `None` before the end, or if it could not be known.
        failure: Why there is no reading.

    Args:
        measure_every_s: Seconds from one measurement to the next, and so the finest segment of the reading.
        tracking_mode: `process` or `machine`.
        clock: Tells the UTC time; segments never go backwards even if it does.
        head_start_s: How long the start of the job may be held up at most, seconds.
        stop_within_s: How long the end of the job may be held up at most, seconds.
    """

    def __init__(
        self,
        *,
        measure_every_s: float = 15.0,
        tracking_mode: TrackingMode = "process",
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        head_start_s: float = 5.0,
        stop_within_s: float = 10.0,
    ) -> None:
        if not measure_every_s > 0:
            raise InvalidInputError(f"Measure every some seconds, such as 15, not every {measure_every_s}.")
        self.reading: EnergyReading | None = None
        self.failure: str | None = None
        self._measure_every_s = measure_every_s
        self._tracking_mode: TrackingMode = tracking_mode
        self._head_start_s = head_start_s
        self._clock = clock
        self._stop_within_s = stop_within_s
        self._shared = False
        self._began: Instant | None = None  # where it is none, the job has waited for the sensors
        self._ready = threading.Event()
        self._over = threading.Event()
        self._outcome: EnergyReading | Exception = SensorError(
            f"No reading within {stop_within_s:g} s of the end."
        )
        self._thread = threading.Thread(target=self._run, name="carbon-policy-energy", daemon=True)

    def __enter__(self) -> Self:
        with _running_lock:
            _running.add(self)
            if len(_running) > 1:
                for tracker in _running:
                    tracker._shared = True
        try:
            self._thread.start()
            if not self._ready.wait(self._head_start_s):
                self._began = self._now()
        except Exception as error:
            self._outcome = error
        except BaseException:
            self._let_go()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        try:
            self._over.set()
            if self._thread.ident is not None:
                self._thread.join(self._stop_within_s)
        finally:
            self._let_go()
        outcome = self._outcome
        if isinstance(outcome, EnergyReading):
            self.reading = outcome
            return
        self.failure = described(outcome)
        logger.warning("The energy of this job could not be measured: %s", self.failure)
        logger.debug("Why", exc_info=outcome)

    def _let_go(self) -> None:
        self._over.set()
        with _running_lock:
            _running.discard(self)

    def _now(self) -> Instant:
        return Instant(self._clock(), time.monotonic())

    def _run(self) -> None:
        # Nothing is logged from here: Prefect's log handlers want the context of the run, which a thread has not.
        try:
            self._outcome = self._measure()
        except Exception as error:
            self._outcome = error
        finally:
            self._ready.set()

    def _measure(self) -> EnergyReading:
        sensors, tool = detect_sensors(self._tracking_mode)
        for sensor in sensors:
            sensor.start()
        baseline = self._now()
        if self._over.is_set():
            raise SensorError("The job ended before the sensors were found.")
        recording = Recording(self._began or baseline, baseline, sensors)
        self._ready.set()
        tick_s = min(_WATCH_EVERY_S, self._measure_every_s)
        ticks_a_measurement = max(1, round(self._measure_every_s / tick_s))
        for tick in count(1):
            if self._over.wait(tick_s):
                break
            if tick % ticks_a_measurement:
                recording.watch()
            else:
                recording.sample(self._now())
        return recording.finish(self._now(), tool, self._remarks())

    def _remarks(self) -> list[str]:
        if not self._shared:
            return []
        return ["Another tracker ran in this process at the same time: do not add their energies."]
