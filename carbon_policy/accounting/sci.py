"""Software Carbon Intensity, ISO/IEC 21031:2024."""

from __future__ import annotations

from carbon_policy.domain.errors import InvalidInputError


def sci_gco2_per_unit(operational_gco2: float, functional_units: float, embodied_gco2: float = 0.0) -> float:
    """The SCI score `(E x I + M) / R`, gCO2e per functional unit.

    Args:
        operational_gco2: `E x I` of the run, grams, PUE included; see `total_gco2`.
        functional_units: `R`: how many units of work the run did, such as epochs or inferences.
        embodied_gco2: `M`: the run's share of making the hardware, grams. The default leaves it out, and a
            score without it must be disclosed as operational only.

    Raises:
        InvalidInputError: There are no functional units to divide by.
    """
    if functional_units <= 0:
        raise InvalidInputError(
            f"A score per functional unit needs some units, and {functional_units} is none."
        )
    return (operational_gco2 + embodied_gco2) / functional_units
