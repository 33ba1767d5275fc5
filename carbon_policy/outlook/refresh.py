"""Keeping a zone up to date: fetch, gate, store, forecast, learn who errs how, and say whether a plan would change."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from carbon_policy.domain.errors import CarbonPolicyError
from carbon_policy.domain.finding import Finding
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.forecasting.forecaster import Forecaster
from carbon_policy.grid.chain import Chain
from carbon_policy.outlook.expected import Expectation, expected, norms_of
from carbon_policy.outlook.fetch import fetch
from carbon_policy.outlook.learning import learn, past_issues
from carbon_policy.outlook.skill import keep_skill
from carbon_policy.outlook.stored import BRIDGED, TRAINED_ON
from carbon_policy.outlook.windows import greenest_windows
from carbon_policy.store.history import History

FIRST_FETCH = timedelta(days=28)
"""How far back a zone that is new is fetched; `backfill` fetches more."""

REVISED_FOR = timedelta(days=2)
"""Measured values may change for so long, so they are fetched again."""

_HOLES = timedelta(hours=2)
_GAPS_EVERY = timedelta(days=1)  # What nobody knew an hour ago, nobody knows now.
_PLAN_LENGTH, _PLAN_AHEAD = timedelta(hours=4), timedelta(hours=24)
_PLAN_LOSES = 0.05  # Of the grams: with less to gain, a plan that was made stays as good as a new one.


@dataclass(frozen=True)
class Refreshed:
    """What a refresh came to.

    Attributes:
        zone: Which.
        expectation: What is expected now.
        added: Measured slots that were new.
        revised: Measured slots that had another value before.
        own: Whether a forecast of our own was made.
        change: Why a plan that was made on the last outlook would change; `None` where it would not.
        findings: What was amiss on the way.
    """

    zone: str
    expectation: Expectation
    added: int
    revised: int
    own: bool
    change: str | None
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()


def refresh(zone: str, now: datetime, live: Chain, whole: Chain, history: History) -> Refreshed:
    """Bring a zone up to date.

    Args:
        zone: Electricity Maps' key.
        now: UTC.
        live: The sources that the store is filled from.
        whole: The chain that a decision would ask.
        history: The store.
    """
    added, revised, findings, notes, measured = _fetch(zone, now, live, history)
    own = False
    try:
        own = _forecast(zone, now, history, live, measured)
        if measured is not None:
            # Weeks of issues take seconds to read: once for both.
            past = past_issues(zone, now, measured.source, measured.labels, history)
            learn(zone, measured.source, measured.labels, past, history)
            keep_skill(zone, now, measured.source, measured.labels, past, history)
    except CarbonPolicyError as error:
        notes.append(f"No forecast of our own: {error}")
    expectation = expected(zone, now, whole, history)
    return Refreshed(
        zone=zone,
        expectation=expectation,
        added=added,
        revised=revised,
        own=own,
        change=_change(zone, now, expectation, history),
        findings=(*findings, *expectation.outlook.findings),
        notes=tuple(notes),
    )


def _fetch(
    zone: str, now: datetime, live: Chain, history: History
) -> tuple[int, int, tuple[Finding, ...], list[str], IntensitySeries | None]:
    """Measured values that may have been revised, and what is missing of the last weeks, of whoever answers now."""
    norms = norms_of(history, zone, now)
    latest = fetch(zone, now - REVISED_FOR, now, live, history, now, norms)
    series = latest.answer.series
    if series is None:
        return 0, 0, latest.findings, [f"Nothing was measured: {' '.join(latest.answer.notes)}"], None
    added, revised, findings = latest.added, latest.revised, list(latest.findings)
    before, key = now - REVISED_FOR, f"gaps of {series.source}, {series.labels}"
    looked = history.noted_at(zone, key)
    if looked is not None and now - looked < _GAPS_EVERY:
        return added, revised, tuple(findings), [], series
    history.note(zone, key, {}, noted_at=now)
    for start, end in history.gaps(
        zone, now - FIRST_FETCH, before, source=series.source, labels=series.labels
    ):
        # Nobody knows a slot or two between known ones by the second day: they would be asked for ever.
        if end - start > _HOLES:
            missing = fetch(zone, start, end, live, history, now, norms)
            added, revised = added + missing.added, revised + missing.revised
            findings += missing.findings
    return added, revised, tuple(dict.fromkeys(findings)), [], series


def _forecast(
    zone: str, now: datetime, history: History, live: Chain, measured: IntensitySeries | None
) -> bool:
    """Make and keep a forecast of our own; False where there is no history to make one of.

    It is made from the history of who answers now; where nobody does, of who answered last.
    """
    source, labels = (measured.source, measured.labels) if measured is not None else (None, None)
    past = history.measured(
        zone, now - TRAINED_ON, now, source=source, labels=labels, signal=live.signal, bridge=BRIDGED
    )
    if past is None:
        return False
    made = Forecaster(past).forecast(past)
    history.record_forecast(made.expected, made.quantiles, fetched_at=now)
    return True


def _change(zone: str, now: datetime, expectation: Expectation, history: History) -> str | None:
    """Whether a plan for a job of four hours within a day, made on the last outlook, has become a bad one."""
    series, step = expectation.outlook.series, expectation.outlook.step
    noted = history.noted(zone, "outlook")
    before = noted or {}
    after: dict[str, object] = {"step": step.value if step else None}
    change = None
    if before and before.get("step") != after["step"]:
        change = f"the outlook is {after['step'] or 'unknown'} now, and was {before.get('step') or 'unknown'}"
    if series is not None and series.covers(now, now + _PLAN_LENGTH):
        best = greenest_windows(series, now, min(now + _PLAN_AHEAD, series.end), _PLAN_LENGTH)[0]
        after["start"] = best.start.isoformat()
        planned = datetime.fromisoformat(str(before["start"])) if before.get("start") else None
        if planned is not None and planned >= now and series.covers(planned, planned + _PLAN_LENGTH):
            then = series.mean(planned, planned + _PLAN_LENGTH)
            if then - best.gco2_per_kwh > _PLAN_LOSES * then:
                change = (
                    f"the greenest {_PLAN_LENGTH.total_seconds() / 3600:.0f} h were to begin at"
                    f" {planned:%Y-%m-%d %H:%M}, and begin at {best.start:%Y-%m-%d %H:%M} now:"
                    f" {best.gco2_per_kwh:.0f} instead of {then:.0f} g/kWh"
                )
            elif change is None:
                # The plan stands; so does what it is compared with.
                after["start"] = planned.isoformat()
    # Of two that refresh at once, one tells.
    return change if history.note_if(zone, "outlook", after, was=noted) else None
