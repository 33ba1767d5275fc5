"""What a place costs in each slot of each site, and the bound that follows from it: the Lagrangian dual."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from carbon_policy.planning.problem import Floats, Integers
from carbon_policy.planning.queue import Queue
from carbon_policy.planning.runs import NOWHERE
from carbon_policy.planning.search import Search

SAMPLE_JOBS = 2000
"""A longer queue is priced by a sample of it first: the same prices hold for all, and they cost less to find."""

FEW_JOBS = 20
"""So few are planned by trying everything: prices are told, and not searched to the last."""

SLICES_EVERY = 3
"""Interruptible jobs answer to new prices at every so manieth step only: they are the slow part of one."""

SHRINK = 0.95
"""Each step is so much shorter than the last, where a hundred are taken; as much in all where there are fewer."""

MOMENTUM, MEMORY = 0.8, 0.95
"""How much of the last steps' excess is kept, and of its square."""


@dataclass(frozen=True)
class Prices:
    """Prices of capacity, and what no plan can beat.

    Attributes:
        per_place: Grams for a place; shape (sites, slots).
        bound_gco2: No plan of all jobs in these places has fewer grams: each job's cheapest place at these prices,
            less what all places are worth (weak duality).
        steps: How many steps were taken.
    """

    per_place: Floats
    bound_gco2: float
    steps: int


def find_prices(queue: Queue, places: Integers, *, enough: Callable[[], bool]) -> Prices:
    """Prices at which the jobs' own cheapest places about fill the capacity.

    Ascent along the excess of demand, scaled in each cell by how much it has swung (as Adam does, Kingma and Ba 2015),
    with steps that shrink; a price is never negative. A queue of any size takes the same number of steps.

    Args:
        queue: The jobs; those that fit into no window of theirs are left out.
        places: Capacity; shape (sites, slots).
        enough: Whether time is up.
    """
    fits = Search(queue).best(np.zeros(places.shape), places > 0).site != NOWHERE
    if not fits.any():
        return Prices(np.zeros(places.shape), 0.0, 0)
    queue = queue.only(np.flatnonzero(fits))
    if queue.jobs > 2 * SAMPLE_JOBS:
        order = np.lexsort((queue.duration.max(axis=1), queue.first))
        sample = np.sort(order[:: queue.jobs // SAMPLE_JOBS])
        scaled: Floats = places * np.float64(len(sample) / queue.jobs)
        learnt = _ascend(queue.only(sample), scaled, np.zeros(places.shape), 80, 1.0, enough)
        found = _ascend(queue, places, learnt.per_place, 24, 0.15, enough)
        return Prices(found.per_place, found.bound_gco2, learnt.steps + found.steps)
    return _ascend(queue, places, np.zeros(places.shape), 120 if queue.jobs > FEW_JOBS else 30, 1.0, enough)


def _ascend(
    queue: Queue,
    places: Floats | Integers,
    prices: Floats,
    steps: int,
    stride: float,
    enough: Callable[[], bool],
) -> Prices:
    sliced = queue.interruptible
    whole, slices = (Search(queue.only(np.flatnonzero(part))) for part in (~sliced, sliced))
    open_ = places > 0
    scale = float(np.median(queue.kw.min(axis=1)) * np.median(queue.weight))
    excess, swing = np.zeros(places.shape), np.zeros(places.shape)
    best = Prices(prices, -np.inf, 0)
    held = slices.best(prices, open_)
    for step in range(steps):
        runs = whole.best(prices, open_)
        usage = runs.usage(*places.shape)
        fresh = step % SLICES_EVERY == 0 or step == steps - 1
        if fresh:
            held = slices.best(prices, open_)
            bound = float(runs.value.sum() + held.value.sum() - np.sum(prices * places))
            if bound > best.bound_gco2:
                best = Prices(prices, bound, step + 1)
        gradient = (usage + held.usage(*places.shape) - places) / np.maximum(places, 1)
        excess = MOMENTUM * excess + (1 - MOMENTUM) * gradient
        swing = MEMORY * swing + (1 - MEMORY) * gradient**2
        direction = excess / (1 - MOMENTUM ** (step + 1))
        direction /= np.sqrt(swing / (1 - MEMORY ** (step + 1)) + 1e-4)
        prices = np.maximum(0.0, prices + stride * scale * direction)
        stride *= SHRINK ** (100 / steps)
        if enough():
            break
    return best
