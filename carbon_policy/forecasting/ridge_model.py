"""One linear model for each hour of the day and each lead, shrunk towards what all hours have in common.

A pooled ridge regression is fitted first; then, for each hour of issue, a second one on what it leaves over. Both
penalties are chosen for each half day of leads by blocked cross-validation. All of it is done on Gram matrices, one
for each hour and block, which are additive: leaving a block out is a subtraction, and a zone of three years takes
about a second on one core. scikit-learn's ridge would solve each of some 250,000 such systems from the data again.
"""

from __future__ import annotations

import numpy as np

from carbon_policy.forecasting.features import COUNT, DAY, HORIZON_H, LEADS_A_GROUP, SEASON
from carbon_policy.forecasting.hourly import Floats, Ints
from carbon_policy.forecasting.training import BLOCKS, Training

_POOLED_PENALTIES = np.array([1, 3, 10, 30, 100, 300, 1000, 3000, 10_000], dtype=np.float64)
_HOURLY_PENALTIES = np.array([10, 30, 100, 300, 1000, 3000, 10_000, 1e8])
_INTERCEPT = 100.0  # So large that no penalty reaches it.


_SEASONS_KNOWN_H = 300 * DAY

# The leads at which penalties are tried: neighbours say the same, and all of them would take four times as long.
_TRIED = np.arange(2, HORIZON_H, 4)


class RidgeModel:
    """Fitted to one zone.

    Args:
        training: Of the zone.

    Attributes:
        left_out: What it says of the probed issues of the training when fitted to the other blocks alone.
    """

    def __init__(self, training: Training) -> None:
        self._mean, self._scale = training.matrix.mean(axis=0), training.matrix.std(axis=0) + 1e-9
        if len(training.issues) < _SEASONS_KNOWN_H:
            # A part of a year says nothing of the seasons; carried on, its trend would be far off.
            self._scale[SEASON] = np.inf
        rows = self._standardised(training.matrix)
        grams = _Grams(rows, training.targets, training.weights, training.hours, training.blocks)
        pooled, pooled_penalty = _pooled(grams)
        penalty, left_out = _hourly(grams, pooled, rows, training)
        self.left_out = left_out
        self._coefficients = _final(grams, pooled_penalty, penalty)

    def relative(self, matrix: Floats, hours: Ints) -> Floats:
        """The expected distance from the profile, over the level; shape (issues, 168).

        Args:
            matrix: Of features, one row an issue.
            hours: The UTC hour of each issue's lead 0.
        """
        rows = self._standardised(matrix)
        said = np.empty((len(rows), HORIZON_H))
        for hour in np.unique(hours):
            at = hours == hour
            said[at] = rows[at] @ self._coefficients[hour]
        return said

    def _standardised(self, raw: Floats) -> Floats:
        return np.hstack([(raw - self._mean) / self._scale, np.full((len(raw), 1), _INTERCEPT)])


class _Grams:
    """Sums of products for each hour of issue and block; X'WX, X'WY and Y'WY."""

    def __init__(self, rows: Floats, targets: Floats, weights: Floats, hours: Ints, blocks: Ints) -> None:
        size = COUNT + 1
        self.xx = np.zeros((DAY, BLOCKS, size, size))
        self.xy = np.zeros((DAY, BLOCKS, size, HORIZON_H))
        self.yy = np.zeros((DAY, BLOCKS, HORIZON_H))
        for hour in range(DAY):
            for block in range(BLOCKS):
                at = np.flatnonzero((hours == hour) & (blocks == block))
                x, y, weighted = rows[at], targets[at], rows[at] * weights[at][:, None]
                self.xx[hour, block] = weighted.T @ x
                self.xy[hour, block] = weighted.T @ y
                self.yy[hour, block] = weights[at] @ y**2


class _Ridge:
    """Ridge regressions with one Gram matrix, at any penalty.

    Args:
        xx: X'WX.
        xy: X'WY.
    """

    def __init__(self, xx: Floats, xy: Floats) -> None:
        eigenvalues, self._vectors = np.linalg.eigh(xx)
        self._eigenvalues = np.maximum(eigenvalues, 0.0)[:, None]
        self._projected = self._vectors.T @ xy

    def coefficients(self, penalty: Floats, leads: Ints | None = None) -> Floats:
        """At one penalty a lead, or one for all, for some leads or all; shape (features, leads)."""
        projected = self._projected if leads is None else self._projected[:, leads]
        return np.asarray(self._vectors @ (projected / (self._eigenvalues + penalty)))


def _pooled(grams: _Grams) -> tuple[list[Floats], Floats]:
    """Coefficients over all hours without each block, and the penalty chosen for each lead."""
    xx, xy, yy = grams.xx.sum(axis=0), grams.xy.sum(axis=0), grams.yy.sum(axis=0)
    errors = np.zeros((len(_POOLED_PENALTIES), len(_TRIED)))
    without = [_Ridge(xx.sum(axis=0) - xx[b], xy.sum(axis=0) - xy[b]) for b in range(BLOCKS)]
    for block, ridge in enumerate(without):
        sums = xx[block], xy[block][:, _TRIED], yy[block][_TRIED]
        for at, penalty in enumerate(_POOLED_PENALTIES):
            errors[at] += _squared_error(ridge.coefficients(penalty, _TRIED), *sums)
    chosen = _best(errors, _POOLED_PENALTIES)
    return [ridge.coefficients(chosen) for ridge in without], chosen


def _hourly(grams: _Grams, pooled: list[Floats], rows: Floats, training: Training) -> tuple[Floats, Floats]:
    """The penalty of each lead, and what the models without each block say of the probed issues in it."""
    errors = np.zeros((len(_HOURLY_PENALTIES), len(_TRIED)))
    without: dict[tuple[int, int], _Ridge] = {}
    for hour in range(DAY):
        all_xx, all_xy = grams.xx[hour].sum(axis=0), grams.xy[hour].sum(axis=0)
        for block, shared in enumerate(pooled):
            xx, xy = grams.xx[hour, block], grams.xy[hour, block]
            rest = all_xx - xx
            ridge = without[hour, block] = _Ridge(rest, all_xy - xy - rest @ shared)
            sums = xx, xy[:, _TRIED], grams.yy[hour, block][_TRIED]
            for at, penalty in enumerate(_HOURLY_PENALTIES):
                beta = shared[:, _TRIED] + ridge.coefficients(penalty, _TRIED)
                errors[at] += _squared_error(beta, *sums)
    chosen = _best(errors, _HOURLY_PENALTIES)
    probed, hours, blocks = (part[training.probed] for part in (rows, training.hours, training.blocks))
    said = np.empty((len(probed), HORIZON_H))
    for (hour, block), ridge in without.items():
        at = (hours == hour) & (blocks == block)
        said[at] = probed[at] @ (pooled[block] + ridge.coefficients(chosen))
    return chosen, said


def _final(grams: _Grams, pooled_penalty: Floats, hourly_penalty: Floats) -> Floats:
    """Coefficients from all blocks; shape (hours, features, leads)."""
    xx, xy = grams.xx.sum(axis=1), grams.xy.sum(axis=1)
    shared = _Ridge(xx.sum(axis=0), xy.sum(axis=0)).coefficients(pooled_penalty)
    return np.stack(
        [shared + _Ridge(xx[h], xy[h] - xx[h] @ shared).coefficients(hourly_penalty) for h in range(DAY)]
    )


def _squared_error(beta: Floats, xx: Floats, xy: Floats, yy: Floats) -> Floats:
    """The weighted sum of squared errors of coefficients on data known by its sums alone; shape (leads,)."""
    return np.asarray(yy - 2 * (beta * xy).sum(axis=0) + (beta * (xx @ beta)).sum(axis=0))


def _best(errors: Floats, penalties: Floats) -> Floats:
    """The penalty with the least error for each group of leads; shape (leads,)."""
    grouped = errors.reshape(len(errors), HORIZON_H // LEADS_A_GROUP, -1).sum(axis=2)
    return np.repeat(penalties[grouped.argmin(axis=0)], LEADS_A_GROUP)
