"""What models are fitted to: every hour of a zone's history as an issue, with what it knew and what came to be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from carbon_policy.forecasting.features import DAY, EVERY_H, HORIZON_H, LEVEL_H, WEEK, Features
from carbon_policy.forecasting.hourly import Floats, Ints

SHORTEST_HISTORY_H = LEVEL_H + HORIZON_H + 4 * WEEK
"""Four weeks of issues, each with four weeks before it and one after: nine weeks."""

BLOCKS = 8
"""Parts of a history that are left out in turn, to learn how far a model is off on what it has not seen."""

_HALF_LIFE_H = 365 * DAY


@dataclass(frozen=True)
class Residuals:
    """Errors on data that a model had not seen, relative to the level.

    Attributes:
        values: Truth minus forecast, over the level; shape (issues, 168); NaN where it is not known yet.
        hours_of_issue: The UTC hour of each issue's lead 0; shape (issues,).
    """

    values: Floats
    hours_of_issue: Ints


@dataclass(frozen=True)
class Training:
    """One row an issue.

    Attributes:
        features: Of the history.
        issues: Index of each issue's lead 0 in the history.
        matrix: What each knew; see `Features.matrix`.
        targets: What came to be, relative: minus the profile, over the level; shape (issues, 168).
        hours: The UTC hour of each issue's lead 0.
        blocks: 0 to `BLOCKS` - 1, in the order of time.
        weights: Newer issues count more; mean one.
    """

    features: Features
    issues: Ints
    matrix: Floats
    targets: Floats
    hours: Ints
    blocks: Ints
    weights: Floats

    @classmethod
    def of(cls, features: Features) -> Training:
        """From at least `SHORTEST_HISTORY_H` hours."""
        issues = np.arange(LEVEL_H, len(features) - HORIZON_H + 1)
        weights = 0.5 ** ((issues[-1] - issues) / _HALF_LIFE_H)
        return cls(
            features,
            issues,
            features.matrix(issues),
            (features.targets(issues) - features.profile(issues)) / features.level(issues),
            features.hour_of_day(issues),
            np.arange(len(issues)) * BLOCKS // len(issues),
            weights / weights.mean(),
        )

    @property
    def probed(self) -> slice:
        """The issues that errors are taken of."""
        return slice(None, None, EVERY_H)
