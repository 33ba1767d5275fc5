"""Software Carbon Intensity."""

from __future__ import annotations

import pytest

from carbon_policy.accounting.sci import sci_gco2_per_unit
from carbon_policy.domain.errors import InvalidInputError


def test_by_hand() -> None:
    # 495 g of operation and 105 g of the hardware's making, over 300 epochs: 600 / 300 = 2 g an epoch.
    assert sci_gco2_per_unit(495, functional_units=300, embodied_gco2=105) == 2


def test_operational_only() -> None:
    assert sci_gco2_per_unit(495, functional_units=99) == 5


@pytest.mark.parametrize("units", [0, -1])
def test_it_needs_units(units: float) -> None:
    with pytest.raises(InvalidInputError, match="functional unit"):
        sci_gco2_per_unit(495, functional_units=units)
