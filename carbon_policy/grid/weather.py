"""The made-up grid behind `SimulatedGrid`: a shape that is known and weather that is not.

Everything is a pure function of zone, seed and hour, so that the value of an hour is the same
whoever asks, for whatever range, in whatever process. Hours count from 1970-01-01T00:00Z.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from carbon_policy.domain.signal import MAX_GCO2_PER_KWH
from carbon_policy.grid.zones import ZoneMean

Hours = NDArray[np.float64]

_YEAR_H = 8766
_SPELL_H, _SEASONAL_H = 30.0, 240.0
"""How long a windy or still spell is felt, and after what time the opposite makes up for it."""
_MEMORY_H = 1440
_SIGMA = 0.2
"""Standard deviation of the logarithm of weather's factor, on a grid that varies freely."""


def _weights() -> Hours:
    """How much each of the past hours' shocks still counts, the latest first.

    The difference of two decays that sums to nothing: spells of some days, and no drift, so that a
    year's mean stays where it is put.
    """
    age = np.arange(_MEMORY_H)
    fast, slow = np.exp(-age / _SPELL_H), np.exp(-age / _SEASONAL_H)
    weights = fast - slow * (fast.sum() / slow.sum())
    return np.asarray(weights / np.sqrt((weights**2).sum()))


_WEIGHTS = _weights()


@dataclass(frozen=True)
class MadeUpGrid:
    """One zone's made-up intensity.

    Attributes:
        zone: Electricity Maps' key; zones differ in their shape and their weather.
        mean: The yearly mean to keep to, and where on Earth it is.
        seed: Another seed is another history.
    """

    zone: str
    mean: ZoneMean
    seed: int

    def actual_gco2_per_kwh(self, first: int, count: int) -> list[float]:
        """What the intensity is in `count` hours from hour `first`, g/kWh."""
        return self._values(first, self._anomalies(first, count), np.zeros(count))

    def forecast_gco2_per_kwh(self, first: int, count: int) -> list[float]:
        """What is expected in hour `first` of `count` hours from there, g/kWh.

        Hour `first` itself is known. From there on the shape holds and today's anomaly fades as its
        spell does; the shocks to come are not looked at.
        """
        fading = np.exp(-np.arange(count) / _SPELL_H)
        return self._values(first, self._anomalies(first, 1)[0] * fading, 1 - fading**2)

    def _values(self, first: int, anomalies: Hours, unknown: Hours) -> list[float]:
        """g/kWh from the anomalies' expected values and the share of their variance that is unknown."""
        # A log-normal factor has mean 1 when half its variance is taken off.
        factor = np.exp(self._sigma * anomalies - self._sigma**2 / 2 * (1 - unknown))
        hours = np.arange(first, first + len(anomalies), dtype=np.float64)
        values = self.mean.gco2_per_kwh * self._shape(hours) / self._shape_mean * factor
        # Rounded as sources do, and so that the last bit of a platform's exp() does not show.
        return [round(float(value), 1) for value in np.clip(values, 0.1, MAX_GCO2_PER_KWH)]

    @cached_property
    def _variability(self) -> float:
        """0 to 1. A grid that is all coal, or all water, has little to vary with."""
        return min(1.0, max(0.15, (1200 - self.mean.gco2_per_kwh) / 800))

    @cached_property
    def _sigma(self) -> float:
        return _SIGMA * self._variability

    @cached_property
    def _solar(self) -> float:
        """The depth of the midday dip on an average day, 0.15 to 0.4 by zone."""
        digest = sha256(f"solar|{self.zone}|{self.seed}".encode()).digest()
        return 0.15 + 0.25 * digest[0] / 255

    @cached_property
    def _shape_mean(self) -> float:
        return float(self._shape(np.arange(4 * _YEAR_H, dtype=np.float64)).mean())

    def _shape(self, hours: Hours) -> Hours:
        """Season, day and week, around 1."""
        local = hours + self.mean.longitude / 15
        hour_of_day = local % 24
        # 1970-01-01 was a Thursday.
        weekday = (local // 24 + 3) % 7
        hemisphere = 1 if self.mean.latitude >= 0 else -1
        winter = hemisphere * np.cos(2 * math.pi * (hours / _YEAR_H - 15 / 365))
        noon = np.exp(-(((hour_of_day - 12.5) / 3.0) ** 2))
        evening = np.exp(-(((hour_of_day - 19.5) / 2.2) ** 2))
        night = np.exp(-(((hour_of_day - 3.5) / 3.0) ** 2))
        swing = (
            0.08 * winter
            - self._solar * (1 - 0.4 * winter) * noon
            + 0.18 * evening
            - 0.06 * night
            - 0.07 * (weekday >= 5)
        )
        return np.asarray(1 + self._variability * swing)

    def _anomalies(self, first: int, count: int) -> Hours:
        """Weather's anomaly, standard normal, of each hour: what is left of the shocks up to it."""
        shocks = self._shocks(first - _MEMORY_H + 1, count + _MEMORY_H - 1)
        return np.asarray(np.convolve(shocks, _WEIGHTS, mode="valid"))

    def _shocks(self, first: int, count: int) -> Hours:
        """An independent, standard normal shock for each hour.

        A hash of the hour is a random stream that can be entered anywhere and is the same on every
        platform. The sum of its sixteen 16-bit words is normal enough.
        """
        stream = b"".join(
            sha256(f"{self.zone}|{self.seed}|{hour}".encode()).digest()
            for hour in range(first, first + count)
        )
        words = np.frombuffer(stream, dtype="<u2").reshape(count, 16)
        deviation = math.sqrt(16 * (65536**2 - 1) / 12)
        return np.asarray((words.sum(axis=1, dtype=np.float64) - 8 * 65535) / deviation)
