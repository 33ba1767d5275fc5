"""A zone's history in, its next week out: the best model that the history is long enough for, and its bands."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from carbon_policy.domain.errors import InvalidInputError
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.forecasting.bands import QUANTILES, RECENT_EVERY_H, RECENT_H, ErrorBands
from carbon_policy.forecasting.features import DAY, HORIZON_H, LEVEL_H, WEEK, Features
from carbon_policy.forecasting.forecast import Forecast
from carbon_policy.forecasting.hourly import HOUR, Floats, HourlyHistory, Ints
from carbon_policy.forecasting.mixed_model import MixedModel
from carbon_policy.forecasting.profile_model import ProfileModel
from carbon_policy.forecasting.training import SHORTEST_HISTORY_H, Residuals

SOURCE = "own forecast"
"""The name under which these forecasts appear as a source."""

# What the features of the recent issues reach back to: four weeks of issues, a week each until the truth is known,
# and the level and the profile before the first of them.
_NEEDED_H = RECENT_H + WEEK + 4 * LEVEL_H
_SHORTEST_FOR_BANDS_H = DAY + WEEK


class Model(Protocol):
    """What forecasts from features."""

    name: str
    needed_h: int

    def predict(self, features: Features, issues: Ints) -> Floats:
        """The expected intensity, g/kWh; shape (issues, 168). Needs `needed_h` hours before each issue."""


class Forecaster:
    """Fitted to one zone, and good until its errors grow: refit weekly, forecast hourly.

    From nine weeks of history on it is a ridge regression averaged with analogs; from two days on, the day's
    profile; with one day, that day again. Bands need eight days.

    Args:
        history: Of the zone, as long as there is; three years take about two seconds.

    Raises:
        InvalidInputError: There is less than a day of it, or its slots do not make hours.
    """

    def __init__(self, history: IntensitySeries) -> None:
        hourly = HourlyHistory.of(history)
        if len(hourly) < DAY:
            raise InvalidInputError(
                f"{len(hourly)} h of history of {history.zone} are too short for a forecast; give a day or more."
            )
        self.zone = history.zone
        self.model, self._bands = fit(Features(hourly))

    def forecast(self, history: IntensitySeries) -> Forecast:
        """The week after a history.

        Args:
            history: Up to the moment of issue; its last five months are looked at.

        Returns:
            Hourly, 168 h; quantiles where there was enough history for them.

        Raises:
            InvalidInputError: It is of another zone, or too short for the model.
        """
        if history.zone != self.zone:
            raise InvalidInputError(
                f"This forecaster knows {self.zone} and not {history.zone}; fit one for it."
            )
        hourly = HourlyHistory.of(history, newest_h=_NEEDED_H)
        if len(hourly) < self.model.needed_h:
            raise InvalidInputError(
                f"{len(hourly)} h of history of {self.zone} are too short;"
                f" this forecaster needs {self.model.needed_h} h."
            )
        features = Features(hourly)
        issue = np.array([len(hourly)])
        expected = self.model.predict(features, issue)[0]
        series = IntensitySeries(
            zone=self.zone,
            start=hourly.end,
            step=HOUR,
            values_gco2_per_kwh=tuple(expected.tolist()),
            source=SOURCE,
            signal=history.signal,
            factors=history.factors,
            basis=history.basis,
            issued_at=hourly.end,
            simulated=history.simulated,
            made_from=history.source,
            provenance=(
                *history.provenance,
                f"Forecast by carbon-policy ({self.model.name}) from {history.source} up to {hourly.end.isoformat()}.",
            ),
        )
        return Forecast(series, self._quantiles(features, issue, expected))

    def _quantiles(self, features: Features, issue: Ints, expected: Floats) -> dict[float, tuple[float, ...]]:
        if self._bands is None:
            return {}
        first = max(self.model.needed_h, len(features) - RECENT_H)
        lately = hindcast(self.model, features, np.arange(first, len(features), RECENT_EVERY_H))
        offsets = self._bands.band(int(features.hour_of_day(issue)[0]), lately)
        values = np.maximum(expected + offsets * features.level(issue)[0, 0], 0.0)
        return {q: tuple(row.tolist()) for q, row in zip(QUANTILES, values, strict=True)}


def fit(features: Features) -> tuple[Model, ErrorBands | None]:
    """The best model that a history is long enough for, and its bands if they can be known."""
    hours = len(features)
    if hours >= SHORTEST_HISTORY_H:
        mixed = MixedModel(features)
        return mixed, ErrorBands(mixed.residuals)
    profile = ProfileModel()
    if hours < _SHORTEST_FOR_BANDS_H:
        return profile, None
    return profile, ErrorBands(hindcast(profile, features, np.arange(DAY, hours)))


def hindcast(model: Model, features: Features, issues: Ints) -> Residuals:
    """What a model would have said at past issues, against what is known by now."""
    if not len(issues):
        return Residuals(np.empty((0, HORIZON_H)), issues)
    said = model.predict(features, issues)
    leads = issues[:, None] + np.arange(HORIZON_H)[None, :]
    known = leads < len(features)
    truth = features.values[np.minimum(leads, len(features) - 1)]
    relative = np.where(known, truth - said, np.nan) / features.level(issues)
    return Residuals(relative, features.hour_of_day(issues))
