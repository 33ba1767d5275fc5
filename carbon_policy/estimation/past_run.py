"""One past run, as far as the next one can learn from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from carbon_policy.domain.ledger import Scalar


@dataclass(frozen=True)
class PastRun:
    """A run that came to its end: what failed says nothing of what the job takes.

    Attributes:
        site: Name of the site that it ran on.
        duration_s: Seconds in which its code ran; breaks are left out.
        energy_kwh: At the machine, without PUE.
        energy_measured: Counters said most of the energy, not models.
        parameters: What it was called with; see `plain_parameters`.
        quantity: How many functional units it made.
        functional_unit: What it made.
    """

    site: str
    duration_s: float
    energy_kwh: float
    energy_measured: bool
    parameters: Mapping[str, Scalar] = field(default_factory=dict)
    quantity: float | None = None
    functional_unit: str | None = None
