"""Amounts as people read them: three digits, and the unit in which they are neither tiny nor huge."""

from __future__ import annotations

import math

_GRAMS = ((1e-6, "µg"), (1e-3, "mg"), (1.0, "g"), (1e3, "kg"), (1e6, "t"))
_KWH = ((1e-6, "mWh"), (1e-3, "Wh"), (1.0, "kWh"), (1e3, "MWh"))

_NOTHING = 5e-9
"""Below this an amount would show as 0.00 of the smallest unit."""


def format_grams(gco2: float | None) -> str:
    """Grams of CO2e: `1.23 mg`, `45.6 g`, `−7.89 kg`; a dash where they are unknown."""
    return _scaled(gco2, _GRAMS, "g")


def format_energy(energy_kwh: float | None) -> str:
    """Kilowatt-hours: `1.23 mWh`, `45.6 Wh`, `7.89 kWh`; a dash where they are unknown."""
    return _scaled(energy_kwh, _KWH, "Wh")


def format_percent(percent: float | None) -> str:
    """A percentage: `12.3 %`, `−4.0 %`; a dash where there is none."""
    if percent is None:
        return "–"
    # Adding nought to a rounded minus nought takes its sign away.
    return f"{round(percent, 1) + 0.0:.1f} %".replace("-", "−")


def sign(amount: float | None) -> int:
    """1, −1, or 0 for what is unknown or would show as nothing: a saving of 1e-17 g is arithmetic's, not a job's."""
    if amount is None or not abs(amount) >= _NOTHING:
        return 0
    return 1 if amount > 0 else -1


def _scaled(amount: float | None, ladder: tuple[tuple[float, str], ...], zero_unit: str) -> str:
    if amount is None or not math.isfinite(amount):
        return "–"
    if not sign(amount):
        return f"0 {zero_unit}"
    # Rounded before the unit is chosen: 999.9996 g is 1.00 kg, not 1000 g.
    rounded = float(f"{amount:.2e}")
    factor, unit = next((step for step in reversed(ladder) if abs(rounded) >= step[0]), ladder[0])
    number = rounded / factor
    decimals = 2 if abs(number) < 9.995 else 1 if abs(number) < 99.95 else 0
    return f"{number:.{decimals}f} {unit}".replace("-", "−")
