"""What followed the most similar moments of the past: the same hour of other days, weighted by their likeness.

Analogs need no equation, so they see what a linear model cannot, such as that a gale ends sooner than a calm.
scikit-learn's nearest neighbours would do the search; the rest, of which this is most, it does not have.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from carbon_policy.forecasting.features import (
    DAY,
    HORIZON_H,
    LAGS,
    LAST_WEEKS_MEANS,
    PROFILE,
    SEASON,
    WEEKDAY,
)
from carbon_policy.forecasting.hourly import Floats, Ints
from carbon_policy.forecasting.training import Training

_NEIGHBOURS = 40
_MEAN_OF_H = 4
# What likeness is made of: the last two days, the older the less; the profile, the level, the season, the weekday.
_OLDEST_LAG, _PROFILE, _LEVEL, _SEASON, _WEEKDAY = 0.6, 0.6, 0.5, 1.0, 1.0


class AnalogModel:
    """Remembers one zone's history.

    Args:
        training: Of the zone.
    """

    def __init__(self, training: Training) -> None:
        raw = _grouped(training.matrix)
        self._centre = [part.mean(axis=0) for part in raw]
        self._scale = [part.std() + 1e-9 for part in raw]
        keys = self._keys(training.matrix)
        features, issues = training.features, training.issues
        self._values = sliding_window_view(features.values.astype(np.float32), HORIZON_H)
        self._profiles = sliding_window_view(features.running_profile.astype(np.float32), DAY)
        self._at = [np.flatnonzero(training.hours == hour) for hour in range(DAY)]
        self._past = [issues[at] for at in self._at]
        self._past_keys = [keys[at].T.astype(np.float32) for at in self._at]
        self._past_squares = [(past**2).sum(axis=0) for past in self._past_keys]
        self._past_levels = [features.level(past)[:, 0] for past in self._past]

    def relative(self, matrix: Floats, hours: Ints) -> Floats:
        """The expected distance from the profile, over the level; shape (issues, 168).

        Args:
            matrix: Of features, one row an issue.
            hours: The UTC hour of each issue's lead 0.
        """
        keys = self._keys(matrix)
        said = np.empty((len(matrix), HORIZON_H))
        for hour in np.unique(hours):
            at = hours == hour
            said[at] = self._mean_of_nearest(int(hour), self._distances(keys[at], int(hour)))
        return said

    def left_out(self, training: Training) -> Floats:
        """The same for the probed issues of the training, from the other blocks alone."""
        keys, hours = self._keys(training.matrix[training.probed]), training.hours[training.probed]
        blocks = training.blocks[training.probed]
        said = np.empty((len(keys), HORIZON_H))
        for hour in range(DAY):
            at = hours == hour
            distances = self._distances(keys[at], hour)
            distances[blocks[at][:, None] == training.blocks[self._at[hour]][None, :]] = np.inf
            said[at] = self._mean_of_nearest(hour, distances)
        return said

    def _keys(self, matrix: Floats) -> Floats:
        parts = zip(_grouped(matrix), self._centre, self._scale, _weights(), strict=True)
        return np.hstack([weight * (part - centre) / scale for part, centre, scale, weight in parts])

    def _distances(self, keys: Floats, hour: int) -> NDArray[np.float32]:
        squares = (keys**2).sum(axis=1)[:, None] + self._past_squares[hour]
        products = keys.astype(np.float32) @ self._past_keys[hour]
        return np.asarray(np.maximum(squares - 2 * products, 0.0), dtype=np.float32)

    def _mean_of_nearest(self, hour: int, distances: NDArray[np.float32]) -> Floats:
        count = min(_NEIGHBOURS, 1 + distances.shape[1] // 4)
        nearest = np.argpartition(distances, count - 1, axis=1)[:, :count]
        near = np.take_along_axis(distances, nearest, axis=1).astype(np.float64)
        weights = np.exp(-near / (near.mean(axis=1, keepdims=True) + 1e-9))
        weights /= weights.sum(axis=1, keepdims=True) * self._past_levels[hour][nearest]
        row = weights.astype(np.float32)[:, None, :]
        past = self._past[hour][nearest]
        profile = (row @ self._profiles[past - DAY])[:, 0]
        return np.asarray((row @ self._values[past])[:, 0] - np.tile(profile, (1, HORIZON_H // DAY)))


def _grouped(matrix: Floats) -> tuple[Floats, ...]:
    def means(columns: slice) -> Floats:
        part = matrix[:, columns]
        return np.asarray(part.reshape(len(part), -1, _MEAN_OF_H).mean(axis=2))

    yearly = matrix[:, SEASON][:, :2]
    return means(LAGS), means(PROFILE), matrix[:, LAST_WEEKS_MEANS], yearly, matrix[:, WEEKDAY]


def _weights() -> tuple[Floats, ...]:
    lags = (LAGS.stop - LAGS.start) // _MEAN_OF_H
    recency = np.linspace(1.0, _OLDEST_LAG, lags)
    return (recency, *(np.array([weight]) for weight in (_PROFILE, _LEVEL, _SEASON, _WEEKDAY)))
