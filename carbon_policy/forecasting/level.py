"""A provider's forecast on the level that is measured.

What it was off by throughout the last day is its bias: another method, or another meter, and it stays. What it was
off by lately beyond that is news, which fades; a forecast that was issued after the news has it in already.
"""

from __future__ import annotations

import numpy as np

from carbon_policy.forecasting.hourly import Floats

LOOKS_BACK_H = 24
"""How many hours of residuals tell a bias."""

_PRIOR_H = 2.0
_FADES_OVER_H = 12.0


def on_measured_level(
    forecast: Floats, residuals: Floats, *, residual_h: float, step_h: float, has_the_news: bool
) -> Floats:
    """The forecast, shifted.

    Args:
        forecast: Shape (leads,).
        residuals: Measured minus forecast of the last day, the newest last; shape (slots,), at least one.
        residual_h: The length of their slots, hours.
        step_h: The length of the forecast's slots, hours.
        has_the_news: Whether the forecast was issued after the newest residual was measured.
    """
    # Drawn towards none while there is little to judge by.
    bias = float(residuals.sum()) * residual_h / (len(residuals) * residual_h + _PRIOR_H)
    news = 0.0 if has_the_news else float(residuals[-1]) - bias
    fading = np.exp(-np.arange(len(forecast)) * step_h / _FADES_OVER_H)
    return np.asarray(np.maximum(forecast + bias + news * fading, 0.0))
