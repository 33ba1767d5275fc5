"""The one entry: evidence in, decision out."""

from __future__ import annotations

from carbon_policy.domain.decision import Action, Decision, Evidence, ReasonCode
from carbon_policy.domain.job import Mode, PolicyName, Urgency
from carbon_policy.domain.site import Site
from carbon_policy.domain.times import format_duration
from carbon_policy.policies.budget import within_budgets
from carbon_policy.policies.fleet import fleet
from carbon_policy.policies.greenest import greenest
from carbon_policy.policies.interruptible import interruptible
from carbon_policy.policies.load import run_time
from carbon_policy.policies.needs import no_site_sentence, reference_site
from carbon_policy.policies.options import option_at
from carbon_policy.policies.ranking import weighs_service
from carbon_policy.policies.replan import standing_plan
from carbon_policy.policies.risk import Hedge
from carbon_policy.policies.threshold import threshold
from carbon_policy.policies.verdict import Verdict, missed, until_due

_POLICIES = {PolicyName.GREENEST: greenest, PolicyName.THRESHOLD: threshold, PolicyName.FLEET: fleet}

_PLANNING = (PolicyName.GREENEST, PolicyName.FLEET)
"""The policies that plan a start, and the slices of a job that may be interrupted."""


def decide(evidence: Evidence) -> Decision:
    """Decide what becomes of a run.

    Pure: the same evidence gives the same decision. It never raises for want of a signal: then it runs the
    job at once, or keeps the plan that it has, and says so.

    A run that is not due yet is left until it is, and decided then, unless it may start early and that is greener, or
    someone released it.

    Args:
        evidence: Everything known, `now` included.

    Returns:
        The decision. In `observe` mode it runs the job at once and holds what it would have done.
    """
    reference = reference_site(evidence)
    if reference is None and evidence.is_early:
        return Decision(
            action=Action.DEFER,
            site=None,
            start=evidence.at_once,
            reason=ReasonCode.NOT_YET_ALLOWED,
            sentence=f"It is decided when it is due, {evidence.at_once:%Y-%m-%d %H:%M} UTC."
            f" Now: {no_site_sentence(evidence)}",
            ask_again_at=evidence.at_once,
            evidence=evidence,
        )
    if reference is None:
        return Decision(
            action=Action.FAIL,
            site=None,
            start=evidence.now,
            reason=ReasonCode.NO_SITE,
            sentence=no_site_sentence(evidence),
            evidence=evidence,
        )
    verdict = _verdict(evidence, reference)
    decision = _as_decision(evidence, reference, verdict)
    if evidence.spec.mode is Mode.OBSERVE and verdict.reason is not ReasonCode.RELEASED:
        at_once = option_at(evidence, reference, evidence.at_once)
        would = f"Would have: {verdict.sentence}"
        if evidence.is_early:
            why = f"carbon-policy only observes. {would}".removesuffix(".")
            observed = until_due(evidence, at_once, why, verdict.alternatives)
        else:
            observed = Verdict(
                Action.RUN,
                at_once,
                ReasonCode.OBSERVED,
                f"Only observing, so it runs at once on {reference.name}. {would}",
                verdict.alternatives,
            )
        return _as_decision(evidence, reference, observed).model_copy(
            # The evidence is the same object; held once, the record stays half the size.
            update={"would_have": decision}
        )
    return decision


def _verdict(evidence: Evidence, reference: Site) -> Verdict:
    """What goes before every policy and budget: someone's word, an urgent job, a window that has passed."""
    spec = evidence.spec
    at_once = option_at(evidence, reference, evidence.at_once)

    def run(reason: ReasonCode, sentence: str) -> Verdict:
        return Verdict(Action.RUN, at_once, reason, sentence)

    if evidence.released:
        now = option_at(evidence, reference, evidence.now)
        return Verdict(
            Action.RUN, now, ReasonCode.RELEASED, f"Someone released it: runs now on {reference.name}."
        )
    if evidence.is_early and spec.mode is Mode.OFF:
        return until_due(evidence, at_once, "carbon-policy is off")
    if evidence.is_early and spec.urgency is Urgency.CRITICAL:
        return until_due(evidence, at_once, "critical jobs keep their time")
    if spec.mode is Mode.OFF:
        return run(ReasonCode.MODE_OFF, f"carbon-policy is off: runs now on {reference.name}.")
    if spec.urgency is Urgency.CRITICAL:
        return run(ReasonCode.CRITICAL, f"Critical jobs never wait: runs now on {reference.name}.")
    if evidence.is_running:
        # It is running: it has missed no start, and no budget stops it half done.
        return _by_policy(evidence, reference)
    # Missed is what cannot be kept any more even if all goes as expected; plans keep further away from it.
    # By what was said of the job: what was learnt may not fit its window at all, and would then be missed for ever.
    takes = min(run_time(evidence, reference), spec.duration / reference.speed)
    latest = spec.window(evidence.submitted_at).latest_start_for(takes)
    if latest is not None and evidence.now > latest >= evidence.submitted_at and not evidence.progress:
        late = format_duration(evidence.now - latest)
        return missed(evidence, at_once, f"Its latest start passed {late} ago")
    return within_budgets(evidence, reference, _by_policy)


def _by_policy(evidence: Evidence, reference: Site) -> Verdict:
    """The job's policy, where there is a signal that it can decide by."""
    spec = evidence.spec
    series = evidence.outlook.get(reference.zone)
    known = series is not None and series.start <= evidence.now < series.end
    window = spec.window(evidence.submitted_at)
    starts = window.start_intervals(evidence.now, run_time(evidence, reference))
    policy_waits = known and spec.policy in _PLANNING
    if (
        starts
        and starts[0][0] > evidence.now
        and not (policy_waits or evidence.is_early or evidence.is_running)
    ):
        # Hours are hours, whatever the grid says; the rule is asked when they begin.
        opens = starts[0][0]
        return Verdict(
            Action.DEFER,
            option_at(evidence, reference, opens),
            ReasonCode.NOT_YET_ALLOWED,
            f"May not start before {opens:%Y-%m-%d %H:%M} UTC; it is decided then.",
        )
    if known and spec.interruptible and spec.policy in _PLANNING and _may_slice(evidence):
        return interruptible(evidence, reference)
    if known:
        return _POLICIES[spec.policy](evidence, reference)
    # The reference's zone is what every saving is judged against: without it there is nothing to weigh.
    why = f" ({'; '.join(evidence.remarks)})" if evidence.remarks else ""
    unknown = f"No usable carbon signal for {reference.zone}{why}"
    plan = standing_plan(evidence)
    if plan is not None:
        return Verdict(
            Action.DEFER,
            plan,
            ReasonCode.KEPT_PLAN,
            f"{unknown}: keeps its plan, {plan.start:%Y-%m-%d %H:%M} UTC on {plan.site}, which keeps its deadline.",
        )
    at_once = option_at(evidence, reference, evidence.at_once)
    if evidence.is_early:
        return until_due(evidence, at_once, unknown[0].lower() + unknown[1:])
    return Verdict(
        Action.RUN,
        at_once,
        ReasonCode.NO_SIGNAL,
        f"{unknown}: runs now on {reference.name}.",
    )


def _may_slice(evidence: Evidence) -> bool:
    """Whether slices are looked for: they are chosen by expected grams alone.

    Where sites are ranked by more, or a wait must save surely, a job that is not running yet is placed as one run.
    """
    return evidence.is_running or not (weighs_service(evidence.settings.ranking) or Hedge.applies(evidence))


def _as_decision(evidence: Evidence, reference: Site, verdict: Verdict) -> Decision:
    placed = verdict.action in (Action.RUN, Action.DEFER)
    return Decision(
        action=verdict.action,
        site=verdict.option.site if placed else None,
        start=verdict.option.start,
        reason=verdict.reason,
        sentence=verdict.sentence,
        ask_again_at=verdict.option.start if verdict.action is Action.DEFER else None,
        chosen=verdict.option if placed else None,
        alternatives=verdict.alternatives,
        counterfactual=option_at(evidence, reference, evidence.at_once),
        evidence=evidence,
    )
