"""A plan in which every job has a place is made cheaper: jobs near in time exchange their places."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from carbon_policy.planning.booking import Booking, fill
from carbon_policy.planning.exchange import TOGETHER, exchange
from carbon_policy.planning.prices import Prices
from carbon_policy.planning.problem import Floats
from carbon_policy.planning.runs import Runs
from carbon_policy.planning.search import Search

GOOD_ENOUGH = 0.003
"""A plan within this share of the bound is not worth more time."""

MOST_EXCHANGES = 60
"""A queue of which so many exchanges would reach only a part is left to single moves: its gap is small by its size."""

PASSES = 2
"""How often single jobs are moved: what one leaves, another may take."""

MOST_PUSHED = 400
"""Jobs that may push others away."""

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


def improve(booking: Booking, prices: Prices, enough: Callable[[], bool]) -> Improved:
    """Make a plan cheaper until it is good enough, nothing helps or time is up.

    Args:
        booking: Every job that can have a place has one.
        prices: Of capacity, and what no plan can beat.
        enough: Whether time is up.
    """

    def good() -> bool:
        return enough() or booking.gco2.sum() <= prices.bound_gco2 * (1 + GOOD_ENOUGH)

    placed = booking.placed()
    if exchange(booking, placed, prices.per_place, all_ways=True).best:
        return Improved(exchanges=1, exact=True)
    if good():
        return Improved(exchanges=0, exact=False)
    for _ in range(PASSES):
        _push(booking, prices.per_place, enough)
        _move(booking, prices.per_place, enough)
    tried = 0
    if len(placed) > MOST_EXCHANGES * TOGETHER:
        return Improved(tried, exact=False)
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


def _regrets(booking: Booking, prices: Floats) -> tuple[Floats, Runs]:
    """What each job pays above its cheapest place at these prices, shape (jobs,), and these places."""
    # Where a site is closed a place has no price, and would be the cheapest.
    best = Search(booking.queue).best(prices, booking.open_slots())
    regret = np.zeros(booking.queue.jobs)
    for job, run in enumerate(booking.runs):
        if run is not None:
            regret[job] = booking.gco2[job] + prices[run[0], run[1]].sum() - best.value[job]
    return regret, best


def _push(booking: Booking, prices: Floats, enough: Callable[[], bool]) -> None:
    """Give the jobs that pay the most above it their cheapest place, where those in the way lose less elsewhere."""
    regret, best = _regrets(booking, prices)
    for job in np.argsort(-regret, kind="stable")[:MOST_PUSHED].tolist():
        if regret[job] <= 0 or enough():
            return
        wanted = (int(best.site[job]), best.slots_of(job))
        total = booking.gco2.sum()
        before = booking.take(job)
        moved = booking.claim(job, wanted)
        fill(booking, moved, prices)
        if booking.gco2.sum() >= total or any(booking.runs[other] is None for other in moved):
            booking.restore({job: before, **moved})


def _move(booking: Booking, prices: Floats, enough: Callable[[], bool]) -> None:
    """Move single jobs to cheaper places that are free, those first that pay the most above what they could."""
    queue = booking.queue
    regret, _ = _regrets(booking, prices)
    for job in np.argsort(-regret, kind="stable")[:MOST_MOVED].tolist():
        if regret[job] <= 0 or enough():
            return
        before = booking.gco2[job]
        run = booking.take(job)
        found = Search(queue.only(np.array([job]))).best(np.zeros_like(prices), booking.room > 0)
        booking.put(job, (int(found.site[0]), found.slots_of(0)))
        if booking.gco2[job] > before:
            booking.take(job)
            booking.put(job, run)
