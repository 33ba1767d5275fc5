"""Where and when a job could run, and what each choice would emit."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from carbon_policy.domain.decision import Evidence, Option
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.domain.site import Site, Tier

_EQUAL_S = 1e-6
# Sums of floats that ought to be equal differ by about this share.
_EQUAL_SHARE = 1e-9


@dataclass(frozen=True)
class SiteOptions:
    """The best a site has to offer one job.

    Attributes:
        site: The site.
        now: Running there at once; `None` where the window, the hours or the horizon forbid it.
        later: The greenest start after now; `None` where there is none.
        fits: Whether the window leaves room for the job here at all, whatever the grid does.
    """

    site: Site
    now: Option | None
    later: Option | None
    fits: bool


def run_time(evidence: Evidence, site: Site) -> timedelta:
    """How long the job takes on a site: a site at half the speed takes twice as long."""
    return evidence.spec.duration / site.speed


def option_at(evidence: Evidence, site: Site, start: datetime) -> Option:
    """Running on a site from a moment on; its grams are `None` where the outlook does not reach."""
    duration = run_time(evidence, site)
    series = evidence.outlook.get(site.zone)
    finish = start + duration
    gco2 = None
    if series is not None and series.covers(start, finish):
        gco2 = series.integral(start, finish) * site.drawn_kw
    energy_kwh = site.drawn_kw * duration.total_seconds() / 3600
    return Option(
        site=site.name, tier=site.tier.value, start=start, finish=finish, energy_kwh=energy_kwh, gco2=gco2
    )


def site_options(evidence: Evidence, site: Site) -> SiteOptions:
    """The best start now and the best start later on one site, in O(slots)."""
    duration = run_time(evidence, site)
    window = evidence.spec.window(evidence.submitted_at)
    intervals = window.start_intervals(evidence.now, duration)
    series = evidence.outlook.get(site.zone)
    now_option = later = None
    if intervals and intervals[0][0] <= evidence.now <= intervals[0][1]:
        now_option = option_at(evidence, site, evidence.now)
        if now_option.gco2 is None:
            now_option = None
    if series is not None and intervals:
        start = _best_later_start(evidence, site, series, intervals, duration)
        later = option_at(evidence, site, start) if start is not None else None
    return SiteOptions(site, now_option, later, fits=bool(intervals))


def _best_later_start(
    evidence: Evidence,
    site: Site,
    series: IntensitySeries,
    intervals: list[tuple[datetime, datetime]],
    duration: timedelta,
) -> datetime | None:
    """The greenest start after now, or `None`.

    The intensity is a step function, so the grams of a window of fixed length are piecewise linear in its
    start, with kinks only where an end of the window meets the boundary of a slot. The minimum therefore
    lies at such a start or at an edge of the allowed stretches: two candidates a slot and no search.
    """
    step_s = series.step.total_seconds()
    duration_s = duration.total_seconds()
    boundaries = np.arange(len(series.values_gco2_per_kwh) + 1) * step_s
    earliest_s = (evidence.now + evidence.settings.minimum_deferral - series.start).total_seconds()
    stretches = []
    latest = evidence.spec.window(evidence.submitted_at).latest_start_for(duration)
    for opens, closes in intervals:
        if latest is not None:
            # The deadline is kept by the job, and not only by its plan.
            closes = min(closes, latest - evidence.settings.start_latency)
        low = max((opens - series.start).total_seconds(), earliest_s, 0.0)
        high = min((closes - series.start).total_seconds(), boundaries[-1] - duration_s)
        if low <= high:
            stretches.append((low, high))
    if not stretches:
        return None
    kinks = np.concatenate([boundaries, boundaries - duration_s])
    parts = [
        np.unique(np.concatenate([[low, high], kinks[(kinks > low) & (kinks < high)]]))
        for low, high in stretches
    ]
    starts = np.concatenate(parts)
    cumulative = np.asarray(series.cumulative_gh_per_kwh)
    grams = np.interp(starts + duration_s, boundaries, cumulative) - np.interp(starts, boundaries, cumulative)
    grams *= site.drawn_kw
    # Waiting has its price in grams, so that an hour is not waited for a crumb.
    reference = float(
        np.interp(earliest_s + duration_s, boundaries, cumulative)
        - np.interp(earliest_s, boundaries, cumulative)
    )
    waited_h = (starts - earliest_s) / 3600
    score = grams + evidence.settings.wait_cost_per_hour * reference * site.drawn_kw * waited_h
    best = float(score.min())
    good = score <= best * (1 + evidence.settings.near_best + _EQUAL_SHARE)
    part_of = np.concatenate([np.full(len(part), index) for index, part in enumerate(parts)])
    chosen_s = _spread(starts, good, part_of, evidence.job)
    return series.start + timedelta(seconds=chosen_s)


def _spread(starts: np.ndarray, good: np.ndarray, part_of: np.ndarray, job: str) -> float:
    """One of the equally good starts, chosen by the job's name.

    Every job that looks at the same forecast finds the same greenest minute; a stable pick on the plateau
    keeps them from waking together, and a job that is asked again gives the same answer.
    """
    plateaus = [
        (starts[i], starts[i + 1])
        for i in range(len(starts) - 1)
        if good[i] and good[i + 1] and part_of[i] == part_of[i + 1]
    ]
    share = int.from_bytes(hashlib.sha256(job.encode()).digest()[:8]) / 2**64
    length = sum(end - begin for begin, end in plateaus)
    if length > _EQUAL_S:
        rest = share * length
        for begin, end in plateaus:
            if rest <= end - begin:
                return float(begin + rest)
            rest -= end - begin
    points = starts[good]
    return float(points[int(share * len(points))])


def eligible_sites(evidence: Evidence) -> list[Site]:
    """The sites that are enabled and that the job allows, in the order given."""
    spec = evidence.spec
    return [
        site
        for site in evidence.sites
        if site.enabled
        and (not spec.allowed_zones or site.zone in spec.allowed_zones)
        and (not spec.allowed_sites or site.name in spec.allowed_sites)
    ]


def reference_site(evidence: Evidence) -> Site | None:
    """Where the job would run if nobody thought of carbon: the first fast site, else the first of all."""
    sites = eligible_sites(evidence)
    return next((site for site in sites if site.tier is Tier.FAST), sites[0] if sites else None)
