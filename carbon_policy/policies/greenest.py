"""The site and start with the fewest expected grams inside the flexibility window."""

from __future__ import annotations

from carbon_policy.domain.decision import Action, Evidence, Option, ReasonCode
from carbon_policy.domain.site import Site
from carbon_policy.domain.times import format_duration
from carbon_policy.policies.options import SiteOptions, eligible_sites, option_at, site_options
from carbon_policy.policies.verdict import Verdict, grams_change

# By so much two sums of the same hours may differ.
_ROUNDING = 1e-9


def greenest(evidence: Evidence, reference: Site) -> Verdict:
    """Choose among all feasible sites and starts.

    The intensity is integrated over the whole run on each site, and a slow site is charged its longer run.
    Another site, or a wait, is taken only where it saves at least `minimum_saving`, and nothing is taken that
    is expected to emit more than the job at once on the reference site.

    Args:
        evidence: What is known.
        reference: Where the job would run at once.
    """
    offers = [site_options(evidence, site) for site in eligible_sites(evidence)]
    at_once = option_at(evidence, reference, evidence.now)
    alternatives = _ranked([option for offer in offers for option in (offer.now, offer.later) if option])
    best_now = _best_now(evidence, offers, reference)
    best_later = _cheapest(evidence, [offer.later for offer in offers if offer.later is not None])

    if best_now is None:
        return _no_start_now(evidence, reference, offers, best_later, alternatives)
    if best_later is not None and _saves(evidence, best_later, best_now):
        change = grams_change(best_later, at_once)
        if evidence.deferrals < evidence.spec.max_deferrals:
            return Verdict(
                Action.DEFER,
                best_later,
                ReasonCode.GREENER_LATER,
                f"Waits {format_duration(best_later.start - evidence.now)} for a greener window on"
                f" {best_later.site}: {change} against running at once on {reference.name}.",
                alternatives,
            )
        return Verdict(
            Action.RUN,
            best_now,
            ReasonCode.DEFERRAL_CAP,
            f"Was deferred {evidence.deferrals} times, the most allowed; runs now on {best_now.site}.",
            alternatives,
        )
    if best_now.site != reference.name:
        return Verdict(
            Action.RUN,
            best_now,
            ReasonCode.GREENER_SITE,
            f"Runs now on {best_now.site}: {grams_change(best_now, at_once)} against {reference.name},"
            " its longer run included.",
            alternatives,
        )
    if best_later is None:
        code, why = ReasonCode.NO_ROOM_TO_WAIT, "it has no window to wait in, or its deadline leaves no room"
    elif (share := _saved_share(best_later, best_now)) > _ROUNDING:
        code = ReasonCode.SAVING_TOO_SMALL
        why = f"waiting would save {share:.1%}, less than the {evidence.spec.minimum_saving:.0%} asked for"
    else:
        code, why = ReasonCode.GREENEST_NOW, "no later start in its window is greener"
    return Verdict(Action.RUN, best_now, code, f"Runs now on {best_now.site}: {why}.", alternatives)


def _best_now(evidence: Evidence, offers: list[SiteOptions], reference: Site) -> Option | None:
    now = [offer.now for offer in offers if offer.now is not None]
    base = next((option for option in now if option.site == reference.name), None)
    if base is None or evidence.deferrals:
        # What has waited for a site was asked for its saving when it was deferred, and is not asked again.
        return _cheapest(evidence, now)
    best = _cheapest(evidence, [option for option in now if option is base or _saves(evidence, option, base)])
    return best or base


def _saves(evidence: Evidence, option: Option, base: Option) -> bool:
    """Whether an option saves enough against another to be worth a change."""
    if option.gco2 is None or base.gco2 is None:
        return False
    waited_h = max(0.0, (option.start - base.start).total_seconds() / 3600)
    asked = evidence.spec.minimum_saving + evidence.settings.wait_cost_per_hour * waited_h
    return option.gco2 < base.gco2 and option.gco2 <= base.gco2 * (1 - asked)


def _saved_share(option: Option, other: Option) -> float:
    """The share of the other's grams that an option is expected to save; 0 where either is unknown."""
    if option.gco2 is None or not other.gco2:
        return 0.0
    return 1 - option.gco2 / other.gco2


def _cheapest(evidence: Evidence, options: list[Option]) -> Option | None:
    """The option with the fewest grams, money weighed in; the earliest finish, then the first named, where equal."""
    prices = {site.name: site.price_per_kwh or 0.0 for site in evidence.sites}
    weight = evidence.settings.price_weight_gco2_per_unit

    def score(option: Option) -> tuple[float, float, str]:
        grams = option.gco2 if option.gco2 is not None else float("inf")
        return (
            grams + weight * prices[option.site] * option.energy_kwh,
            option.finish.timestamp(),
            option.site,
        )

    return min(options, key=score, default=None)


def _ranked(options: list[Option]) -> tuple[Option, ...]:
    return tuple(sorted(options, key=lambda option: (option.gco2 or 0.0, option.start, option.site)))


def _no_start_now(
    evidence: Evidence,
    reference: Site,
    offers: list[SiteOptions],
    best_later: Option | None,
    alternatives: tuple[Option, ...],
) -> Verdict:
    """Starting now is out of the question: not yet allowed, or further than the outlook reaches, or too late."""
    window = evidence.spec.window(evidence.submitted_at)
    fitting = [offer for offer in offers if offer.fits]
    opens = min(
        (
            window.start_intervals(evidence.now, evidence.spec.duration / offer.site.speed)[0][0]
            for offer in fitting
        ),
        default=None,
    )
    if opens is not None and opens > evidence.now:
        planned = best_later or option_at(evidence, fitting[0].site, opens)
        return Verdict(
            Action.DEFER,
            planned,
            ReasonCode.NOT_YET_ALLOWED,
            f"May not start before {opens:%Y-%m-%d %H:%M} UTC; planned for {planned.start:%Y-%m-%d %H:%M} UTC"
            f" on {planned.site}.",
            alternatives,
        )
    at_once = option_at(evidence, reference, evidence.now)
    if fitting:
        return Verdict(
            Action.RUN,
            at_once,
            ReasonCode.HORIZON_TOO_SHORT,
            f"Runs now on {reference.name}: the job takes {format_duration(evidence.spec.duration)}, and the outlook"
            " ends before it would.",
            alternatives,
        )
    return Verdict(
        Action.RUN,
        at_once,
        ReasonCode.NO_ROOM_TO_WAIT,
        f"Runs now on {reference.name}: its allowed hours leave no start before its deadline, and a deadline"
        " beats carbon.",
        alternatives,
    )
