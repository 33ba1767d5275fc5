"""A quantile regression forest: of a value, its middle and what it stays below nine times in ten."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

HIGH = 0.9
"""The level of the high quantile."""

_TREES = 50
_SMALLEST_LEAF = 5
_KEPT = 16

Floats = NDArray[np.float64]


def forest_of(rows: Floats, values: Floats) -> QuantileForest:
    """The forest of these rows; as the same rows give the same forest, the latest few are grown once.

    Args:
        rows: Features, (n, features); may have NaN where one is not known.
        values: (n,).
    """
    return _grown(rows.shape, rows.tobytes(), values.tobytes())


@lru_cache(maxsize=_KEPT)
def _grown(shape: tuple[int, ...], rows: bytes, values: bytes) -> QuantileForest:
    return QuantileForest(np.frombuffer(rows).reshape(shape), np.frombuffer(values))


class QuantileForest:
    """scikit-learn's random forest, read as Meinshausen reads it: not a leaf's mean, but the values in it.

    A past value weighs, for a new row, as often as the two fall into one leaf (N. Meinshausen, *Quantile Regression
    Forests*, JMLR 7, 2006). Trees fit the values that they were grown on, so what they say of these is too narrow.
    The high quantile is therefore moved until it holds as often as it says for values that a tree had not seen:
    conformalized quantile regression (Y. Romano, E. Patterson, E. Candès, NeurIPS 2019), with the out-of-bag rows for
    calibration as U. Johansson et al. do (*Regression conformal prediction with random forests*, 2014).

    The same rows give the same forest.
    """

    def __init__(self, rows: Floats, values: Floats) -> None:
        """Grow the forest.

        Args:
            rows: Features, (n, features); may have NaN where one is not known.
            values: (n,).
        """
        # It takes seconds to import, and most decisions need none.
        from sklearn.ensemble import RandomForestRegressor

        self._forest = RandomForestRegressor(_TREES, min_samples_leaf=_SMALLEST_LEAF, random_state=0)
        self._forest.fit(rows, values)
        self._leaves: NDArray[np.int64] = self._forest.apply(rows)
        self._values = values
        self._order = np.argsort(values, kind="stable")
        self._shift = self._calibrated()

    def median_and_high(self, rows: Floats) -> tuple[Floats, Floats]:
        """The two quantiles of each row, (m,) each; the high one is never the lower."""
        leaves = self._forest.apply(rows)
        weights = np.zeros((len(rows), len(self._values)))
        for tree in range(_TREES):
            together = leaves[:, tree][:, None] == self._leaves[:, tree][None, :]
            weights += together / together.sum(axis=1, keepdims=True)
        median = self._quantile(weights, 0.5)
        return median, np.maximum(median, self._quantile(weights, HIGH) + self._shift)

    def _calibrated(self) -> float:
        """By how much the high quantile is too low for values that the trees had not seen."""
        n = len(self._values)
        weights = np.zeros((n, n))
        for tree, seen in enumerate(self._forest.estimators_samples_):
            unseen = np.setdiff1d(np.arange(n), seen)
            together = self._leaves[unseen, tree][:, None] == self._leaves[:, tree][None, :]
            together[np.arange(len(unseen)), unseen] = False
            weights[unseen] += together / together.sum(axis=1, keepdims=True)
        judged = weights.sum(axis=1) > 0
        excess = np.sort(self._values[judged] - self._quantile(weights[judged], HIGH))
        return float(excess[min(len(excess), math.ceil(HIGH * (len(excess) + 1))) - 1])

    def _quantile(self, weights: Floats, level: float) -> Floats:
        """The least value that has that share of the weights at or below it, by row."""
        sums = np.cumsum(weights[:, self._order], axis=1)
        reached = sums >= level * sums[:, -1:]
        return np.asarray(self._values[self._order][np.argmax(reached, axis=1)])
