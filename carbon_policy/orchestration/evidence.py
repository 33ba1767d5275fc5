"""Gathering what a decision is made from. The one place where the world is asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from carbon_policy.domain.chain import ChainStep
from carbon_policy.domain.decision import Evidence
from carbon_policy.domain.finding import Finding, FindingKind, Treatment
from carbon_policy.domain.job import Mode, PolicyName, Urgency
from carbon_policy.domain.precedence import ResolvedSpec
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.grid.chain import FORECAST_WITHIN_S, Outlook
from carbon_policy.grid.deadline import within
from carbon_policy.grid.recent import with_recent_history
from carbon_policy.grid.sanity import differing
from carbon_policy.grid.series import saying
from carbon_policy.orchestration.directory import Directory
from carbon_policy.orchestration.settings import CarbonSettings
from carbon_policy.outlook.view import grid_view

PATIENCE_S = 60.0
"""For how long a decision waits for the grid: for all its zones, their sources and the store together."""


def gather(
    directory: Directory,
    resolved: ResolvedSpec,
    *,
    job: str,
    now: datetime,
    submitted_at: datetime,
    deferrals: int = 0,
    released: bool = False,
) -> Evidence:
    """Ask the grid sources of every zone that matters, and hold the answers still.

    Args:
        directory: The team's choices.
        resolved: What is said of the job.
        job: Names the run.
        now: UTC.
        submitted_at: When the run was due, UTC.
        deferrals: How often it was deferred.
        released: Whether someone said: go now.
    """
    spec = resolved.spec
    asked = _Asked()
    # A job that will not wait, whatever the grid says, need not wait for the grid's answer either.
    asks = not (released or spec.urgency is Urgency.CRITICAL or spec.mode is Mode.OFF)
    if asks:
        asked = _ask(directory, now, with_history=spec.policy is PolicyName.THRESHOLD)
    series_by_zone, findings = dict(asked.outlooks), list(asked.findings)
    _drop_unlike(directory, series_by_zone, findings)
    return Evidence(
        job=job,
        now=now,
        submitted_at=min(submitted_at, now),
        spec=spec,
        sources=resolved.sources,
        settings=directory.policy.as_settings(),
        sites=directory.sites,
        outlook=series_by_zone,
        steps={zone: asked.steps[zone] for zone in series_by_zone},
        findings=tuple(dict.fromkeys(findings)),
        deferrals=deferrals,
        released=released,
        notes=directory.notes,
    )


@dataclass
class _Asked:
    """What is known so far of the zones that were asked about."""

    outlooks: dict[str, IntensitySeries] = field(default_factory=dict)
    steps: dict[str, ChainStep] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def _ask(directory: Directory, now: datetime, *, with_history: bool) -> _Asked:
    """Ask about every zone, for `PATIENCE_S` in all; what is not known by then is left out, and a finding says so.

    Whatever goes wrong, the job goes on: a source, the store, a name server or a part of ours may hang or break.
    """
    asked = _Asked()

    def ask() -> None:
        with grid_view(CarbonSettings().history_address, directory.sources, directory.keyed) as grid:
            for zone in dict.fromkeys(site.zone for site in directory.sites):
                answer = grid.expected(zone, now).outlook
                asked.findings.extend(answer.findings)
                if answer.series is None or answer.step is None:
                    continue
                # In this order: whoever sees an outlook finds its step.
                asked.steps[zone] = answer.step
                asked.outlooks[zone] = answer.series
                if with_history:
                    asked.outlooks[zone] = _with_history(answer, answer.series, now)

    try:
        within(PATIENCE_S, ask, "the grid")
    except Exception as error:
        asked.findings.append(
            Finding(
                kind=FindingKind.FAILED,
                treatment=Treatment.REFUSED,
                source="grid",
                sentence=str(error) or type(error).__name__,
            )
        )
    return asked


def _with_history(answer: Outlook, series: IntensitySeries, now: datetime) -> IntensitySeries:
    """The outlook with its recent history, or as it is where that does not come in time."""
    try:
        return within(FORECAST_WITHIN_S, lambda: with_recent_history(answer, now), "recent history") or series
    except Exception as error:
        return saying(series, f"No recent history: {str(error) or type(error).__name__}")


def _drop_unlike(directory: Directory, outlooks: dict[str, IntensitySeries], findings: list[Finding]) -> None:
    """Leave out zones whose intensity is of another kind than the reference's: the two cannot be compared."""
    reference = outlooks.get(directory.sites[0].zone) if directory.sites else None
    if reference is None:
        return
    for zone, series in list(outlooks.items()):
        mixed = differing(series.labels, reference.labels)
        if mixed is None:
            continue
        del outlooks[zone]
        findings.append(
            Finding(
                kind=mixed,
                treatment=Treatment.LEFT_OUT,
                source=series.source,
                sentence=f"{zone} was left out: its intensities are {series.labels}, which cannot be compared with"
                f" {reference.labels} ones of {reference.source}.",
            )
        )
