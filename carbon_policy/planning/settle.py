"""Every job gets a place in its window, as far as can be: free ones first, then those of others."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from carbon_policy.planning.booking import Booking, Run, fill
from carbon_policy.planning.exchange import TOGETHER, exchange
from carbon_policy.planning.problem import Booleans, Floats, Integers
from carbon_policy.planning.runs import NOWHERE
from carbon_policy.planning.search import Search

TRIES = 6
"""Starts at each site that a job without a place looks at, to have others make room there."""

MOST_EXCHANGES = 10
"""Exchanges that are solved for jobs that found no place in a simpler way."""


def settle(booking: Booking, prices: Floats, enough: Callable[[], bool]) -> None:
    """Give every job without a place one in its window, as far as can be; the higher ranks first.

    A job without a place takes a free one; else one from which others can move away to free ones; else, by an
    exchange among many; else those of lower ranks, which are then without one in its stead.

    Args:
        booking: Is changed.
        prices: Of capacity; shape (sites, slots).
        enough: Whether time is up.
    """
    fill(booking, booking.waiting(), prices)
    _make_room(booking, prices, enough)
    if not len(booking.waiting()):
        return
    everyone = np.arange(booking.queue.jobs)
    if exchange(booking, everyone, prices, all_ways=True).best:
        return
    for job in _by_rank(booking)[:MOST_EXCHANGES]:
        if not enough() and booking.runs[job] is None:
            exchange(booking, _around(booking, job), prices)
    _displace(booking, prices)


def _by_rank(booking: Booking) -> list[int]:
    waiting = booking.waiting()
    ordered: list[int] = waiting[np.lexsort((waiting, -booking.rank[waiting]))].tolist()
    return ordered


def _hindered(booking: Booking, prices: Floats) -> Floats:
    """Prices at which a full place outweighs all free ones, so that as few jobs as can be have to move."""
    hindered: Floats = prices + (booking.room < 1) * (1.0 + float(prices.max()) * prices.shape[1])
    return hindered


def _make_room(booking: Booking, prices: Floats, enough: Callable[[], bool]) -> None:
    open_slots = booking.open_slots()
    for job in _by_rank(booking):
        if enough():
            return
        search = Search(booking.queue.only(np.array([job])))
        for _, site, slots in search.several(_hindered(booking, prices), open_slots, TRIES):
            if _squeezed_in(booking, job, (site, slots), prices):
                break


def _squeezed_in(booking: Booking, job: int, run: Run, prices: Floats) -> bool:
    """Give a job a run if those in its way can all be placed elsewhere; else leave everything as it was."""
    moved = booking.claim(job, run)
    fill(booking, moved, prices)
    if all(booking.runs[other] is not None for other in moved):
        return True
    booking.restore({job: None, **moved})
    return False


def _around(booking: Booking, job: int) -> Integers:
    """A job and those that hold places it could have, those with the most freedom to move first."""
    queue = booking.queue
    inside = range(int(queue.first[job]), int(queue.deadline[job]))
    held = {
        other
        for site in np.flatnonzero(queue.duration[job] > 0).tolist()
        for slot in inside
        for other in booking.holders(site, slot)
    }
    freedom = queue.deadline - queue.first - queue.duration.max(axis=1)
    others = sorted(held, key=lambda other: (-int(freedom[other]), other))[: TOGETHER - 1]
    return np.array(sorted([job, *others]), dtype=np.int64)


def _displace(booking: Booking, prices: Floats) -> None:
    """Give jobs without a place those that lower-ranked jobs hold; who loses one is placed again where it can be."""
    for rank in range(int(booking.rank.max(initial=0)), 0, -1):
        for job in booking.waiting()[booking.rank[booking.waiting()] == rank].tolist():
            allowed: Booleans = (booking.room > 0) | (booking.yielding(job) > 0)
            found = Search(booking.queue.only(np.array([job]))).best(_hindered(booking, prices), allowed)
            if found.site[0] == NOWHERE:
                continue
            moved = booking.claim(job, (int(found.site[0]), found.slots_of(0)))
            fill(booking, moved, prices)
