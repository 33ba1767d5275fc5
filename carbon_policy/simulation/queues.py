"""Jobs of a cluster in queues by length, as GAIA has them: a limit to the wait and an average length for each queue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from carbon_policy.forecasting.hourly import Floats, Ints
from carbon_policy.simulation.workload import Workload, workload


@dataclass(frozen=True)
class Queue:
    """Jobs up to a length.

    Attributes:
        shorter_than_h: Longer jobs belong to the next queue; infinite for the last.
        may_wait_h: How long the start may wait.
    """

    shorter_than_h: float
    may_wait_h: float


GAIA_QUEUES = (Queue(2.0, 6.0), Queue(float("inf"), 24.0))
"""Of the published experiments: short jobs may wait 6 h, long ones 24 h (Hanafy et al., ASPLOS 2024)."""


def queued(
    arrival_s: Floats,
    length_s: Floats,
    power_kw: Floats,
    slots_per_hour: int,
    queues: Sequence[Queue] = GAIA_QUEUES,
    *,
    length_known: bool = False,
) -> Workload:
    """The workload; arrivals and lengths are brought up to whole slots.

    Args:
        arrival_s: Since the trace's first slot, shape `(jobs,)`.
        length_s: Shape `(jobs,)`.
        power_kw: Shape `(jobs,)`.
        slots_per_hour: Of the simulation.
        queues: By length, ascending.
        length_known: A planner knows each length, and not only its queue's average.
    """
    slot_s = 3600 / slots_per_hour
    length: Ints = np.maximum(1, np.ceil(length_s / slot_s)).astype(np.int64)
    queue = np.searchsorted([q.shorter_than_h for q in queues], length_s / 3600, side="right")
    expected = length.copy()
    if not length_known:
        for at in np.unique(queue):
            expected[queue == at] = max(1, round(float(length_s[queue == at].mean() / slot_s)))
    arrival = np.ceil(arrival_s / slot_s).astype(np.int64)
    may_wait = np.array([round(q.may_wait_h * slots_per_hour) for q in queues])[queue]
    return workload(arrival, length, arrival + may_wait, power_kw, expected)
