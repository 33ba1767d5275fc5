"""Many ledger entries in a few true numbers. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from math import fsum
from typing import TypeVar

from pydantic import BaseModel, ConfigDict

from carbon_policy.domain.ledger import LedgerEntry
from carbon_policy.domain.units import sign

Key = TypeVar("Key")


class Totals(BaseModel):
    """Sums over jobs whose grams may be added up.

    Energy and grams are sums over the `counted` jobs alone, so that each of them belongs to the others;
    waits and states are those of all jobs.

    Attributes:
        jobs: All of them.
        counted: Those with realised and counterfactual grams.
        lacking_actuals: The others; they are in no sum.
        preliminary: Counted jobs whose grams are preliminary.
        cost_carbon: Counted jobs that emitted more than at once on fast.
        not_completed: Jobs that failed, crashed or were cancelled; what they emitted counts.
        not_completed_idle: Those of them that used no energy, as far as is known.
        energy_kwh: At the machines, without PUE.
        measured_kwh: The part of it that counters said.
        estimated_kwh: The part of it that models said.
        drawn_kwh: With PUE; what the grams were made from.
        lacking_energy_kwh: Of the jobs that are not counted, without PUE.
        gco2: Realised grams.
        counterfactual_gco2: Grams of the same jobs at once on fast.
        saved_gco2: Their difference; negative where placing cost carbon.
        saved_percent: Of the counterfactual; `None` where that is nothing.
        predicted_jobs: Counted jobs that completed, and whose decision predicted a saving.
        predicted_saving_gco2: What those decisions predicted.
        realised_saving_gco2: What those jobs then saved.
        predicted_not_completed: Counted jobs whose decision predicted a saving, but that did not complete: they are on
            neither side of that comparison.
        wait_mean_s: Seconds from being due to the start.
        wait_max_s: The longest of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    jobs: int
    counted: int
    lacking_actuals: int
    preliminary: int
    cost_carbon: int
    not_completed: int
    not_completed_idle: int
    energy_kwh: float
    measured_kwh: float
    estimated_kwh: float
    drawn_kwh: float
    lacking_energy_kwh: float
    gco2: float
    counterfactual_gco2: float
    saved_gco2: float
    saved_percent: float | None
    predicted_jobs: int
    predicted_saving_gco2: float
    realised_saving_gco2: float
    predicted_not_completed: int
    wait_mean_s: float
    wait_max_s: float


class Group(BaseModel):
    """Jobs whose grams mean the same and may be added up.

    Attributes:
        signal: `average` or `marginal`.
        factors: `life-cycle` or `direct`.
        simulated: The grid was made up; the grams are of no real electricity.
        sources: Who gave the actual intensities.
        totals: Of all of them.
        by_reason: By the code of the last decision.
        by_site: By the site that ran them.
        by_deployment: By the user's deployment, or the flow where there is none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    signal: str
    factors: str
    simulated: bool
    sources: tuple[str, ...]
    totals: Totals
    by_reason: dict[str, Totals]
    by_site: dict[str, Totals]
    by_deployment: dict[str, Totals]

    @property
    def label(self) -> str:
        """What its grams are: `average signal, life-cycle factors`."""
        return f"{self.signal} signal, {self.factors} factors{', SIMULATED grid' if self.simulated else ''}"


class Summary(BaseModel):
    """What a report says of all its jobs.

    Attributes:
        jobs: How many.
        simulated_share: The share of them (0 to 1) on a simulated grid.
        first_started_at: Start of the first, UTC; `None` without jobs.
        last_ended_at: End of the last, UTC.
        groups: One for each kind of grams, the largest first. Grams are never added across groups.
        notes: What a reader must know before using a number, one sentence each.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    jobs: int
    simulated_share: float
    first_started_at: datetime | None
    last_ended_at: datetime | None
    groups: tuple[Group, ...]
    notes: tuple[str, ...]


def summarise(entries: Iterable[LedgerEntry]) -> Summary:
    """The summary of these entries; kinds of grams that must not be added up are kept apart."""
    everything = list(entries)
    kinds = _split(everything, lambda entry: (entry.signal, entry.factors, entry.simulated))
    groups = sorted((_group(members) for members in kinds.values()), key=lambda group: -group.totals.jobs)
    simulated = sum(entry.simulated for entry in everything)
    return Summary(
        jobs=len(everything),
        simulated_share=simulated / len(everything) if everything else 0.0,
        first_started_at=min((entry.started_at for entry in everything), default=None),
        last_ended_at=max((entry.ended_at for entry in everything), default=None),
        groups=tuple(groups),
        notes=tuple(_notes(groups)),
    )


def deployment_of(entry: LedgerEntry) -> str:
    """The deployment as Prefect writes it, `flow/deployment`; the flow alone for a direct call."""
    return f"{entry.flow}/{entry.deployment}" if entry.deployment else entry.flow


def completed(entry: LedgerEntry) -> bool:
    """Whether the job ran to its end: it did not crash, fail or get cancelled."""
    return entry.state == "COMPLETED"


def _group(entries: Sequence[LedgerEntry]) -> Group:
    def by(key: Callable[[LedgerEntry], str]) -> dict[str, Totals]:
        return {name: _totals(part) for name, part in sorted(_split(entries, key).items())}

    return Group(
        signal=entries[0].signal,
        factors=entries[0].factors,
        simulated=entries[0].simulated,
        sources=tuple(sorted({entry.intensity_source for entry in entries if entry.intensity_source})),
        totals=_totals(entries),
        by_reason=by(lambda entry: entry.reason),
        by_site=by(lambda entry: entry.site),
        by_deployment=by(deployment_of),
    )


def _split(entries: Iterable[LedgerEntry], key: Callable[[LedgerEntry], Key]) -> dict[Key, list[LedgerEntry]]:
    parts: dict[Key, list[LedgerEntry]] = defaultdict(list)
    for entry in entries:
        parts[key(entry)].append(entry)
    return parts


def _totals(entries: Sequence[LedgerEntry]) -> Totals:
    counted = [entry for entry in entries if entry.saved_gco2 is not None]
    lacking = [entry for entry in entries if entry.saved_gco2 is None]
    with_prediction = [entry for entry in counted if entry.predicted_saving_gco2 is not None]
    # A prediction is of a whole job: one that broke off neither kept it nor missed it.
    predicted = [entry for entry in with_prediction if completed(entry)]
    broken_off = [entry for entry in entries if not completed(entry)]
    counterfactual = fsum(entry.counterfactual_gco2 or 0 for entry in counted)
    saved = fsum(entry.saved_gco2 or 0 for entry in counted)
    # An early start makes nobody's wait shorter.
    waits = [max(0.0, entry.wait_s) for entry in entries]
    return Totals(
        jobs=len(entries),
        counted=len(counted),
        lacking_actuals=len(lacking),
        preliminary=sum(not entry.settled for entry in counted),
        cost_carbon=sum(sign(entry.saved_gco2) < 0 for entry in counted),
        not_completed=len(broken_off),
        not_completed_idle=sum(not sign(entry.energy_kwh) for entry in broken_off),
        energy_kwh=fsum(entry.energy_kwh for entry in counted),
        measured_kwh=fsum(entry.measured_kwh for entry in counted),
        estimated_kwh=fsum(entry.estimated_kwh for entry in counted),
        drawn_kwh=fsum(entry.energy_kwh * entry.pue for entry in counted),
        lacking_energy_kwh=fsum(entry.energy_kwh for entry in lacking),
        gco2=fsum(entry.gco2 or 0 for entry in counted),
        counterfactual_gco2=counterfactual,
        saved_gco2=saved,
        saved_percent=100 * saved / counterfactual if counterfactual > 0 else None,
        predicted_jobs=len(predicted),
        predicted_saving_gco2=fsum(entry.predicted_saving_gco2 or 0 for entry in predicted),
        realised_saving_gco2=fsum(entry.saved_gco2 or 0 for entry in predicted),
        predicted_not_completed=len(with_prediction) - len(predicted),
        wait_mean_s=fsum(waits) / len(waits),
        wait_max_s=max(waits),
    )


def _notes(groups: Sequence[Group]) -> Iterable[str]:
    if len(groups) > 1:
        kinds = "; ".join(group.label for group in groups)
        yield f"These grams are of {len(groups)} kinds that must not be added up, and are not: {kinds}."
    totals = [group.totals for group in groups]
    jobs = sum(part.jobs for part in totals)
    for what, count in (
        (
            "Ran on a simulated grid, so that no claim may be built on them",
            sum(group.totals.jobs for group in groups if group.simulated),
        ),
        (
            "Lacking actual intensities so far, and in no sum of energy or grams",
            sum(part.lacking_actuals for part in totals),
        ),
        (
            "Counted with preliminary intensities, which may still change",
            sum(part.preliminary for part in totals),
        ),
        (
            "Emitted more than at once on fast, which the sums hold against the savings",
            sum(part.cost_carbon for part in totals),
        ),
        (
            "Did not complete, but emitted all the same",
            sum(part.not_completed - part.not_completed_idle for part in totals),
        ),
        (
            "Did not complete, and used no energy as far as is known",
            sum(part.not_completed_idle for part in totals),
        ),
    ):
        if count:
            yield f"{what}: {count} of {jobs} jobs."
