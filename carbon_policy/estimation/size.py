"""How what a job takes grows with how much it is asked to make. Forests know nothing beyond what they have seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from carbon_policy.domain.ledger import Scalar
from carbon_policy.estimation.features import number_of
from carbon_policy.estimation.forest import Floats
from carbon_policy.estimation.past_run import PastRun

_OVERHEADS = (0.0, *(4.0**power for power in range(-4, 6)))
"""What a job takes whatever its size, as so many times what its usual size takes."""

_MUST_EXPLAIN = 0.5
_NOTHING = 1e-12


@dataclass(frozen=True)
class Size:
    """What a job takes is proportional to its size and an overhead.

    Attributes:
        name: What the size is: the functional unit, or the parameter; empty where nothing says how large a job is.
        sizes: Of the past runs, (n,).
        asked: Of the next one.
        overhead: In the same unit.
    """

    name: str
    sizes: Floats
    asked: float
    overhead: float

    @property
    def scale(self) -> Floats:
        """What each past run is divided by, (n,)."""
        return self.sizes + self.overhead

    @property
    def asked_scale(self) -> float:
        """What the next one is multiplied by."""
        return self.asked + self.overhead


def size_by_quantity(
    runs: Sequence[PastRun], logs: Floats, quantity: float, functional_unit: str | None
) -> Size:
    """By what the job makes: in proportion, unless the runs clearly show that a part of it is the same for all.

    Args:
        runs: All have a quantity.
        logs: Logarithm of what each took, (n,).
        quantity: Of the next run.
        functional_unit: What it is a quantity of.
    """
    sizes = np.asarray([run.quantity for run in runs], dtype=float)
    overhead, left = _best_overhead(runs, logs, sizes)
    proportional = _left_over(runs, logs, sizes)
    # Schwarz's price of one more number: what is gained by it must be more than chance gives.
    if left >= proportional * len(runs) ** (-1 / len(runs)) or proportional < _NOTHING:
        overhead = 0.0
    return Size(functional_unit or "quantity", sizes, quantity, overhead)


def size_by_parameter(runs: Sequence[PastRun], logs: Floats, parameters: Mapping[str, Scalar]) -> Size:
    """By the one parameter, such as `epochs`, that explains most of what the runs took, if any explains half of it.

    Args:
        runs: The past runs.
        logs: Logarithm of what each took, (n,).
        parameters: Of the next run.
    """
    ones = np.ones(len(runs))
    best, least = Size("", ones, 1.0, 0.0), _MUST_EXPLAIN * _left_over(runs, logs, ones)
    for name, value in sorted(parameters.items()):
        asked = number_of(value)
        sizes = np.asarray([number_of(run.parameters.get(name)) for run in runs])
        if isinstance(value, bool) or not asked > 0 or not np.all(sizes > 0) or np.ptp(sizes) == 0:
            continue
        overhead, left = _best_overhead(runs, logs, sizes)
        if left < least:
            best, least = Size(name, sizes, asked, overhead), left
    return best


def _best_overhead(runs: Sequence[PastRun], logs: Floats, sizes: Floats) -> tuple[float, float]:
    usual = float(np.median(sizes))
    left = [_left_over(runs, logs, sizes + share * usual) for share in _OVERHEADS]
    best = int(np.argmin(left))
    return _OVERHEADS[best] * usual, left[best]


def _left_over(runs: Sequence[PastRun], logs: Floats, scale: Floats) -> float:
    """The variance that a scale leaves unexplained, within each site."""
    rest = logs - np.log(scale)
    where = np.asarray([run.site for run in runs])
    squares = [rest[where == site].var() * (where == site).sum() for site in sorted(set(where))]
    return float(sum(squares)) / len(runs)
