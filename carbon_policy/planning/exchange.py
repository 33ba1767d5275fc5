"""Several jobs exchange their places at once, as well as can be: a small integer program, solved by HiGHS."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from math import comb

import highspy
import numpy as np

from carbon_policy.planning.booking import Booking, Run
from carbon_policy.planning.problem import Booleans, Floats, Integers
from carbon_policy.planning.queue import Queue
from carbon_policy.planning.search import Search

NODES = 20
"""Branches that an exchange may look at: a count, and not a time, so that it ends alike on any machine."""

EVERY = 4000
"""So many choices in all can be listed to the last; of more, each job offers some."""

TOGETHER = 40
"""Jobs that exchange their places at once, where not all ways are listed."""

OFFERS = 8
"""Choices that a job offers, beside the place it has."""


@dataclass(frozen=True)
class Choice:
    """A run that a job may be given, and its grams."""

    job: int
    run: Run
    gco2: float


@dataclass(frozen=True)
class Solved:
    """What HiGHS found: the columns that are taken, and whether it is proven that no others are better."""

    values: Booleans
    best: bool


@dataclass(frozen=True)
class Exchanged:
    """What came of an exchange.

    Attributes:
        gained: The jobs' places are others now, and better.
        best: No way to run these jobs beside the others is better than the one they have now.
    """

    gained: bool
    best: bool


def every_choice(queue: Queue) -> list[Choice] | None:
    """All runs of all jobs; `None` where they are too many to list."""
    window = np.maximum(queue.deadline - queue.first, 0)
    total = 0
    for job, site in np.argwhere(queue.duration > 0).tolist():
        length = int(queue.duration[job, site])
        if queue.interruptible[job]:
            total += comb(int(window[job]), length)
        else:
            total += max(0, int(window[job]) - length + 1)
        if total > EVERY:
            return None
    choices = []
    for job, site in np.argwhere(queue.duration > 0).tolist():
        length, first, deadline = (
            int(queue.duration[job, site]),
            int(queue.first[job]),
            int(queue.deadline[job]),
        )
        if queue.interruptible[job]:
            runs = [np.array(slots, dtype=np.int64) for slots in combinations(range(first, deadline), length)]
        else:
            runs = [np.arange(start, start + length) for start in range(first, deadline - length + 1)]
        choices += [Choice(job, (site, slots), queue.grams(job, site, slots)) for slots in runs]
    return choices


def offers(booking: Booking, jobs: Integers, prices: Floats) -> list[Choice]:
    """Runs that these jobs, which have no place now, would take at prices about these; those that fit."""
    queue = booking.queue
    free = booking.room > 0
    part = Search(queue.only(jobs))
    found = [(int(jobs[row]), (site, slots)) for row, site, slots in part.several(prices, free, OFFERS)]
    return [Choice(job, run, queue.grams(job, *run)) for job, run in found]


def exchange(booking: Booking, jobs: Integers, prices: Floats, *, all_ways: bool = False) -> Exchanged:
    """Let jobs exchange their places, if that places more of the urgent ones or saves grams.

    Where all have a place, grams alone count; where one has none, first as many as can be of the highest rank are
    placed, then of the next, and then grams count.

    Args:
        booking: Is changed where that is better.
        jobs: Who takes part, ascending.
        prices: Of capacity; jobs offer what they would take at about these.
        all_ways: Do nothing unless all ways to run these jobs can be listed.
    """
    listed = every_choice(booking.queue.only(jobs))
    if listed is None and all_ways:
        return Exchanged(gained=False, best=False)
    before = {job: booking.runs[job] for job in jobs.tolist()}
    cost_before = booking.gco2[jobs].sum()
    held = {job: booking.take(job) for job, run in before.items() if run is not None}
    if listed is not None:
        choices = [replace(choice, job=int(jobs[choice.job])) for choice in listed]
        choices = [choice for choice in choices if booking.fits(choice.run)]
    else:
        own = [Choice(job, run, booking.queue.grams(job, *run)) for job, run in held.items()]
        choices = _without_twins(own + offers(booking, jobs, prices))
    solved = _choose(booking, jobs.tolist(), choices, all_placed=len(held) == len(jobs))
    taken = [choice for choice, on in zip(choices, solved.values, strict=True) if on] if solved else []
    worth, worth_before = _worth(booking, [choice.job for choice in taken]), _worth(booking, list(held))
    cheaper = sum(choice.gco2 for choice in taken) < cost_before * (1 - 1e-9)
    gained = worth > worth_before or (worth == worth_before and cheaper)
    for job, run in [(choice.job, choice.run) for choice in taken] if gained else held.items():
        booking.put(job, run)
    return Exchanged(gained, best=listed is not None and solved is not None and solved.best)


def _worth(booking: Booking, jobs: list[int]) -> tuple[int, ...]:
    ranks = np.bincount(booking.rank[jobs], minlength=int(booking.rank.max(initial=0)) + 1)
    return tuple(int(count) for count in ranks[::-1])


def _without_twins(choices: list[Choice]) -> list[Choice]:
    return list({(choice.job, choice.run[0], choice.run[1].tobytes()): choice for choice in choices}.values())


def _choose(booking: Booking, jobs: list[int], choices: list[Choice], *, all_placed: bool) -> Solved | None:
    if not choices:
        return Solved(np.zeros(0, dtype=np.bool_), best=True)
    row_of = {job: row for row, job in enumerate(jobs)}
    cells: dict[tuple[int, int], int] = {}
    columns = []
    for choice in choices:
        site, slots = choice.run
        rows = [cells.setdefault((site, slot), len(jobs) + len(cells)) for slot in slots.tolist()]
        columns.append([row_of[choice.job], *rows])
    room = np.array([booking.room[cell] for cell in cells], dtype=np.float64)
    upper = np.concatenate([np.ones(len(jobs)), room])
    lower = np.zeros(len(upper))
    gco2 = np.array([choice.gco2 for choice in choices])
    if all_placed:
        lower[: len(jobs)] = 1.0
        return solve(gco2, columns, lower, upper)
    # One job of a rank outweighs all jobs of the ranks below it.
    counts = np.bincount(booking.rank[jobs])
    weights = np.cumprod([1, *(counts[:-1] + 1)])
    worth = weights[booking.rank[[choice.job for choice in choices]]].astype(np.float64)
    most = solve(-worth, columns, lower, upper)
    if most is None:
        return None
    columns = [[*rows, len(upper)] for rows in columns]
    least = np.append(lower, most.values @ worth)
    cheapest = solve(gco2, columns, least, np.append(upper, np.inf), last_row=worth)
    return replace(cheapest, best=cheapest.best and most.best) if cheapest is not None else most


def solve(
    cost: Floats,
    columns: list[list[int]],
    lower: Floats,
    upper: Floats,
    *,
    last_row: Floats | None = None,
) -> Solved | None:
    """Choose columns, each wholly or not at all, at the least cost; `None` where nothing was found.

    Args:
        cost: Of each column.
        columns: The rows in which each column counts one.
        lower: Least sum of each row.
        upper: Greatest sum of each row.
        last_row: What each column counts in its last row, instead of one.
    """
    lengths = [len(rows) for rows in columns]
    starts = np.concatenate([[0], np.cumsum(lengths)])
    values = np.ones(starts[-1])
    if last_row is not None:
        values[starts[1:] - 1] = last_row
    scale = float(np.abs(cost).max()) or 1.0
    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = len(columns), len(upper)
    model.col_cost_ = cost / scale
    model.col_lower_, model.col_upper_ = np.zeros(len(columns)), np.ones(len(columns))
    model.row_lower_, model.row_upper_ = lower, upper
    model.integrality_ = [highspy.HighsVarType.kInteger] * len(columns)
    model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    model.a_matrix_.start_ = starts
    model.a_matrix_.index_ = np.concatenate([np.asarray(rows) for rows in columns])
    model.a_matrix_.value_ = values
    highs = _SilentHighs()  # type: ignore[no-untyped-call]
    highs.setOptionValue("parallel", "off")
    highs.setOptionValue("mip_max_nodes", NODES)
    highs.setOptionValue("mip_rel_gap", 1e-6)
    highs.passModel(model)
    highs.run()
    solution = highs.getSolution()
    info = highs.getInfo()
    if (
        not solution.value_valid
        or info.primal_solution_status != highspy.SolutionStatus.kSolutionStatusFeasible
    ):
        return None
    best = highs.getModelStatus() == highspy.HighsModelStatus.kOptimal
    return Solved(np.array(solution.col_value) > 0.5, best)


class _SilentHighs(highspy.Highs):
    """The solver without a word: 1.16 prints a banner as soon as its callbacks are enabled, in its constructor."""

    def enableCallbacks(self) -> None:
        self.silent()
        super().enableCallbacks()  # type: ignore[no-untyped-call]
