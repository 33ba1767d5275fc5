"""The world that `carbon-policy simulate` tries policies in: the file's jobs on the file's grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from carbon_policy.cli.simulate_jobs import FileJob
from carbon_policy.cli.simulate_rules import Knowledge, Rule
from carbon_policy.domain.errors import InvalidInputError
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.domain.times import format_duration
from carbon_policy.forecasting.features import DAY
from carbon_policy.forecasting.hourly import HOUR, HourlyHistory
from carbon_policy.forecasting.training import SHORTEST_HISTORY_H
from carbon_policy.simulation.outlook import (
    Issued,
    Outlook,
    Perfect,
    knowing_the_hour,
    own_forecasts,
    persistence,
)
from carbon_policy.simulation.policies import (
    BEST_WINDOW,
    GAIA_CARBON_TIME,
    GAIA_LOWEST_WINDOW,
    LOWEST_SLOT,
    WAIT_AWHILE,
    Policy,
    Threshold,
)
from carbon_policy.simulation.rolling import WAIT_AWHILE_INTERRUPTING, Rolling, RollingSlices
from carbon_policy.simulation.workload import workload
from carbon_policy.simulation.world import World


@dataclass(frozen=True)
class Built:
    """A world and where it begins.

    Attributes:
        world: Its first slot begins at `start`.
        start: UTC.
    """

    world: World
    start: datetime


def policy_of(rule: Rule, wait_cost_per_hour: float) -> Policy:
    """The policy that a name stands for; only ours has a price of waiting."""
    policies: dict[Rule, Policy] = {
        Rule.OURS: Rolling("ours, re-planned hourly", wait_cost_per_hour=wait_cost_per_hour),
        Rule.OURS_INTERRUPTING: RollingSlices("ours, interrupting, re-planned hourly"),
        Rule.THRESHOLD: Threshold(),
        Rule.LOWEST_SLOT: LOWEST_SLOT,
        Rule.BEST_WINDOW: BEST_WINDOW,
        Rule.GAIA_LOWEST_WINDOW: GAIA_LOWEST_WINDOW,
        Rule.GAIA_CARBON_TIME: GAIA_CARBON_TIME,
        Rule.WAIT_AWHILE: WAIT_AWHILE,
        Rule.WAIT_AWHILE_INTERRUPTING: WAIT_AWHILE_INTERRUPTING,
    }
    return policies[rule]


def build(
    jobs: Sequence[FileJob],
    series: IntensitySeries,
    *,
    begin: datetime | None,
    slot: timedelta,
    max_wait: timedelta,
    knowledge: Knowledge,
) -> Built:
    """The jobs on the trace.

    Args:
        jobs: Of the file.
        series: The trace, with what forecasts are fitted to before the first job.
        begin: The moment that arrivals in seconds count from, UTC; `None` for the first that leaves the forecaster
            enough history.
        slot: Of the simulation; it divides an hour and the trace's slots.
        max_wait: Of jobs of which the file says nothing.
        knowledge: Of the policies.

    Raises:
        InvalidInputError: The jobs do not lie in the trace, or it leaves too little to forecast from.
    """
    slots_per_hour = _slots_per_hour(series, slot)
    history = HourlyHistory.of(series)
    traced_from = history.end - len(history) * HOUR
    needed_h = {Knowledge.OWN: SHORTEST_HISTORY_H, Knowledge.YESTERDAY: DAY, Knowledge.PERFECT: 0}[knowledge]
    origin = begin or traced_from + needed_h * HOUR
    arrivals = [job.arrival if isinstance(job.arrival, datetime) else origin + job.arrival for job in jobs]
    first_h = (min(arrivals) - traced_from) // HOUR
    start = traced_from + first_h * HOUR
    if not 0 <= first_h < len(history):
        raise InvalidInputError(
            f"The first job arrives at {min(arrivals).isoformat()}, and the trace covers {traced_from.isoformat()} to"
            f" {history.end.isoformat()}; let --from lie in it, or give another trace."
        )
    if first_h < min(needed_h, DAY):
        raise InvalidInputError(
            f"The trace has {first_h} h before the first job, and a forecast needs {needed_h}: let --from be"
            f" {(traced_from + needed_h * HOUR).isoformat()} or later, or say --forecast perfect."
        )
    slot_of = [-((start - arrival) // slot) for arrival in arrivals]
    length = [max(1, -(-job.length // slot)) for job in jobs]
    latest = [
        _latest(job, arrival, at, start, slot, steps, max_wait)
        for job, arrival, at, steps in zip(jobs, arrivals, slot_of, length, strict=True)
    ]
    placed = workload(
        np.array(slot_of), np.array(length), np.array(latest), np.array([job.power_w / 1000 for job in jobs])
    )
    per_value = series.step // slot
    skipped = (start - series.start) // slot
    actual = np.repeat(np.asarray(series.values_gco2_per_kwh), per_value)[skipped:]
    last_h = min(len(history), first_h + -(-int(placed.latest_finish.max()) // slots_per_hour))
    outlook = _outlook(knowledge, history, first_h, last_h, actual, slots_per_hour)
    return Built(World(placed, actual, slots_per_hour, outlook), start)


def _slots_per_hour(series: IntensitySeries, slot: timedelta) -> int:
    if slot <= timedelta(0) or HOUR % slot or series.step % slot:
        raise InvalidInputError(
            f"A slot of {format_duration(slot)} divides neither an hour nor the trace's {format_duration(series.step)}"
            " evenly; take --slot 5m, for one."
        )
    return HOUR // slot


def _latest(
    job: FileJob,
    arrival: datetime,
    at: int,
    start: datetime,
    slot: timedelta,
    steps: int,
    max_wait: timedelta,
) -> int:
    """The last slot in which it may start; a deadline that cannot be kept asks for a start at once."""
    if job.finish_by is not None:
        return max(at, (job.finish_by - start) // slot - steps)
    wait = job.max_wait if job.max_wait is not None else max_wait
    return max(at, (arrival + wait - start) // slot)


def _outlook(
    knowledge: Knowledge,
    history: HourlyHistory,
    first_h: int,
    last_h: int,
    actual: np.ndarray,
    slots_per_hour: int,
) -> Outlook:
    hourly = history.values_gco2_per_kwh[first_h:]
    if knowledge is Knowledge.PERFECT:
        return Perfect(actual)
    if knowledge is Knowledge.YESTERDAY:
        again = persistence(history.values_gco2_per_kwh, first_h, last_h, slots_per_hour)
        return Issued(again.name, again.issued - first_h, again.values, hourly, slots_per_hour)
    said = own_forecasts(history, first_h, last_h)
    return knowing_the_hour(said, 0, hourly, slots_per_hour, "own forecasts")
