"""Where and when a job could run, and what each choice would emit."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from carbon_policy.domain.decision import Evidence, Option
from carbon_policy.domain.site import Site
from carbon_policy.policies.curve import Curve, Floats, curve_of
from carbon_policy.policies.load import Load, load_on

_EQUAL_S = 1e-6
# Sums of floats that ought to be equal differ by about this share.
_EQUAL_SHARE = 1e-9

Holds = Callable[[Site, Load, Floats, Floats], np.ndarray]
"""Which starts (seconds from now) with which grams are sure enough."""


@dataclass(frozen=True)
class Offer:
    """A site, what the job is there, and when it may start there.

    Attributes:
        site: The site.
        load: The job's load there.
        intervals: The stretches in which it may start so that it ends in time nine times in ten, ends included.
        latest: The last start that keeps the deadline nine times in ten; `None` where nothing limits it.
    """

    site: Site
    load: Load
    intervals: list[tuple[datetime, datetime]]
    latest: datetime | None

    def allows(self, start: datetime) -> bool:
        """Whether the job may start at a moment."""
        return any(opens <= start <= closes for opens, closes in self.intervals)


def offer_of(evidence: Evidence, site: Site) -> Offer:
    """When the job may start on a site, from now on."""
    load = load_on(evidence, site)
    window = evidence.spec.window(evidence.submitted_at)
    intervals = window.start_intervals(evidence.now, load.duration_high)
    return Offer(site, load, intervals, window.latest_start_for(load.duration_high))


def option_at(evidence: Evidence, site: Site, start: datetime, load: Load | None = None) -> Option:
    """Running on a site from a moment on; its grams are `None` where the outlook does not reach."""
    load = load or load_on(evidence, site)
    finish = start + load.duration
    series = evidence.outlook.get(site.zone)
    gco2 = None
    note = ""
    if series is not None and series.covers(start, finish):
        start_s, duration_s = (start - series.start).total_seconds(), load.duration.total_seconds()
        gh = curve_of(series).integral_from(start_s, duration_s)
        moved = 0.0
        if load.transfer_kwh:
            moved = float(_transfer_grams(evidence, site, load, np.array([start_s]))[0])
            note = f"{moved:.3g} g of them move the data from {load.data_zone}"
        gco2 = gh * load.drawn_kw + moved
    return Option(
        site=site.name,
        tier=site.tier.value,
        start=start,
        finish=finish,
        energy_kwh=load.energy_kwh,
        gco2=gco2,
        note=note,
        cost=load.cost(site),
    )


def now_option(evidence: Evidence, offer: Offer, reference: Site) -> Option | None:
    """Running there at once; `None` where the window, the hours, the horizon or a full work pool forbid it.

    A full reference site still counts: the job queues there, as it would if nobody thought of carbon. For a job that
    is not due yet, at once is when it is due, and how full a site is then nobody knows.
    """
    if offer.site.free == 0 and offer.site.name != reference.name and not evidence.is_early:
        return None
    return _known_option(evidence, offer, evidence.at_once)


def early_option(evidence: Evidence, offer: Offer) -> Option | None:
    """Running there now, before the job is due; `None` where it is due, or something forbids it, as a full site does.

    To queue for a site is no early start.
    """
    if not evidence.is_early or offer.site.free == 0:
        return None
    return _known_option(evidence, offer, evidence.now)


def _known_option(evidence: Evidence, offer: Offer, start: datetime) -> Option | None:
    if not offer.allows(start):
        return None
    option = option_at(evidence, offer.site, start, offer.load)
    return option if option.gco2 is not None else None


def later_option(evidence: Evidence, offer: Offer, holds: Holds | None = None) -> Option | None:
    """The greenest start after now, or `None`; O(slots).

    The intensity is a step function, so the grams of a window of fixed length are piecewise linear in its
    start, with kinks only where an end of the window meets the boundary of a slot. The minimum therefore
    lies at such a start or at an edge of the allowed stretches: two candidates a slot and no search.

    Args:
        evidence: What is known.
        offer: The site's.
        holds: Which starts may be chosen; all where it is not given.
    """
    site, load, settings = offer.site, offer.load, evidence.settings
    series = evidence.outlook.get(site.zone)
    if series is None or not offer.intervals:
        return None
    curve, duration_s = curve_of(series), load.duration.total_seconds()
    now_s = (evidence.now - series.start).total_seconds()
    earliest_s = now_s + settings.minimum_deferral.total_seconds()
    parts = [
        curve.windows(duration_s, low, high) for low, high in _stretches(evidence, offer, curve, earliest_s)
    ]
    if not parts:
        return None
    starts, integrals = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    grams = integrals * load.drawn_kw
    if load.transfer_kwh:
        grams += _transfer_grams(evidence, site, load, starts)
    score = grams
    if wait_cost := settings.wait_cost(load.duration):
        # Waiting has its price in grams, so that an hour is not waited for a crumb; who starts early does not wait.
        from_s = max(earliest_s, (evidence.at_once - series.start).total_seconds())
        reference = curve.integral_from(from_s, duration_s) * load.drawn_kw
        score = grams + wait_cost * reference * np.maximum(starts - from_s, 0.0) / 3600
    if holds is not None:
        sure = holds(site, load, starts - now_s, grams)
        if not sure.any():
            return None
        score = np.where(sure, score, np.inf)
    good = np.flatnonzero(score <= float(score.min()) * (1 + settings.near_best + _EQUAL_SHARE))
    first_of_part = np.cumsum([len(starts_of) for starts_of, _ in parts])[:-1]
    chosen_s = _spread(starts, good, first_of_part, evidence.job)
    return option_at(evidence, site, series.start + timedelta(seconds=chosen_s), load)


def _stretches(
    evidence: Evidence, offer: Offer, curve: Curve, earliest_s: float
) -> list[tuple[float, float]]:
    """Where a later start may lie, in seconds of the curve."""
    begins = evidence.outlook[offer.site.zone].start
    last_s = curve.end_s - offer.load.duration.total_seconds()
    found = []
    for opens, closes in _around_due(evidence, offer.intervals):
        if offer.latest is not None:
            # The deadline is kept by the job, and not only by its plan.
            closes = min(closes, offer.latest - evidence.settings.start_latency)
        low = max((opens - begins).total_seconds(), earliest_s, 0.0)
        high = min((closes - begins).total_seconds(), last_s)
        if low <= high:
            found.append((low, high))
    return found


def _around_due(
    evidence: Evidence, intervals: list[tuple[datetime, datetime]]
) -> list[tuple[datetime, datetime]]:
    """The stretches without what is later than the due time by less than a deferral, of a job that is not due yet."""
    if not evidence.is_early:
        return intervals
    due, after = evidence.at_once, evidence.at_once + evidence.settings.minimum_deferral
    before = [(opens, min(closes, due)) for opens, closes in intervals if opens <= due]
    return before + [(max(opens, after), closes) for opens, closes in intervals if closes >= after]


def _transfer_grams(evidence: Evidence, site: Site, load: Load, starts_s: Floats) -> Floats:
    """What moving the data emits, for starts in seconds of the site's series.

    The data moves while the job runs, half of the energy at each end; of an end of which nothing is known for
    that time the site's own intensity is taken.
    """
    series, duration_s = evidence.outlook[site.zone], load.duration.total_seconds()
    here = curve_of(series).integral(starts_s, duration_s)
    there = here
    other = evidence.outlook.get(load.data_zone or "")
    if other is not None:
        shifted = starts_s + (series.start - other.start).total_seconds()
        curve = curve_of(other)
        known = (shifted >= 0) & (shifted + duration_s <= curve.end_s)
        there = np.where(known, curve.integral(shifted, duration_s), here)
    return np.asarray(load.transfer_kwh * (here + there) / 2 / (duration_s / 3600))


def _spread(starts: Floats, good: np.ndarray, first_of_part: np.ndarray, job: str) -> float:
    """One of the equally good starts, chosen by the job's name.

    Every job that looks at the same forecast finds the same greenest minute; a stable pick on the plateau
    keeps them from waking together, and a job that is asked again gives the same answer.

    Args:
        starts: All starts, in order.
        good: Indices of the equally good ones.
        first_of_part: Indices at which a stretch begins that nothing leads to but a gap.
        job: Its name.
    """
    joined = good[:-1][(good[1:] - good[:-1] == 1) & (good[1:, None] != first_of_part).all(axis=1)]
    lengths = starts[joined + 1] - starts[joined]
    share = int.from_bytes(hashlib.sha256(job.encode()).digest()[:8]) / 2**64
    length = float(lengths.sum())
    if length > _EQUAL_S:
        ends = np.cumsum(lengths)
        at = min(int(np.searchsorted(ends, share * length)), len(ends) - 1)
        return float(starts[joined[at] + 1] - (ends[at] - share * length))
    return float(starts[good[int(share * len(good))]])
