"""The sentences that the table and the page share."""

from __future__ import annotations

from datetime import datetime, timedelta

from carbon_policy.domain.ledger import LedgerEntry
from carbon_policy.domain.times import format_duration
from carbon_policy.domain.units import format_grams, format_percent, sign
from carbon_policy.report.summary import Group, completed


def headline(group: Group) -> str:
    """One group's result: what was emitted, what would have been, and the difference."""
    totals = group.totals
    if not totals.counted:
        return f"None of {totals.jobs} jobs has actual intensities yet: nothing can be said of savings."
    result = (
        f"{totals.counted} {'job' if totals.counted == 1 else 'jobs'} emitted {format_grams(totals.gco2)};"
        f" at once on fast they would have emitted {format_grams(totals.counterfactual_gco2)}."
    )
    share = f"({format_percent(None if totals.saved_percent is None else abs(totals.saved_percent))})"
    if sign(totals.saved_gco2) < 0:
        return f"{result} Placing them cost {format_grams(-totals.saved_gco2)} {share} more."
    return f"{result} Saved {format_grams(totals.saved_gco2)} {share}."


def forecast_sentence(group: Group) -> str:
    """How the predicted savings turned out; empty where none was predicted."""
    totals = group.totals
    jobs, broken_off = totals.predicted_jobs, totals.predicted_not_completed
    if not jobs:
        return (
            f"{_jobs(broken_off)} whose decisions predicted a saving did not complete: there is nothing to compare."
            if broken_off
            else ""
        )
    sentence = (
        f"The {'decision' if jobs == 1 else 'decisions'} of {_jobs(jobs)} predicted a saving of"
        f" {format_grams(totals.predicted_saving_gco2)}; realised: {format_grams(totals.realised_saving_gco2)}."
    )
    return (
        f"{sentence} {broken_off} more did not complete and are on neither side." if broken_off else sentence
    )


def _jobs(count: int) -> str:
    return f"{count} {'job' if count == 1 else 'jobs'}"


def energy_origin(energy_kwh: float, measured_kwh: float) -> str:
    """How energy was obtained: `measured`, `estimated`, or the measured share."""
    if energy_kwh <= 0:
        return "none used"
    share = measured_kwh / energy_kwh
    if share > 0.995:
        return "measured"
    return f"{share:.0%} measured" if share >= 0.005 else "estimated"


def placement(entry: LedgerEntry) -> str:
    """What was decided: `at once, fast`, `deferred, eco`."""
    return f"{'deferred' if entry.deferrals else 'at once'}, {entry.tier}"


def unhappy_end(entry: LedgerEntry) -> str:
    """How a job ended that did not complete: `crashed`, `failed`, `cancelled`; empty for one that did."""
    return "" if completed(entry) else entry.state.lower()


def format_wait(seconds: float) -> str:
    """A wait: `3h 20m`, `none`; `2h early` for a start before it was due."""
    if seconds <= -1:
        return f"{format_duration(timedelta(seconds=-seconds))} early"
    return format_duration(timedelta(seconds=seconds)) if seconds >= 1 else "none"


def format_moment(moment: datetime) -> str:
    """A UTC moment to the second, without the zone, which the heading says: `2026-11-22 06:00:00`."""
    return f"{moment:%Y-%m-%d %H:%M:%S}"
