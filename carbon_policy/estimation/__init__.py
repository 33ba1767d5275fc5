"""Past runs in, the duration and energy of the next one out. Pure; scikit-learn underneath."""

from carbon_policy.estimation.estimates import MINIMUM_RUNS, estimates
from carbon_policy.estimation.past_run import PastRun

__all__ = ["MINIMUM_RUNS", "PastRun", "estimates"]
