"""The site and start with the fewest expected grams inside the flexibility window."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from carbon_policy.domain.decision import Action, Evidence, Option, ReasonCode
from carbon_policy.domain.site import Site
from carbon_policy.domain.times import format_duration
from carbon_policy.policies.curve import Floats
from carbon_policy.policies.load import Load
from carbon_policy.policies.needs import eligible_sites
from carbon_policy.policies.options import (
    Offer,
    early_option,
    later_option,
    now_option,
    offer_of,
    option_at,
)
from carbon_policy.policies.ranking import (
    Key,
    by_grams,
    greener,
    most_to_save,
    ranked_by,
    saved_share,
    saves,
    weighs_service,
)
from carbon_policy.policies.replan import kept_or_changed, standing_plan
from carbon_policy.policies.risk import Hedge
from carbon_policy.policies.verdict import Verdict, at_once_on, grams_change, until_due

_NO_TIME = timedelta(0)

_AS_GOOD = 1e-6
"""The share by which a window of a second, far into an outlook, may differ from its equals by rounding alone."""


def greenest(evidence: Evidence, reference: Site) -> Verdict:
    """Choose among all feasible sites and starts; a plan that was made before is changed only for good reason.

    The intensity is integrated over the whole run on each site, with this job's own energy there, and a slow site is
    charged its longer run. Another site, or a wait, is taken only where it saves at least `minimum_saving`, and
    nothing is taken that is expected to emit more than the job at once on the reference site. A wait must also save
    when the forecast errs as far as the job's `risk` says. Where the ranking weighs more than carbon, sites are
    chosen by it, and without any weight on carbon nothing waits for it.

    Of a job that is not due yet, at once is when it is due: an earlier start must save as much against that as a later
    one, and of all that do the greenest is taken.

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
        now: Starts at once; of a job that is not due yet, when it is due.
        early: Starts now, of a job that is not due yet.
        later: The greenest start after now of each site.
        best: What is preferred.
    """

    offers: list[Offer]
    now: list[Option]
    early: list[Option]
    later: list[Option]
    best: Key

    def alternatives(self) -> tuple[Option, ...]:
        return tuple(sorted((*self.now, *self.early, *self.later), key=by_grams))


def _market(evidence: Evidence, reference: Site) -> _Market:
    offers = [offer_of(evidence, site) for site in eligible_sites(evidence)]
    now = _starts_now(evidence, offers, reference)
    early: list[Option] = []
    later: list[Option] = []
    if evidence.settings.ranking.carbon > 0:
        early = [option for offer in offers if (option := early_option(evidence, offer)) is not None]
    if evidence.settings.ranking.carbon > 0 or not now:
        later = [option for offer in offers if (option := later_option(evidence, offer)) is not None]
    return _Market(offers, now, early, later, ranked_by(evidence, (*now, *early, *later)))


def _fresh(evidence: Evidence, reference: Site) -> Verdict:
    """What would be decided had nothing been planned before."""
    market = _market(evidence, reference)
    best_now = _best_now(evidence, market, reference)
    if best_now is None:
        return _no_start_now(evidence, reference, market)
    if evidence.is_early:
        return _before_due(evidence, reference, market, best_now)
    best_later = min(market.later, key=market.best, default=None)
    if best_later is not None and _worth_waiting(evidence, market, best_later, best_now):
        sure = _sure(evidence, market, best_later, best_now)
        if sure is not None:
            return _wait(evidence, reference, market, sure, best_now)
        code, why = ReasonCode.TOO_UNCERTAIN, _uncertain_because(evidence, best_later, best_now)
    elif best_later is None:
        code, why = ReasonCode.NO_ROOM_TO_WAIT, "it has no window to wait in, or its deadline leaves no room"
        if evidence.settings.ranking.carbon == 0:
            code, why = (
                ReasonCode.GREENEST_NOW,
                "its ranking gives carbon no weight, so nothing is waited for",
            )
    elif greener(best_later, best_now):
        code, share = ReasonCode.SAVING_TOO_SMALL, saved_share(best_later, best_now)
        why = f"waiting would save {share:.1%}, less than the {evidence.spec.minimum_saving:.0%} asked for"
    else:
        code, why = ReasonCode.GREENEST_NOW, _not_greener_because(evidence)
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
    return Verdict(
        Action.DEFER,
        best_later,
        ReasonCode.GREENER_LATER,
        f"Waits {format_duration(best_later.start - evidence.now)} for a greener window on"
        f" {best_later.site}: {_change(evidence, reference, best_later)}.",
        market.alternatives(),
    )


def _change(evidence: Evidence, reference: Site, option: Option) -> str:
    change = grams_change(option, option_at(evidence, reference, evidence.at_once))
    return f"{change} against {at_once_on(evidence, reference.name)}"


def _before_due(evidence: Evidence, reference: Site, market: _Market, at_due: Option) -> Verdict:
    """An early start, or a late one, where it saves enough against the best start when the job is due."""
    now = [option for option in market.early if _worth_waiting(evidence, market, option, at_due)]
    later = [option for option in market.later if _worth_waiting(evidence, market, option, at_due)]
    why = f"no other start saves the {evidence.spec.minimum_saving:.0%} asked for"
    if (now or later) and Hedge.applies(evidence):
        hedge = Hedge(evidence, at_due)
        now = [option for option in now if hedge.holds_for(option)]
        later = _surely_later(evidence, market, hedge, at_due)
        why = f"no other start surely saves what a job with risk {evidence.spec.risk.value!r} asks for"
    if evidence.deferrals >= evidence.spec.max_deferrals:
        later, why = [], f"it was deferred {evidence.deferrals} times, the most allowed"
    best = preferred_early(
        evidence, min(now, key=market.best, default=None), min(later, key=market.best, default=None)
    )
    if best is None:
        return until_due(evidence, at_due, why, market.alternatives())
    if best.start > evidence.now:
        return _wait(evidence, reference, market, best, at_due)
    return _starts_early(evidence, reference, market, best)


def preferred_early(
    evidence: Evidence, now: Option | None, later: Option | None, margin: float = _AS_GOOD
) -> Option | None:
    """Of an early start now and one after now the greener; now where they are as good as equal.

    Else a job would be put off from each of a row of equal starts to the next.

    Args:
        evidence: What is known.
        now: The best start now.
        later: The best after now.
        margin: The share that the later one must save against the other.
    """
    if now is None or later is None:
        return now or later
    return later if saved_share(later, now) > max(margin, evidence.settings.near_best) else now


def _starts_early(evidence: Evidence, reference: Site, market: _Market, now: Option) -> Verdict:
    time = format_duration(evidence.at_once - evidence.now)
    sentence = f"Runs now on {now.site}, {time} before it is due: {_change(evidence, reference, now)}."
    return Verdict(Action.RUN, now, ReasonCode.GREENER_EARLY, sentence, market.alternatives())


def _not_greener_because(evidence: Evidence) -> str:
    if evidence.knows_the_hours:
        return "no later start in its window is greener"
    return "no source says how green the coming hours are, and by the mean of a year none is greener"


def _elsewhere(evidence: Evidence, reference: Site, market: _Market, best_now: Option) -> Verdict:
    change = grams_change(best_now, option_at(evidence, reference, evidence.now))
    reason, why = ReasonCode.GREENER_SITE, "its longer run included"
    if weighs_service(evidence.settings.ranking):
        reason, why = ReasonCode.BETTER_SITE, "and the best by the team's ranking of sites"
    return Verdict(
        Action.RUN,
        best_now,
        reason,
        f"Runs now on {best_now.site}: {change} against {reference.name}, {why}.{_unknown(evidence)}",
        market.alternatives(),
    )


def _unknown(evidence: Evidence) -> str:
    return "" if evidence.knows_the_hours else " No source says how green the coming hours are."


def _best_now(evidence: Evidence, market: _Market, reference: Site) -> Option | None:
    now = market.now
    base = next((option for option in now if option.site == reference.name), None)
    waited = evidence.deferrals and not evidence.is_early
    if base is None or waited or weighs_service(evidence.settings.ranking):
        # What has waited for a site was asked for its saving when it was deferred, and is not asked again.
        return min(now, key=market.best, default=None)
    return min(
        (option for option in now if option is base or saves(evidence, option, base, _NO_TIME)),
        key=market.best,
    )


def _worth_waiting(evidence: Evidence, market: _Market, later: Option, now: Option) -> bool:
    preferred = not weighs_service(evidence.settings.ranking) or market.best(later) < market.best(now)
    return preferred and saves(evidence, later, now, later.start - now.start)


def _sure(evidence: Evidence, market: _Market, later: Option, now: Option) -> Option | None:
    """The later start itself if its saving holds though the forecast errs, else the best of those that do."""
    if not Hedge.applies(evidence):
        return later
    hedge = Hedge(evidence, now)
    if hedge.holds_for(later):
        return later
    return min(_surely_later(evidence, market, hedge, now), key=market.best, default=None)


def _surely_later(evidence: Evidence, market: _Market, hedge: Hedge, base: Option) -> list[Option]:
    """The start after now of each site that is best of those whose saving holds, where it is worth it."""
    sure = [later_option(evidence, offer, hedge.holds) for offer in market.offers]
    return [
        option for option in sure if option is not None and _worth_waiting(evidence, market, option, base)
    ]


def _uncertain_because(evidence: Evidence, tempting: Option, now: Option) -> str:
    return (
        f"waiting is expected to save {saved_share(tempting, now):.1%}, but not when the forecast errs as"
        f" a job with risk {evidence.spec.risk.value!r} allows for"
    )


def _no_start_now(evidence: Evidence, reference: Site, market: _Market) -> Verdict:
    """Starting now is out of the question: not yet allowed, or further than the outlook reaches, or too late."""
    if evidence.is_early:
        return _no_start_when_due(evidence, reference, market)
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
    at_once = option_at(evidence, reference, evidence.at_once)
    return Verdict(Action.RUN, at_once, code, f"Runs now on {reference.name}: {why}.", market.alternatives())


def _no_start_when_due(evidence: Evidence, reference: Site, market: _Market) -> Verdict:
    """It is not due yet, and may not start when it is, or nothing is known of that time.

    What starts later is planned as it would be when it is due; an early start must save enough against the start on
    the reference when it is due, as if that were allowed.
    """
    at_due = option_at(evidence, reference, evidence.at_once)
    due_s = (evidence.at_once - evidence.now).total_seconds()
    most = most_to_save(evidence, at_due)

    def enough(_site: Site, _load: Load, starts_s: Floats, gco2: Floats) -> np.ndarray:
        return np.asarray((starts_s >= due_s) | (gco2 <= most))

    planned = [option for offer in market.offers if (option := later_option(evidence, offer, enough))]
    now = [option for option in market.early if option.gco2 is not None and option.gco2 <= most]
    best = preferred_early(
        evidence, min(now, key=market.best, default=None), min(planned, key=market.best, default=None)
    )
    if best is None:
        why = "no start is known that keeps its hours and its deadline and saves enough"
        return until_due(evidence, at_due, why, market.alternatives())
    if best.start <= evidence.now:
        return _starts_early(evidence, reference, market, best)
    return Verdict(
        Action.DEFER,
        best,
        ReasonCode.NOT_YET_ALLOWED,
        f"May not start when it is due, {evidence.at_once:%Y-%m-%d %H:%M} UTC; planned for"
        f" {best.start:%Y-%m-%d %H:%M} UTC on {best.site}.",
        market.alternatives(),
    )


def fewest_grams_now(evidence: Evidence, reference: Site) -> Option | None:
    """The start at once with the fewest grams on a site that keeps the deadline; `None` where none may start now."""
    offers = [offer_of(evidence, site) for site in eligible_sites(evidence)]
    return min(_starts_now(evidence, offers, reference), key=by_grams, default=None)


def _starts_now(evidence: Evidence, offers: list[Offer], reference: Site) -> list[Option]:
    return [option for offer in offers if (option := now_option(evidence, offer, reference)) is not None]
