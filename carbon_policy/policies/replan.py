"""The rolling re-plan: a plan that stands is changed only for a saving that is worth it, by a forecast worth it."""

from __future__ import annotations

from carbon_policy.domain.decision import Action, Evidence, Option, ReasonCode
from carbon_policy.policies.needs import eligible_site
from carbon_policy.policies.options import offer_of, option_at
from carbon_policy.policies.verdict import Verdict


def standing_plan(evidence: Evidence) -> Option | None:
    """What was planned for a waiting run, priced by the outlook of now, if it can still be kept.

    It stands until its start has come, while its site can still take the job and the job, as long as it may take,
    would still start in its window and end by its deadline. Its grams are `None` where the outlook has failed.
    """
    plan = evidence.plan
    if plan is None or plan.start <= evidence.now:
        return None
    site = eligible_site(evidence, plan.site)
    if site is None:
        return None
    offer = offer_of(evidence, site)
    if not offer.allows(plan.start):
        return None
    return option_at(evidence, site, plan.start, offer.load)


def kept_or_changed(evidence: Evidence, plan: Option, fresh: Verdict) -> Verdict:
    """The plan, or what would be decided anew where that is worth a change.

    A change must save `replan_margin` of the plan's grams as they are expected now. So noise below half of the margin
    changes nothing: neither the plan nor the option that looked worse then can have moved by more than that.

    Where it is known what share of the saving following the zone's forecasts has kept, a predicted change is believed
    to that share: the margin is divided by it. Forecasts that mislead (a share of 0 or less) move no plan to another
    later start; only a start now, whose intensity is known and not forecast, may still replace it.

    Args:
        evidence: What is known.
        plan: The plan, as it stands.
        fresh: What would be decided without it.
    """
    fresh_option = fresh.option
    if fresh.action not in (Action.RUN, Action.DEFER):
        return fresh
    if fresh_option.site == plan.site and fresh_option.start == plan.start:
        return _kept(plan, fresh, "it is still the best")
    margin = margin_of_change(
        evidence.settings.replan_margin, _skill(evidence, plan, fresh), now=fresh.action is Action.RUN
    )
    if fresh_option.gco2 is None or plan.gco2 is None or margin is None:
        return _kept(plan, fresh, "there is nothing better that is known well enough")
    if worth_a_change(fresh_option.gco2, plan.gco2, margin):
        return fresh
    return _kept(plan, fresh, f"no other start saves another {margin:.0%}")


def margin_of_change(margin: float, skill: float, *, now: bool) -> float | None:
    """The share that a change must save; `None` where no saving that is forecast would do.

    Args:
        margin: What it is where forecasts are perfect: `replan_margin`.
        skill: The share of the possible saving that following the forecasts has kept, at most 1.
        now: The change is to a start now, which is known and not forecast.
    """
    if now:
        return margin
    return margin / skill if skill > 0 else None


def worth_a_change(to: float, planned: float, margin: float) -> bool:
    """Whether a change saves the margin, of the same measure of both: grams, with or without a price of waiting."""
    return to < planned and to <= planned * (1 - margin)


def _skill(evidence: Evidence, plan: Option, fresh: Verdict) -> float:
    """The lower of both zones'; of what is not known, that of perfect forecasts."""
    zones = {site.name: site.zone for site in evidence.sites}
    known = [
        evidence.skill[zone]
        for zone in (zones[plan.site], zones[fresh.option.site])
        if zone in evidence.skill
    ]
    return min(known, default=1.0)


def _kept(plan: Option, fresh: Verdict, why: str) -> Verdict:
    return Verdict(
        Action.DEFER,
        plan,
        ReasonCode.KEPT_PLAN,
        f"Keeps its plan, {plan.start:%Y-%m-%d %H:%M} UTC on {plan.site}: {why}.",
        fresh.alternatives,
    )
