"""A plan in which every job has a place is made cheaper: jobs near in time exchange their places."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from carbon_policy.planning.booking import Booking, displace, fill
from carbon_policy.planning.exchange import exchange
from carbon_policy.planning.prices import Prices
from carbon_policy.planning.problem import Floats, Integers
from carbon_policy.planning.search import Search

GOOD_ENOUGH = 0.003
"""A plan within this share of the bound is not worth more time."""

TOGETHER = 80
"""Jobs that exchange their places at once."""

MOST_EXCHANGES = 60

MOST_MOVED = 1500
"""Jobs that are looked at one by one."""


@dataclass(frozen=True)
class Improved:
    """How a plan was improved.

    Attributes:
        exchanges: How many exchanges were tried.
        exact: Whether every plan was looked at, so that there is none better.
    """

    exchanges: int
    exact: bool


def settle(booking: Booking, prices: Floats, enough: Callable[[], bool]) -> None:
    """Give every job without a place one in its window, as far as can be; the higher ranks first."""
    waiting = booking.waiting()
    fill(booking, waiting, prices)
    displace(booking, prices)
    if (
        len(booking.waiting())
        and exchange(booking, np.arange(booking.queue.jobs), prices, all_ways=True).best
    ):
        return
    for job in booking.waiting()[:MOST_EXCHANGES].tolist():
        if not enough() and booking.runs[job] is None:
            exchange(booking, _around(booking, job), prices)


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


def improve(booking: Booking, prices: Prices, enough: Callable[[], bool]) -> Improved:
    """Make a plan cheaper until it is good enough, nothing helps or time is up.

    Args:
        booking: Every job that can have a place has one.
        prices: Of capacity, and what no plan can beat.
        enough: Whether time is up.
    """

    def good() -> bool:
        return enough() or booking.total_gco2() <= prices.bound_gco2 * (1 + GOOD_ENOUGH)

    placed = np.flatnonzero([run is not None for run in booking.runs])
    if exchange(booking, placed, prices.per_place, all_ways=True).best:
        return Improved(exchanges=1, exact=True)
    if good():
        return Improved(exchanges=0, exact=False)
    _move(booking, prices.per_place, enough)
    tried = 0
    for offset in (0, TOGETHER // 2) * 2:
        middle = np.array([_middle(booking, job) for job in placed.tolist()])
        order = placed[np.lexsort((placed, middle))]
        for begin in range(offset, len(order), TOGETHER):
            if tried >= MOST_EXCHANGES or good():
                return Improved(tried, exact=False)
            tried += 1
            exchange(booking, np.sort(order[begin : begin + TOGETHER]), prices.per_place)
    return Improved(tried, exact=False)


def _middle(booking: Booking, job: int) -> float:
    run = booking.runs[job]
    return 0.0 if run is None else float(run[1].mean())


def _move(booking: Booking, prices: Floats, enough: Callable[[], bool]) -> None:
    """Move single jobs to cheaper places that are free, those first that pay the most above what they could."""
    queue = booking.queue
    best = Search(queue).best(prices)
    regret = np.zeros(queue.jobs)
    for job, run in enumerate(booking.runs):
        if run is not None:
            regret[job] = booking.grams(job) + prices[run[0], run[1]].sum() - best.value[job]
    for job in np.argsort(-regret, kind="stable")[:MOST_MOVED].tolist():
        if regret[job] <= 0 or enough():
            return
        run = booking.take(job)
        before = queue.grams(job, *run)
        found = Search(queue.only(np.array([job]))).best(np.zeros_like(prices), booking.room > 0)
        booking.put(job, (int(found.site[0]), found.slots_of(0)))
        if booking.grams(job) > before:
            booking.take(job)
            booking.put(job, run)
