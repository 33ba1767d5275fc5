"""An expected intensity and how far it may be off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from carbon_policy.domain.errors import InvalidInputError
from carbon_policy.domain.signal import IntensitySeries


@dataclass(frozen=True)
class Forecast:
    """A forecast with its bands.

    Attributes:
        expected: The point forecast, with its provenance.
        quantiles: For each level between 0 and 1 one value a slot, gCO2e/kWh; empty where nothing is known of errors.
    """

    expected: IntensitySeries
    quantiles: Mapping[float, tuple[float, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        slots = len(self.expected.values_gco2_per_kwh)
        for level, values in self.quantiles.items():
            if not 0 < level < 1 or len(values) != slots:
                raise InvalidInputError(
                    f"The quantile {level} needs a level between 0 and 1 and {slots} values."
                )
