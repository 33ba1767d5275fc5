"""What is known of a zone at the moment a forecast is issued.

Everything is taken relative to two slow things: the zone's *level* (mean of four weeks), so that a grid that grows
cleaner needs no new model; and its *profile* (the recent mean of each hour of the day), so that a model has to
explain only what is unlike the last weeks.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from carbon_policy.forecasting.hourly import Floats, HourlyHistory, Ints

DAY, WEEK = 24, 168
HORIZON_H = WEEK
"""Hours ahead of every forecast."""

LEADS_A_GROUP = 12
"""Leads that share a penalty, a weight or an error's shape: half a day of them."""

EVERY_H = 5
"""Hours between the issues that errors are taken of: coprime to 24, so every hour of the day is among them."""

LEVEL_H = 4 * WEEK
_LAGS = 48
_PROFILE_HALF_LIFE_DAYS = 7.0
_HOURS_A_YEAR = 8765.82
_THURSDAY = 3  # 1970-01-01, with Monday as 0.

# The columns of a matrix of features.
LAGS = slice(0, _LAGS)
PROFILE = slice(LAGS.stop, LAGS.stop + DAY)
LAST_WEEK = slice(PROFILE.stop, PROFILE.stop + DAY)
LAST_WEEKS_MEANS = slice(LAST_WEEK.stop, LAST_WEEK.stop + 2)
SEASON = slice(LAST_WEEKS_MEANS.stop, LAST_WEEKS_MEANS.stop + 4)
WEEKDAY = slice(SEASON.stop, SEASON.stop + 7)
COUNT = WEEKDAY.stop
"""Features of one issue."""


class Features:
    """Features and targets for any issue inside a history.

    An issue `i` knows the values before index `i`; its lead `k` (0 to 167) is the hour with index `i + k`.

    Args:
        history: At least one day.

    Attributes:
        values: The history, g/kWh, shape (hours,).
        running_profile: For each hour the recent mean of its hour of the day, up to and including it.
    """

    def __init__(self, history: HourlyHistory) -> None:
        values = history.values_gco2_per_kwh
        self._first_hour = history.first_hour
        self.values = values
        self.running_profile = _running_profile(values)
        # How far each hour was from what the profile of the day before said.
        self._surprise = np.zeros_like(values)
        self._surprise[DAY:] = values[DAY:] - self.running_profile[:-DAY]
        self._sum = _prefix(values)
        self._surprise_sum = _prefix(self._surprise)

    def __len__(self) -> int:
        return len(self.values)

    def hour_of_day(self, issues: Ints) -> Ints:
        """The UTC hour that each issue's lead 0 is."""
        return (self._first_hour + issues) % DAY

    def level(self, issues: Ints) -> Floats:
        """Mean of up to four weeks before each issue, g/kWh, at least 1; shape (issues, 1)."""
        since = np.maximum(0, issues - LEVEL_H)
        mean = (self._sum[issues] - self._sum[since]) / np.maximum(1, issues - since)
        return np.maximum(mean, 1.0)[:, None]

    def profile(self, issues: Ints) -> Floats:
        """The profile laid out over the leads, g/kWh; shape (issues, 168). Needs a day before each issue."""
        day = sliding_window_view(self.running_profile, DAY)[issues - DAY]
        return np.tile(day, (1, HORIZON_H // DAY))

    def surprise(self, issues: Ints, hours: int) -> Floats:
        """Mean distance of the last hours from the profile, g/kWh; shape (issues, 1)."""
        since = np.maximum(0, issues - hours)
        total = self._surprise_sum[issues] - self._surprise_sum[since]
        return (total / np.maximum(1, issues - since))[:, None]

    def targets(self, issues: Ints) -> Floats:
        """What came to be, g/kWh; shape (issues, 168). Needs a week after each issue."""
        return sliding_window_view(self.values, HORIZON_H)[issues]

    def matrix(self, issues: Ints) -> Floats:
        """The features; shape (issues, COUNT). Needs a week before each issue."""
        level = self.level(issues)
        profile = sliding_window_view(self.running_profile, DAY)[issues - DAY]
        last_week = sliding_window_view(self.values, DAY)[issues - WEEK] - profile
        lags = sliding_window_view(self._surprise, _LAGS)[issues - _LAGS][:, ::-1]
        week_mean = ((self._sum[issues] - self._sum[issues - WEEK]) / WEEK)[:, None]
        hour = self._first_hour + issues
        phase = (2 * np.pi / _HOURS_A_YEAR) * hour[:, None]
        season = np.hstack([np.sin(phase), np.cos(phase), np.sin(2 * phase), np.cos(2 * phase)])
        weekday = np.eye(7)[(hour // DAY + _THURSDAY) % 7]
        relative = np.hstack([lags, profile, last_week, self.surprise(issues, WEEK), week_mean]) / level
        return np.hstack([relative, season, weekday])


def _running_profile(values: Floats) -> Floats:
    """For each hour the exponentially weighted mean of its hour of the day, up to and including it."""
    decay = 0.5 ** (1 / _PROFILE_HALF_LIFE_DAYS)
    days = -(-len(values) // DAY)
    padded = np.zeros(days * DAY)
    padded[: len(values)] = values
    profile = np.empty((days, DAY))
    total, weight = np.zeros(DAY), 0.0
    for day, row in enumerate(padded.reshape(days, DAY)):
        total, weight = total * decay + row, weight * decay + 1
        profile[day] = total / weight
    return profile.ravel()[: len(values)]


def _prefix(values: Floats) -> Floats:
    return np.concatenate([[0.0], np.cumsum(values)])
