"""What a decision rests on beside the grid, as sentences: estimates, needs, budgets, skill, risk, plan and slices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from carbon_policy.domain.budget import BudgetUse
from carbon_policy.domain.decision import Decision, Evidence, Option
from carbon_policy.domain.job import PolicyName
from carbon_policy.domain.units import format_grams
from carbon_policy.policies.needs import eligible_sites, unmet_need


@dataclass(frozen=True)
class Ground:
    """One thing that a decision rests on.

    Attributes:
        kind: What it is: `estimate`, `site`, `budget`, `skill`, `risk`, `plan`, `progress` or `slices`.
        sentence: For people.
    """

    kind: str
    sentence: str


def grounds_of(decision: Decision) -> list[Ground]:
    """What a decision rests on, in the order in which people ask; what says nothing is left out."""
    evidence, chosen = decision.evidence, decision.chosen
    found = [Ground("plan", _plan(evidence))] if evidence.plan is not None else []
    if evidence.progress:
        found.append(Ground("progress", f"{evidence.progress:.0%} of the work is done and saved."))
    if chosen is not None and chosen.slices:
        found.append(Ground("slices", _slices(chosen)))
    found += [Ground("estimate", sentence) for sentence in _estimates(evidence)]
    found += [Ground("site", sentence) for sentence in _left_out(evidence)]
    found += [Ground("budget", _budget(use)) for use in evidence.budgets]
    found += [
        Ground("skill", f"{zone}: following its forecasts kept {share:.0%} of the perfect-foresight saving.")
        for zone, share in evidence.skill.items()
    ]
    risk = _risk(evidence, chosen) if chosen is not None else None
    return [*found, *([Ground("risk", risk)] if risk else [])]


def _plan(evidence: Evidence) -> str:
    plan = evidence.plan
    assert plan is not None  # noqa: S101  The caller has looked.
    planned = f"It was planned for {_clock(plan.start)} on {plan.site}, as decided {_clock(plan.decided_at)}"
    if plan.by is PolicyName.FLEET:
        return f"{planned}, together with all waiting runs."
    return f"{planned}; a change must save {evidence.settings.replan_margin:.0%} of its grams."


def _slices(chosen: Option) -> str:
    spans = ", ".join(f"{_clock(part.start)} to {part.finish:%H:%M}" for part in chosen.slices)
    return f"{len(chosen.slices)} slices on {chosen.site}: {spans}."


def _estimates(evidence: Evidence) -> Iterator[str]:
    for site in eligible_sites(evidence):
        estimate = evidence.estimates.get(site.name)
        if estimate is not None:
            yield f"{site.name}: {estimate.sentence or estimate.basis}"


def _left_out(evidence: Evidence) -> Iterator[str]:
    """Of the sites that are there, those that this job cannot take. What is disabled has its note."""
    for site in evidence.sites:
        why = unmet_need(evidence.spec, site)
        if site.enabled and why is not None:
            yield f"{site.name} was left out: {why}."


def _budget(use: BudgetUse) -> str:
    whose = f"tag {use.budget.tag}" if use.budget.tag else "all runs"
    parts = []
    if use.budget.gco2 is not None:
        parts.append(
            f"{format_grams(use.used_gco2)} of {format_grams(use.budget.gco2)}"
            f"{_share(use.used_gco2, use.budget.gco2)}"
        )
    if use.budget.cost is not None:
        parts.append(
            f"{use.used_cost:.2f} of {use.budget.cost:.2f} in money{_share(use.used_cost, use.budget.cost)}"
        )
    return f"{whose}: {' and '.join(parts)} used this month."


def _share(used: float, limit: float) -> str:
    return f" ({used / limit:.0%})" if limit else ""


def _risk(evidence: Evidence, chosen: Option) -> str | None:
    """How far the forecast may be off while the job runs; `None` where nothing is known of that."""
    zone = next((site.zone for site in evidence.sites if site.name == chosen.site), "")
    series, band = evidence.outlook.get(zone), evidence.quantiles.get(zone)
    if series is None or not band or not series.start <= chosen.start < series.end:
        return None
    first = (chosen.start - series.start) // series.step
    last = max(first + 1, -((series.start - chosen.finish) // series.step))
    low, high = (float(np.mean(band[level][first:last])) for level in (min(band), max(band)))
    expected = float(np.mean(series.values_gco2_per_kwh[first:last]))
    return (
        f"{evidence.spec.risk}: {zone} is expected at {expected:.0f} g/kWh then, and from {low:.0f} to {high:.0f}"
        f" in {max(band) - min(band):.0%} of cases."
    )


def _clock(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
