"""Two forecasts of the same hours, mixed as their past errors say.

The weights are those that would have had the least squared error (C. Granger and J. Bates, The combination of
forecasts, 1969), for each half day of leads, drawn towards an even mix while there is little past to judge by. A
provider that is worse than the other forecast weighs itself down, to nothing if need be.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from carbon_policy.forecasting.features import LEADS_A_GROUP
from carbon_policy.forecasting.hourly import Floats

_PRIOR_ISSUES = 5.0


@dataclass(frozen=True)
class BlendWeights:
    """How much of a blend is the provider's.

    Attributes:
        provider: For each lead, 0 to 1; shape (leads,).
    """

    provider: Floats

    def blend(self, own: Floats, provider: Floats) -> Floats:
        """Both for the same hours; shape (..., leads) or fewer leads. Where the provider says NaN, it is our own."""
        share = self.provider[: own.shape[-1]]
        mixed = (1 - share) * own + share * np.nan_to_num(provider)
        return np.asarray(np.where(np.isnan(provider), own, mixed))


def learn_weights(own: Floats, provider: Floats, truth: Floats) -> BlendWeights:
    """From past issues.

    Args:
        own: Our own forecasts, shape (issues, leads).
        provider: The provider's, the same hours; NaN where it said nothing.
        truth: What came to be; NaN where it is not known yet.
    """
    leads = own.shape[1]
    weights = np.empty(leads)
    for first in range(0, leads, LEADS_A_GROUP):
        group = slice(first, first + LEADS_A_GROUP)
        ours, theirs = truth[:, group] - own[:, group], truth[:, group] - provider[:, group]
        weights[group] = _least_squares_weight(ours, theirs)
    return BlendWeights(weights)


def _least_squares_weight(ours: Floats, theirs: Floats) -> float:
    both = np.isfinite(ours) & np.isfinite(theirs)
    a, b = ours[both], theirs[both]
    # The prior: as many issues again in which both erred independently and like the better one, which says one half.
    # Like the mean of the two, a provider that is off by far would keep a say for weeks.
    error = min(float((a * a).mean()), float((b * b).mean())) if len(a) else 1.0
    prior = _PRIOR_ISSUES * ours.shape[1] * error
    numerator = float(a @ (a - b)) + prior
    denominator = float((a - b) @ (a - b)) + 2 * prior
    return float(np.clip(numerator / denominator, 0.0, 1.0)) if denominator > 0 else 0.5
