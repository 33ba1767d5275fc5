from __future__ import annotations

import pytest

from carbon_policy.domain.units import format_energy, format_grams, format_percent, sign


@pytest.mark.parametrize(
    ("gco2", "text"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (0.0, "0 g"),
        (1e-17, "0 g"),
        (0.00000123, "1.23 µg"),
        (0.00123, "1.23 mg"),
        (0.0456, "45.6 mg"),
        (0.9996, "1.00 g"),
        (9.996, "10.0 g"),
        (99.96, "100 g"),
        (123.4, "123 g"),
        (999.9996, "1.00 kg"),
        (1234, "1.23 kg"),
        (2.5e6, "2.50 t"),
        (3e9, "3000 t"),
        (-7890, "−7.89 kg"),
    ],
)
def test_grams(gco2: float | None, text: str) -> None:
    assert format_grams(gco2) == text


@pytest.mark.parametrize(
    ("energy_kwh", "text"),
    [(1.23e-6, "1.23 mWh"), (0.0456, "45.6 Wh"), (7.89, "7.89 kWh"), (12345, "12.3 MWh"), (0, "0 Wh")],
)
def test_energy(energy_kwh: float, text: str) -> None:
    assert format_energy(energy_kwh) == text


def test_percent() -> None:
    assert [format_percent(value) for value in (None, 12.34, -4, -0.01)] == [
        "–",
        "12.3 %",
        "−4.0 %",
        "0.0 %",
    ]


def test_the_sign_is_that_of_what_is_shown() -> None:
    assert [sign(value) for value in (None, float("nan"), -1e-17, -0.001, 2)] == [0, 0, 0, -1, 1]
