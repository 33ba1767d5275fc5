"""Jobs that cannot keep their deadline: as soon after it as can be, the more urgent ones first."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from carbon_policy.planning.booking import Booking, Run, fill
from carbon_policy.planning.problem import Booleans, Floats, Integers


def place_late(booking: Booking, prices: Floats) -> None:
    """Give each job without a place the one that ends first, and make its end its deadline.

    Jobs of a lower rank make room; they are placed again in their own windows, or are late in their turn. A job for
    which there is no place before the last slot stays without one.
    """
    deadline = booking.queue.deadline.copy()
    for rank in range(int(booking.rank.max(initial=0)), -1, -1):
        for job in booking.waiting()[booking.rank[booking.waiting()] == rank].tolist():
            run = _earliest(booking, job)
            if run is None:
                continue
            deadline[job] = int(run[1][-1]) + 1
            moved = booking.claim(job, run)
            fill(booking, moved, prices)
    booking.queue = replace(booking.queue, deadline=np.maximum(deadline, booking.queue.deadline))


def _earliest(booking: Booking, job: int) -> Run | None:
    queue = booking.queue
    free = (booking.room > 0) | (booking.yielding(job) > 0)
    found: list[tuple[int, float, Run]] = []
    for site in np.flatnonzero(queue.duration[job] > 0).tolist():
        slots = _first_slots(
            free[site], int(queue.first[job]), int(queue.duration[job, site]), bool(queue.interruptible[job])
        )
        if slots is not None:
            found.append((int(slots[-1]), queue.grams(job, site, slots), (site, slots)))
    return min(found, key=lambda each: each[:2])[2] if found else None


def _first_slots(free: Booleans, first: int, length: int, interruptible: bool) -> Integers | None:
    """The slots from `first` on that end first; `None` where there are not enough."""
    slots = first + np.flatnonzero(free[first:])
    if len(slots) < length:
        return None
    if interruptible:
        return slots[:length]
    # In a stretch without a break, the slot `length - 1` places on is `length - 1` slots later.
    whole = np.flatnonzero(slots[length - 1 :] - slots[: len(slots) - length + 1] == length - 1)
    return slots[whole[0] : whole[0] + length] if len(whole) else None
