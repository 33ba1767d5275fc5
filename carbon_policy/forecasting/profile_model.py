"""The forecast that needs no training: the recent profile of the day, and today's distance from it fading away."""

from __future__ import annotations

import numpy as np

from carbon_policy.forecasting.features import DAY, HORIZON_H, Features
from carbon_policy.forecasting.hourly import Floats, Ints

_SLOW_H, _FAST_H = 48.0, 8.0
_LEADS = np.arange(HORIZON_H)[None, :]


class ProfileModel:
    """Works from the second day on."""

    name = "profile"
    needed_h = DAY

    def predict(self, features: Features, issues: Ints) -> Floats:
        """The expected intensity, g/kWh; shape (issues, 168)."""
        return np.maximum(features.profile(issues) + fading_surprise(features, issues), 0.0)


def fading_surprise(features: Features, issues: Ints) -> Floats:
    """How far the coming hours will be from the profile if today's distance from it fades, g/kWh."""
    day, quarter = features.surprise(issues, DAY), features.surprise(issues, DAY // 4)
    return np.asarray(day * np.exp(-_LEADS / _SLOW_H) + (quarter - day) * np.exp(-_LEADS / _FAST_H))
