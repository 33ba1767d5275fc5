"""Whether a saving holds when the forecast errs: the bands of two windows, and how far their errors go together.

A wait saves `grams now - grams later`, and both are forecast. How far a window's grams may be off at a level is the
mean over the window of its slots' bands: errors of neighbouring hours are nearly one error (autocorrelation along
lead about 0.93 an hour, measured on CarbonCast's forecasts; grid-facts 3.4), so they do not cancel inside a window.
Between the two windows the same correlation remains, `0.93 ** hours apart`, as a zone that turns out windier than
forecast does so now and later. So the difference may be off by `sqrt(a^2 + b^2 - 2 r a b)`, and of windows in two
zones by `sqrt(a^2 + b^2)`.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from carbon_policy.domain.decision import Evidence, Option
from carbon_policy.domain.job import Risk
from carbon_policy.domain.site import Site
from carbon_policy.policies.curve import Curve, Floats
from carbon_policy.policies.load import Load, load_on

LEVELS = {Risk.CAREFUL: 0.9, Risk.BALANCED: 0.75}
"""At this quantile of the forecast's errors a saving must still be one."""

CORRELATION_PER_HOUR = 0.93
"""Of the errors of two hours, one apart."""


class Hedge:
    """The savings against one option that hold at the job's level of risk.

    Args:
        evidence: What is known.
        base: What the job would do otherwise: the best that it can start now.
    """

    def __init__(self, evidence: Evidence, base: Option) -> None:
        self._evidence = evidence
        self._base = base
        self._site = next(site for site in evidence.sites if site.name == base.site)
        self._curves: dict[str, Curve | None] = {}
        load = load_on(evidence, self._site)
        start_s = (base.start - evidence.now).total_seconds()
        self._doubt = float(self._doubts(self._site, load, np.array([start_s]))[0])

    @staticmethod
    def applies(evidence: Evidence) -> bool:
        """Whether there is any risk to weigh: the job is not bold, and something is known of the errors."""
        return evidence.spec.risk in LEVELS and bool(evidence.quantiles)

    def holds(self, site: Site, load: Load, starts_s: Floats, gco2: Floats) -> np.ndarray:
        """Which starts, in seconds from now, save carbon though the forecast errs."""
        doubts = self._doubts(site, load, starts_s)
        together: Floats | float = 0.0
        if site.zone == self._site.zone:
            apart_h = np.abs(starts_s - (self._base.start - self._evidence.now).total_seconds()) / 3600
            together = 2 * CORRELATION_PER_HOUR**apart_h * doubts * self._doubt
        off = np.sqrt(np.maximum(doubts**2 + self._doubt**2 - together, 0.0))
        return np.asarray(gco2 + off < (self._base.gco2 or 0.0))

    def holds_for(self, option: Option) -> bool:
        """Whether one option's saving holds."""
        site = next(site for site in self._evidence.sites if site.name == option.site)
        starts_s = np.array([(option.start - self._evidence.now).total_seconds()])
        gco2 = np.array([option.gco2 if option.gco2 is not None else np.inf])
        return bool(self.holds(site, load_on(self._evidence, site), starts_s, gco2)[0])

    def _doubts(self, site: Site, load: Load, starts_s: Floats) -> Floats:
        """By how many grams each start may exceed what is expected of it."""
        curve = self._curve(site.zone)
        if curve is None:
            return np.zeros_like(starts_s)
        shift_s = (self._evidence.now - self._evidence.outlook[site.zone].start).total_seconds()
        return curve.integral(starts_s + shift_s, load.duration.total_seconds()) * load.drawn_kw

    def _curve(self, zone: str) -> Curve | None:
        if zone not in self._curves:
            self._curves[zone] = _excess(self._evidence, zone, LEVELS[self._evidence.spec.risk])
        return self._curves[zone]


def _excess(evidence: Evidence, zone: str, level: float) -> Curve | None:
    """By how much each slot may exceed what is expected of it, g/kWh; `None` where nothing is known.

    Between the levels that are given, and beyond the highest, the band is drawn as a normal distribution's
    would be, from what is expected at the median.
    """
    series = evidence.outlook.get(zone)
    slots = len(series.values_gco2_per_kwh) if series is not None else 0
    given = {
        at: values
        for at, values in evidence.quantiles.get(zone, {}).items()
        if 0.5 < at < 1 and len(values) == slots
    }
    if series is None or not given:
        return None
    expected = np.array(series.values_gco2_per_kwh)
    normal = NormalDist()
    z, points = normal.inv_cdf(level), sorted(given)
    above = next((at for at in points if at >= level), points[-1])
    z_above, top = normal.inv_cdf(above), np.array(given[above]) - expected
    below = max((at for at in points if at < above), default=None)
    if z > z_above or below is None:
        excess = top * z / z_above
    else:
        z_below = normal.inv_cdf(below)
        low = np.array(given[below]) - expected
        excess = low + (top - low) * (z - z_below) / (z_above - z_below)
    return Curve.of(tuple(np.maximum(excess, 0.0).tolist()), series.step.total_seconds())
