"""Gathering what a decision is made from. The one place where the world is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from carbon_policy.domain.chain import ChainStep
from carbon_policy.domain.decision import Evidence, Plan
from carbon_policy.domain.finding import Finding, FindingKind, Treatment
from carbon_policy.domain.job import JobSpec, Mode, PolicyName, Urgency
from carbon_policy.domain.precedence import ResolvedSpec
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.grid.chain import FORECAST_WITHIN_S, Outlook
from carbon_policy.grid.deadline import within
from carbon_policy.grid.recent import with_recent_history
from carbon_policy.grid.sanity import differing
from carbon_policy.grid.series import saying
from carbon_policy.orchestration.directory import Directory
from carbon_policy.orchestration.experience import Experience
from carbon_policy.orchestration.settings import CarbonSettings
from carbon_policy.orchestration.status import put_to_sleep
from carbon_policy.outlook.blending import Quantiles
from carbon_policy.outlook.view import grid_view
from carbon_policy.policies.needs import reference_site

PATIENCE_S = 60.0
"""For how long a decision waits for the grid: for all its zones, their sources and the store together."""


def weighs(spec: JobSpec, released: bool) -> bool:
    """Whether there is anything to weigh: a job that goes whatever anybody says need not wait for answers."""
    return not (released or spec.urgency is Urgency.CRITICAL or spec.mode is Mode.OFF)


@dataclass
class Asked:
    """What the grid said of the zones that were asked about, as far as it is known.

    Attributes:
        outlooks: Zone to intensity.
        steps: Zone to the step of the fallback chain.
        quantiles: Zone to the band, one value a slot of the outlook as it was issued.
        skill: Zone to the share of the perfect-foresight saving that its forecasts have kept.
        findings: What was amiss.
    """

    outlooks: dict[str, IntensitySeries] = field(default_factory=dict)
    steps: dict[str, ChainStep] = field(default_factory=dict)
    quantiles: dict[str, dict[float, tuple[float, ...]]] = field(default_factory=dict)
    skill: dict[str, float] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)


def gather(
    directory: Directory,
    resolved: ResolvedSpec,
    *,
    job: str,
    now: datetime,
    submitted_at: datetime,
    deferrals: int = 0,
    released: bool = False,
    plan: Plan | None = None,
    progress: float = 0.0,
    experience: Experience | None = None,
    asked: Asked | None = None,
) -> Evidence:
    """Ask the grid sources of every zone that matters, and hold the answers still.

    A run that may start early may be asked about before it is due, and keeps its due time: what it may do, and what it
    saves, is judged by that. Nobody looks ahead at any other: where one seems not to be due yet it has been started all
    the same, by hand or by a clock that is a little ahead, and is due now.

    Args:
        directory: The team's choices.
        resolved: What is said of the job.
        job: Names the run.
        now: UTC.
        submitted_at: When the run was, or will be, due, UTC.
        deferrals: How often it was deferred.
        released: Whether someone said: go now.
        plan: What was planned for it, where a run that waits is decided again.
        progress: The share of the work that is done and saved.
        experience: What the ledger says of it.
        asked: The grid's answers, where they are at hand.
    """
    spec, experience = resolved.spec, experience or Experience()
    if asked is None:
        asked = ask_grid(directory, spec, now) if weighs(spec, released) else Asked()
    series_by_zone, findings = dict(asked.outlooks), list(asked.findings)
    _drop_unlike(directory, series_by_zone, findings)
    evidence = Evidence(
        job=job,
        now=now,
        submitted_at=submitted_at if spec.start_early else min(submitted_at, now),
        spec=spec,
        sources=resolved.sources,
        settings=directory.policy.as_settings(),
        sites=directory.sites,
        outlook=series_by_zone,
        steps={zone: asked.steps[zone] for zone in series_by_zone},
        findings=tuple(dict.fromkeys(findings)),
        deferrals=deferrals,
        released=released,
        notes=(*directory.notes, *experience.notes),
        quantiles={
            zone: _aligned(asked.quantiles[zone], series)
            for zone, series in series_by_zone.items()
            if asked.quantiles.get(zone)
        },
        skill={zone: share for zone, share in asked.skill.items() if zone in series_by_zone},
        estimates=dict(experience.estimates),
        plan=plan,
        progress=progress,
        budgets=experience.budgets,
    )
    return _without_sleepers(evidence, directory)


def ask_grid(directory: Directory, spec: JobSpec, now: datetime) -> Asked:
    """Ask about every zone, for `PATIENCE_S` in all; what is not known by then is left out, and a finding says so.

    Whatever goes wrong, the job goes on: a source, the store, a name server or a part of ours may hang or break.

    Args:
        directory: The team's choices.
        spec: Of a job; a policy of quantiles needs recent history before the outlooks.
        now: UTC.
    """
    asked, with_history = Asked(), spec.policy is PolicyName.THRESHOLD

    def ask() -> None:
        with grid_view(CarbonSettings().history_address, directory.sources, directory.keyed) as grid:
            for zone in dict.fromkeys(site.zone for site in directory.sites):
                expectation = grid.expected(zone, now)
                answer = expectation.outlook
                asked.findings.extend(answer.findings)
                if answer.series is None or answer.step is None:
                    continue
                # In this order: whoever sees an outlook finds all else.
                asked.steps[zone] = answer.step
                asked.quantiles[zone] = _rounded(expectation.quantiles)
                skill = grid.skill(answer.series, now)
                if skill is not None:
                    asked.skill[zone] = skill.share
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


def _rounded(quantiles: Quantiles) -> dict[float, tuple[float, ...]]:
    """A band to a tenth of a gram: it is kept with each decision, and no forecast is known better than that."""
    return {level: tuple(round(value, 1) for value in values) for level, values in quantiles.items()}


def _aligned(
    quantiles: Mapping[float, tuple[float, ...]], series: IntensitySeries
) -> dict[float, tuple[float, ...]]:
    """The band of an outlook, for each slot of the series that it became: history before it has no error."""
    values = series.values_gco2_per_kwh
    return {level: (*values[: len(values) - len(band)], *band) for level, band in quantiles.items()}


def _without_sleepers(evidence: Evidence, directory: Directory) -> Evidence:
    """Leave out the sites that nobody serves, but for the one where this job would have gone without us."""
    reference = reference_site(evidence)
    name = reference.name if reference is not None else None
    left_out = [sentence for site, sentence in directory.asleep.items() if site != name]
    if not left_out:
        return evidence
    return evidence.model_copy(
        update={
            "sites": put_to_sleep(evidence.sites, directory.asleep, name),
            "notes": (*left_out, *evidence.notes),
        }
    )


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
