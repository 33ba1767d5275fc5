"""The site and start with the fewest expected grams inside the flexibility window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from carbon_policy.domain.decision import Action, Evidence, Option, ReasonCode
from carbon_policy.domain.site import Site
from carbon_policy.domain.times import format_duration
from carbon_policy.policies.options import (
    Offer,
    eligible_sites,
    later_option,
    now_option,
    offer_of,
    option_at,
)
from carbon_policy.policies.ranking import Key, by_grams, ranked_by, weighs_service
from carbon_policy.policies.replan import kept_or_changed, standing_plan
from carbon_policy.policies.risk import Hedge
from carbon_policy.policies.verdict import Verdict, grams_change

# By so much two sums of the same hours may differ.
_ROUNDING = 1e-9


def greenest(evidence: Evidence, reference: Site) -> Verdict:
    """Choose among all feasible sites and starts; a plan that was made before is changed only for good reason.

    The intensity is integrated over the whole run on each site, with this job's own energy there, and a slow site is
    charged its longer run. Another site, or a wait, is taken only where it saves at least `minimum_saving`, and
    nothing is taken that is expected to emit more than the job at once on the reference site. A wait must also save
    when the forecast errs as far as the job's `risk` says. Where the ranking weighs more than carbon, sites are
    chosen by it, and without any weight on carbon nothing waits for it.

    Args:
        evidence: What is known.
        reference: Where the job would run at once.
    """
    fresh = _fresh(evidence, reference)
    plan = standing_plan(evidence)
    return fresh if plan is None else kept_or_changed(evidence, plan, fresh)


@dataclass(frozen=True)
class _Market:
    """All that is on offer.

    Attributes:
        offers: Of each site that can take the job.
        now: Starts at once.
        later: The greenest later start of each site.
        best: What is preferred.
    """

    offers: list[Offer]
    now: list[Option]
    later: list[Option]
    best: Key

    def alternatives(self) -> tuple[Option, ...]:
        return tuple(sorted((*self.now, *self.later), key=by_grams))


def _market(evidence: Evidence, reference: Site) -> _Market:
    offers = [offer_of(evidence, site) for site in eligible_sites(evidence)]
    now = [option for offer in offers if (option := now_option(evidence, offer, reference)) is not None]
    later: list[Option] = []
    if evidence.settings.ranking.carbon > 0 or not now:
        later = [option for offer in offers if (option := later_option(evidence, offer)) is not None]
    return _Market(offers, now, later, ranked_by(evidence, (*now, *later)))


def _fresh(evidence: Evidence, reference: Site) -> Verdict:
    """What would be decided had nothing been planned before."""
    market = _market(evidence, reference)
    best_now = _best_now(evidence, market, reference)
    if best_now is None:
        return _no_start_now(evidence, reference, market)
    best_later = min(market.later, key=market.best, default=None)
    tempting = best_later
    if best_later is not None and _worth_waiting(evidence, market, best_later, best_now):
        best_later = _sure(evidence, market, best_later, best_now)
        if best_later is not None:
            return _wait(evidence, reference, market, best_later, best_now)
        code, why = ReasonCode.TOO_UNCERTAIN, _uncertain_because(evidence, tempting, best_now)
    elif best_later is None:
        code, why = ReasonCode.NO_ROOM_TO_WAIT, "it has no window to wait in, or its deadline leaves no room"
        if evidence.settings.ranking.carbon == 0:
            code, why = (
                ReasonCode.GREENEST_NOW,
                "its ranking gives carbon no weight, so nothing is waited for",
            )
    elif (share := _saved_share(best_later, best_now)) > _ROUNDING:
        code = ReasonCode.SAVING_TOO_SMALL
        why = f"waiting would save {share:.1%}, less than the {evidence.spec.minimum_saving:.0%} asked for"
    else:
        code, why = ReasonCode.GREENEST_NOW, "no later start in its window is greener"
    if best_now.site != reference.name:
        return _elsewhere(evidence, reference, market, best_now)
    return Verdict(Action.RUN, best_now, code, f"Runs now on {best_now.site}: {why}.", market.alternatives())


def _wait(
    evidence: Evidence, reference: Site, market: _Market, best_later: Option, best_now: Option
) -> Verdict:
    if evidence.deferrals >= evidence.spec.max_deferrals:
        return Verdict(
            Action.RUN,
            best_now,
            ReasonCode.DEFERRAL_CAP,
            f"Was deferred {evidence.deferrals} times, the most allowed; runs now on {best_now.site}.",
            market.alternatives(),
        )
    change = grams_change(best_later, option_at(evidence, reference, evidence.now))
    return Verdict(
        Action.DEFER,
        best_later,
        ReasonCode.GREENER_LATER,
        f"Waits {format_duration(best_later.start - evidence.now)} for a greener window on"
        f" {best_later.site}: {change} against running at once on {reference.name}.",
        market.alternatives(),
    )


def _elsewhere(evidence: Evidence, reference: Site, market: _Market, best_now: Option) -> Verdict:
    change = grams_change(best_now, option_at(evidence, reference, evidence.now))
    reason, why = ReasonCode.GREENER_SITE, "its longer run included"
    if weighs_service(evidence.settings.ranking):
        reason, why = ReasonCode.BETTER_SITE, "and the best by the team's ranking of sites"
    return Verdict(
        Action.RUN,
        best_now,
        reason,
        f"Runs now on {best_now.site}: {change} against {reference.name}, {why}.",
        market.alternatives(),
    )


def _best_now(evidence: Evidence, market: _Market, reference: Site) -> Option | None:
    now = market.now
    base = next((option for option in now if option.site == reference.name), None)
    if base is None or evidence.deferrals or weighs_service(evidence.settings.ranking):
        # What has waited for a site was asked for its saving when it was deferred, and is not asked again.
        return min(now, key=market.best, default=None)
    return min(
        (option for option in now if option is base or _saves(evidence, option, base)), key=market.best
    )


def _worth_waiting(evidence: Evidence, market: _Market, later: Option, now: Option) -> bool:
    preferred = not weighs_service(evidence.settings.ranking) or market.best(later) < market.best(now)
    return preferred and _saves(evidence, later, now)


def _sure(evidence: Evidence, market: _Market, later: Option, now: Option) -> Option | None:
    """The later start itself if its saving holds though the forecast errs, else the best of those that do."""
    if not Hedge.applies(evidence):
        return later
    hedge = Hedge(evidence, now)
    if hedge.holds_for(later):
        return later
    sure = (later_option(evidence, offer, hedge.holds) for offer in market.offers)
    best = min((option for option in sure if option is not None), key=market.best, default=None)
    return best if best is not None and _worth_waiting(evidence, market, best, now) else None


def _saves(evidence: Evidence, option: Option, base: Option) -> bool:
    """Whether an option saves enough against another to be worth a change."""
    if option.gco2 is None or base.gco2 is None:
        return False
    waited_h = max(0.0, (option.start - base.start).total_seconds() / 3600)
    asked = evidence.spec.minimum_saving + evidence.settings.wait_cost(base.finish - base.start) * waited_h
    return option.gco2 < base.gco2 and option.gco2 <= base.gco2 * (1 - asked)


def _saved_share(option: Option, other: Option) -> float:
    """The share of the other's grams that an option is expected to save; 0 where either is unknown."""
    if option.gco2 is None or not other.gco2:
        return 0.0
    return 1 - option.gco2 / other.gco2


def _uncertain_because(evidence: Evidence, tempting: Option | None, now: Option) -> str:
    share = _saved_share(tempting, now) if tempting is not None else 0.0
    return (
        f"waiting is expected to save {share:.1%}, but not when the forecast errs as a job with risk"
        f" {evidence.spec.risk.value!r} allows for"
    )


def _no_start_now(evidence: Evidence, reference: Site, market: _Market) -> Verdict:
    """Starting now is out of the question: not yet allowed, or further than the outlook reaches, or too late."""
    fitting = [offer for offer in market.offers if offer.intervals]
    opens = min((offer.intervals[0][0] for offer in fitting), default=None)
    if opens is not None and opens > evidence.now:
        planned = min(market.later, key=market.best, default=None)
        if planned is None:
            planned = option_at(evidence, fitting[0].site, opens)
        return Verdict(
            Action.DEFER,
            planned,
            ReasonCode.NOT_YET_ALLOWED,
            f"May not start before {opens:%Y-%m-%d %H:%M} UTC; planned for {planned.start:%Y-%m-%d %H:%M} UTC"
            f" on {planned.site}.",
            market.alternatives(),
        )
    if fitting:
        code = ReasonCode.HORIZON_TOO_SHORT
        takes = format_duration(evidence.spec.duration)
        why = f"the job takes {takes}, and the outlook ends before it would"
    else:
        code = ReasonCode.NO_ROOM_TO_WAIT
        why = "no other start is left that keeps its hours and its deadline, and a deadline beats carbon"
    at_once = option_at(evidence, reference, evidence.now)
    return Verdict(Action.RUN, at_once, code, f"Runs now on {reference.name}: {why}.", market.alternatives())


def fewest_grams_now(evidence: Evidence, reference: Site) -> Option | None:
    """The start at once with the fewest grams on a site that keeps the deadline; `None` where none may start now."""
    offers = (offer_of(evidence, site) for site in eligible_sites(evidence))
    options: Sequence[Option] = [
        option for offer in offers if (option := now_option(evidence, offer, reference)) is not None
    ]
    return min(options, key=by_grams, default=None)
