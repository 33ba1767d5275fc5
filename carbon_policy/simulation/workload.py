"""The jobs of a simulation, as arrays: when they come, how long they run, how long they may wait."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from carbon_policy.domain.errors import InvalidInputError
from carbon_policy.forecasting.hourly import Floats, Ints


@dataclass(frozen=True)
class Workload:
    """Jobs on a grid of equal slots; every array has shape `(jobs,)`, and slots count from the trace's first.

    Attributes:
        arrival: Slot in which each job is submitted.
        length: Slots that it runs, at least one.
        latest_start: Last slot in which it may start, if it runs without a break; not before `arrival`.
        power_kw: Drawn while it runs.
        expected_length: Slots that a planner believes it runs, at least one; equal to `length` where it knows.
    """

    arrival: Ints
    length: Ints
    latest_start: Ints
    power_kw: Floats
    expected_length: Ints

    def __post_init__(self) -> None:
        jobs = len(self.arrival)
        arrays = (self.length, self.latest_start, self.power_kw, self.expected_length)
        if not jobs or any(len(array) != jobs for array in arrays):
            raise InvalidInputError("A workload needs jobs, and as many values in each of its arrays.")
        wrong = (
            (self.arrival < 0)
            | (self.length < 1)
            | (self.expected_length < 1)
            | (self.latest_start < self.arrival)
            | ~(self.power_kw >= 0)
        )
        if wrong.any():
            raise InvalidInputError(
                f"Job {int(np.flatnonzero(wrong)[0]) + 1}: it must arrive in the trace, run a slot or more,"
                " start no later than its limit and not before it arrives, and draw no negative power."
            )

    def __len__(self) -> int:
        return len(self.arrival)

    @property
    def latest_finish(self) -> Ints:
        """The slot by whose start each must be done."""
        return self.latest_start + self.length


def workload(
    arrival: Ints,
    length: Ints,
    latest_start: Ints,
    power_kw: Floats | None = None,
    expected_length: Ints | None = None,
) -> Workload:
    """Jobs that draw 1 kW and whose length is known, where nothing else is said."""
    return Workload(
        arrival=np.asarray(arrival, dtype=np.int64),
        length=np.asarray(length, dtype=np.int64),
        latest_start=np.asarray(latest_start, dtype=np.int64),
        power_kw=np.ones(len(arrival)) if power_kw is None else np.asarray(power_kw, dtype=np.float64),
        expected_length=np.asarray(length if expected_length is None else expected_length, dtype=np.int64),
    )
