"""Three forecasts that err differently, averaged: a ridge regression, analogs, and the fading surprise.

The shares are the same for every zone and every lead. On 2021-22 the result hardly depends on them (a ridge of 0.5
to 0.7), and trusting the ridge more at short leads lowered the error a little and yet kept less of the
saving: a scheduler that looks again every hour is better off with a forecast that does not jump.
"""

from __future__ import annotations

import numpy as np
from threadpoolctl import threadpool_limits

from carbon_policy.forecasting.analog_model import AnalogModel
from carbon_policy.forecasting.features import LEVEL_H, Features
from carbon_policy.forecasting.hourly import Floats, Ints
from carbon_policy.forecasting.profile_model import fading_surprise
from carbon_policy.forecasting.ridge_model import RidgeModel
from carbon_policy.forecasting.training import Residuals, Training

_RIDGE, _ANALOGS, _FADING = 0.7, 0.2, 0.1


class MixedModel:
    """Fitted to one zone.

    Args:
        features: Of at least `SHORTEST_HISTORY_H` hours.

    Attributes:
        residuals: Of a blocked cross-validation.
    """

    name = "ridge and analogs"
    needed_h = LEVEL_H

    def __init__(self, features: Features) -> None:
        # Thousands of small products: threads that wait for each other at each of them cost ten times the work
        # where another process has a core.
        with threadpool_limits(1, user_api="blas"):
            training = Training.of(features)
            self._ridge = RidgeModel(training)
            self._analogs = AnalogModel(training)
            issues = training.issues[training.probed]
            said = _mixed(features, issues, self._ridge.left_out, self._analogs.left_out(training))
            self.residuals = Residuals(
                training.targets[training.probed] - said, training.hours[training.probed]
            )

    def predict(self, features: Features, issues: Ints) -> Floats:
        """The expected intensity, g/kWh; shape (issues, 168). Needs four weeks before each issue."""
        matrix, hours = features.matrix(issues), features.hour_of_day(issues)
        said = _mixed(
            features, issues, self._ridge.relative(matrix, hours), self._analogs.relative(matrix, hours)
        )
        return np.maximum(features.profile(issues) + said * features.level(issues), 0.0)


def _mixed(features: Features, issues: Ints, ridge: Floats, analogs: Floats) -> Floats:
    fading = fading_surprise(features, issues) / features.level(issues)
    return _RIDGE * ridge + _ANALOGS * analogs + _FADING * fading
