"""How far a forecast may be off: quantiles from a model's own errors, scaled by how it has done lately.

Errors on unseen data are divided by their usual size for the lead and the hour of the day; what is left has the same
shape everywhere, and its quantiles are taken. When a band is asked for, it is widened or narrowed by the errors of
the last four weeks, so that a year that is unlike the training is noticed (a split conformal band, made adaptive).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from carbon_policy.forecasting.features import DAY, HORIZON_H, LEADS_A_GROUP
from carbon_policy.forecasting.hourly import Floats, Ints
from carbon_policy.forecasting.training import Residuals

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)

RECENT_H = 28 * DAY
"""How far back errors count as lately."""

RECENT_EVERY_H = 49
"""Hours between the recent issues that errors are taken of: neighbours err alike, and more would take too long."""

_GROUPS = HORIZON_H // LEADS_A_GROUP
_LEADS = np.arange(HORIZON_H)
_GROUP = _LEADS // LEADS_A_GROUP
_PRIOR = 0.15  # Of RECENT_H: how much the training's errors count beside the recent ones.
_TINY = 1e-6  # A zone that never errs still gets a band.


class ErrorBands:
    """Fitted to a model's residuals.

    Args:
        residuals: On unseen data; each lead and hour of the day must be among them.
        quantiles: Between 0 and 1, ascending.
    """

    def __init__(self, residuals: Residuals, quantiles: Sequence[float] = QUANTILES) -> None:
        self.quantiles = tuple(quantiles)
        self._size = _usual_sizes(residuals)
        shape = residuals.values / self._sizes(residuals.hours_of_issue)
        self._shape = np.stack([self._quantiles_of(shape[:, group == _GROUP]) for group in range(_GROUPS)])

    def band(self, hour_of_issue: int, recent: Residuals | None = None) -> Floats:
        """Offsets to add to a forecast, relative to the level; shape (quantiles, 168).

        Args:
            hour_of_issue: The UTC hour of lead 0.
            recent: Errors since `RECENT_H` before the issue; NaN where the truth is not known yet.
        """
        size = self._sizes(np.array([hour_of_issue]))[0] * self._scale(recent)[_GROUP]
        return np.asarray((self._shape[_GROUP] * size[:, None]).T)

    def _quantiles_of(self, shape: Floats) -> Floats:
        return np.quantile(shape[np.isfinite(shape)], self.quantiles)

    def _sizes(self, hours_of_issue: Ints) -> Floats:
        return np.asarray(self._size[_GROUP[None, :], _target_hours(hours_of_issue)])

    def _scale(self, recent: Residuals | None) -> Floats:
        """How much larger the recent errors were than usual, for each group of leads."""
        if recent is None or not len(recent.values):
            return np.ones(_GROUPS)
        ratio = np.abs(recent.values) / self._sizes(recent.hours_of_issue)
        grouped = ratio.reshape(len(ratio), _GROUPS, LEADS_A_GROUP)
        known = np.isfinite(grouped)
        total = np.where(known, grouped, 0.0).sum(axis=(0, 2))
        prior = _PRIOR * len(ratio) * LEADS_A_GROUP
        return np.asarray((total + prior) / (known.sum(axis=(0, 2)) + prior))


def _usual_sizes(residuals: Residuals) -> Floats:
    """The mean size of the errors for each group of leads and UTC hour; shape (groups, 24)."""
    sizes = np.abs(residuals.values)
    known = np.isfinite(sizes)
    total, count = np.zeros((_GROUPS, DAY)), np.zeros((_GROUPS, DAY))
    for hour in range(DAY):
        at = residuals.hours_of_issue == hour
        cells = _GROUP, (hour + _LEADS) % DAY
        np.add.at(total, cells, np.where(known[at], sizes[at], 0.0).sum(axis=0))
        np.add.at(count, cells, known[at].sum(axis=0))
    overall = float(total.sum() / max(1.0, count.sum()))
    mean = np.where(count > 0, total / np.maximum(1.0, count), overall)
    return np.maximum(mean, _TINY)


def _target_hours(hours_of_issue: Ints) -> Ints:
    return np.asarray((hours_of_issue[:, None] + _LEADS[None, :]) % DAY)
