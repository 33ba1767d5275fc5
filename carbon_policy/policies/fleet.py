"""A place in the plan of all waiting runs: waited for, and taken when its time has come."""

from __future__ import annotations

from carbon_policy.domain.decision import Action, Evidence, Option, Plan, ReasonCode
from carbon_policy.domain.job import PolicyName
from carbon_policy.domain.site import Site
from carbon_policy.domain.times import format_duration
from carbon_policy.policies.greenest import greenest
from carbon_policy.policies.needs import eligible_site
from carbon_policy.policies.options import now_option, offer_of, option_at
from carbon_policy.policies.replan import standing_plan
from carbon_policy.policies.verdict import Verdict, at_once_on, grams_change


def fleet(evidence: Evidence, reference: Site) -> Verdict:
    """Keep the place that the joint plan gave the job; without one that can be kept, decide as `greenest` does.

    Before its start the job waits for it, when its start has come it runs at its site. A place that would no longer
    keep the deadline is given up: a deadline beats carbon. A run that has no place yet is given one by the next
    joint plan (`orchestration/fleet.py`).

    Args:
        evidence: What is known; `plan` is the job's place.
        reference: Where the job would run at once.
    """
    plan = evidence.plan
    early_place = evidence.is_early and plan is not None and plan.start <= evidence.now
    if plan is None or plan.by is not PolicyName.FLEET or early_place:
        # The joint plan starts nothing before it is due; that a job does on its own.
        return greenest(evidence, reference)
    alone = greenest(evidence.model_copy(update={"plan": None}), reference)
    place = _place_now(evidence, plan, reference) if plan.start <= evidence.now else place_ahead(evidence)
    if place is None:
        return alone
    change = grams_change(place, option_at(evidence, reference, evidence.at_once))
    against = f"{change} against {at_once_on(evidence, reference.name)}"
    if plan.start <= evidence.now:
        sentence = f"Runs now on {place.site}, its place in the plan of all waiting runs: {against}."
        return Verdict(Action.RUN, place, ReasonCode.FLEET_NOW, sentence, alone.alternatives)
    if evidence.deferrals >= evidence.spec.max_deferrals:
        return alone
    sentence = (
        f"Waits {format_duration(place.start - evidence.now)} for its place on {place.site} in the plan of all"
        f" waiting runs: {against}."
    )
    return Verdict(Action.DEFER, place, ReasonCode.FLEET_LATER, sentence, alone.alternatives)


def place_ahead(evidence: Evidence) -> Option | None:
    """The place that is still to come; `None` where it can no longer be kept, the time to wake and start included."""
    place = standing_plan(evidence)
    if place is None:
        return None
    site = next(site for site in evidence.sites if site.name == place.site)
    latest = offer_of(evidence, site).latest
    return place if latest is None or place.start <= latest - evidence.settings.start_latency else None


def _place_now(evidence: Evidence, plan: Plan, reference: Site) -> Option | None:
    """The place whose time has come; `None` where its site is gone or full, or too slow for what time is left."""
    site = eligible_site(evidence, plan.site)
    return now_option(evidence, offer_of(evidence, site), reference) if site is not None else None
