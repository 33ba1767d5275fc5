"""The rules the project was born from: low, medium and high intensity."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from enum import StrEnum

from carbon_policy.domain.decision import Action, Evidence, Option, ReasonCode
from carbon_policy.domain.job import Urgency
from carbon_policy.domain.signal import IntensitySeries, quantile_gco2_per_kwh
from carbon_policy.domain.site import Site, Tier
from carbon_policy.policies.needs import eligible_sites
from carbon_policy.policies.options import Offer, early_option, later_option, offer_of, option_at
from carbon_policy.policies.ranking import saves
from carbon_policy.policies.verdict import Verdict, at_once_on, grams_change, until_due


class Level(StrEnum):
    """How dirty the grid is now, by the thresholds."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


def threshold(evidence: Evidence, reference: Site) -> Verdict:
    """Decide by the intensity of this moment.

    Low: now, fast. Medium: flexible jobs wait, others run. High: jobs go to eco where they use less energy there,
    or flexible ones wait where the settings say so. A job waits for the first slot at or below the low threshold
    that its window reaches; if there is none, it takes the greenest start if that is greener than now.

    A job that is not due yet starts early in the first slot at or below the low threshold that saves `minimum_saving`
    against the start when it is due; without one it is decided when it is due.

    Args:
        evidence: What is known; the outlook of the reference's zone must cover now.
        reference: Where the job would run at once.
    """
    series = evidence.outlook[reference.zone]
    low, high = _limits(evidence, series)
    if evidence.is_early:
        return _before_due(evidence, reference, series, low)
    value = series.at(evidence.now)
    level = Level.LOW if value <= low else Level.HIGH if value >= high else Level.MEDIUM
    at_once = option_at(evidence, reference, evidence.now)
    says = f"The grid is at {value:.0f} g/kWh, {level.value} (low to {low:.0f}, high from {high:.0f})"

    may_wait = evidence.spec.urgency is Urgency.FLEXIBLE and level is not Level.LOW
    if level is Level.HIGH and not evidence.settings.thresholds.flexible_waits_when_high:
        may_wait = False
    later = _first_low_start(evidence, reference, series, low) if may_wait else None
    if later is not None and evidence.deferrals < evidence.spec.max_deferrals:
        return Verdict(
            Action.DEFER,
            later,
            ReasonCode.WAITING_FOR_LOW,
            f"{says}; flexible, so it waits for {series.at(later.start):.0f} g/kWh at {later.start:%H:%M} UTC.",
            (later, at_once),
        )
    if level is Level.HIGH:
        eco = _saving_eco(evidence, reference, at_once)
        if eco is not None:
            return Verdict(
                Action.RUN,
                eco,
                ReasonCode.INTENSITY_HIGH_ECO,
                f"{says}; runs now on {eco.site} with constrained resources.",
                (eco, at_once),
            )
    reason = {
        Level.LOW: ReasonCode.INTENSITY_LOW,
        Level.MEDIUM: ReasonCode.INTENSITY_MEDIUM,
        Level.HIGH: ReasonCode.INTENSITY_HIGH,
    }[level]
    return Verdict(Action.RUN, at_once, reason, f"{says}; runs now on {reference.name}.", (at_once,))


def _before_due(evidence: Evidence, reference: Site, series: IntensitySeries, low: float) -> Verdict:
    at_due = option_at(evidence, reference, evidence.at_once)
    start = _first_low_early_start(evidence, reference, series, low, at_due)
    if start is None:
        why = f"no earlier start at low intensity (to {low:.0f} g/kWh) saves enough"
        return until_due(evidence, at_due, why, (at_due,))
    value, change = series.at(start.start), grams_change(start, at_due)
    against = f"{change} against {at_once_on(evidence, reference.name)}"
    if start.start > evidence.now:
        sentence = f"Waits for {value:.0f} g/kWh at {start.start:%H:%M} UTC, before it is due: {against}."
        return Verdict(Action.DEFER, start, ReasonCode.WAITING_FOR_LOW, sentence, (start, at_due))
    sentence = f"Runs now on {start.site} at {value:.0f} g/kWh, low, before it is due: {against}."
    return Verdict(Action.RUN, start, ReasonCode.GREENER_EARLY, sentence, (start, at_due))


def _first_low_early_start(
    evidence: Evidence, site: Site, series: IntensitySeries, low: float, at_due: Option
) -> Option | None:
    offer = offer_of(evidence, site)
    now = early_option(evidence, offer)
    if now is not None and series.at(now.start) <= low and saves(evidence, now, at_due, timedelta(0)):
        return now
    if evidence.deferrals >= evidence.spec.max_deferrals:
        return None
    for start in _low_starts(evidence, offer, series, low):
        option = option_at(evidence, site, start, offer.load)
        if start < at_due.start and saves(evidence, option, at_due, timedelta(0)):
            return option
    return None


def _limits(evidence: Evidence, series: IntensitySeries) -> tuple[float, float]:
    """The low and the high threshold, g/kWh: as given, or as quantiles of the known hours."""
    thresholds = evidence.settings.thresholds
    low, high = thresholds.low_gco2_per_kwh, thresholds.high_gco2_per_kwh
    if low is None:
        low = quantile_gco2_per_kwh(series, thresholds.low_quantile)
    if high is None:
        high = quantile_gco2_per_kwh(series, thresholds.high_quantile)
    return low, max(low, high)


def _first_low_start(evidence: Evidence, site: Site, series: IntensitySeries, low: float) -> Option | None:
    offer = offer_of(evidence, site)
    first = next(_low_starts(evidence, offer, series, low), None)
    if first is not None:
        return option_at(evidence, site, first)
    best = later_option(evidence, offer)
    now = option_at(evidence, site, evidence.now)
    # These rules put no price on waiting.
    return best if best is not None and saves(evidence, best, now, timedelta(0)) else None


def _low_starts(evidence: Evidence, offer: Offer, series: IntensitySeries, low: float) -> Iterator[datetime]:
    """The first start of each slot at or below the low threshold, UTC, after now."""
    earliest = evidence.now + evidence.settings.minimum_deferral
    for opens, closes in offer.intervals:
        if offer.latest is not None:
            closes = min(closes, offer.latest - evidence.settings.start_latency)
        for index, value in enumerate(series.values_gco2_per_kwh):
            start = max(series.slot_start(index), opens, earliest)
            if value <= low and start <= closes and start < series.slot_start(index + 1):
                yield start


def _saving_eco(evidence: Evidence, reference: Site, at_once: Option) -> Option | None:
    """The first eco site that has room, keeps the job's window though it is slower, and uses less energy for it."""
    for site in eligible_sites(evidence):
        if site.tier is not Tier.ECO or (site.free == 0 and site.name != reference.name):
            continue
        offer = offer_of(evidence, site)
        if offer.latest is None or evidence.now <= offer.latest:
            option = option_at(evidence, site, evidence.now, offer.load)
            if site.name == reference.name or option.energy_kwh < at_once.energy_kwh:
                return option
    return None
