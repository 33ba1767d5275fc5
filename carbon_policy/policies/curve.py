"""An intensity series as arrays, made once and kept with the series."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from carbon_policy.domain.signal import IntensitySeries

Floats = NDArray[np.float64]

_KEPT_AS = "_policies_curve"
_MOST_KEPT = 8  # Jobs of as many lengths; a week of 5-minute slots takes 65 kB for each.


@dataclass(frozen=True, eq=False, slots=True)
class Curve:
    """A step function of time; seconds count from the start of its first slot.

    Attributes:
        step_s: Length of a slot.
        end_s: Where the last slot ends.
        boundaries_s: Where slots begin and end, shape (slots + 1,).
        cumulative: The integral up to each boundary, (unit of the values) x h, shape (slots + 1,).
        values: What it was made of.
        bends: By the length of a window in seconds, what `windows` has found for the whole series.
    """

    step_s: float
    end_s: float
    boundaries_s: Floats
    cumulative: Floats
    values: tuple[float, ...]
    bends: dict[float, tuple[Floats, Floats]] = field(default_factory=dict)

    @classmethod
    def of(cls, values: tuple[float, ...], step_s: float) -> Curve:
        """A curve of one value a slot."""
        boundaries: Floats = np.arange(len(values) + 1.0) * step_s
        cumulative = np.zeros(len(values) + 1)
        np.cumsum(np.array(values) * (step_s / 3600), out=cumulative[1:])
        return cls(step_s, float(boundaries[-1]), boundaries, cumulative, values)

    def integral(self, starts_s: Floats, duration_s: float) -> Floats:
        """The integral over a window from each start; a start or an end outside counts as on the edge."""
        ends = np.interp(starts_s + duration_s, self.boundaries_s, self.cumulative)
        return np.asarray(ends - np.interp(starts_s, self.boundaries_s, self.cumulative))

    def integral_from(self, start_s: float, duration_s: float) -> float:
        """The same for one start."""
        return self._upto(start_s + duration_s) - self._upto(start_s)

    def windows(self, duration_s: float, low_s: float, high_s: float) -> tuple[Floats, Floats]:
        """The starts at which the integral over a window of fixed length may bend, and the integral from each.

        That is where an end of the window meets a boundary, so twice a step; in order, both limits included.
        """
        found = self.bends.get(duration_s)
        if found is None:
            if len(self.bends) >= _MOST_KEPT:
                self.bends.clear()
            found = self.bends[duration_s] = self._bends(duration_s)
        starts, integrals = found
        first = int(starts.searchsorted(low_s, side="right"))
        last = max(first, int(starts.searchsorted(high_s, side="left")))
        ends = [low_s, high_s] if high_s > low_s else [low_s]
        at_ends = [self.integral_from(end, duration_s) for end in ends]
        return (
            np.concatenate([ends[:1], starts[first:last], ends[1:]]),
            np.concatenate([at_ends[:1], integrals[first:last], at_ends[1:]]),
        )

    def _bends(self, duration_s: float) -> tuple[Floats, Floats]:
        phase = -duration_s % self.step_s
        offsets = np.array([0.0, phase]) if 1e-6 < phase < self.step_s - 1e-6 else np.zeros(1)
        starts = (self.boundaries_s[:, None] + offsets).ravel()
        starts = starts[starts + duration_s <= self.end_s]
        return starts, self.integral(starts, duration_s)

    def _upto(self, moment_s: float) -> float:
        slot = min(max(int(moment_s // self.step_s), 0), len(self.values) - 1)
        within_h = (min(max(moment_s, 0.0), self.end_s) - slot * self.step_s) / 3600
        return float(self.cumulative[slot]) + self.values[slot] * within_h


def curve_of(series: IntensitySeries) -> Curve:
    """The series as arrays.

    Many jobs are decided on one outlook. So the arrays are kept in the instance's own dictionary, as a
    `cached_property` would keep them, and made anew for a copy with other values.
    """
    kept: dict[str, Any] = series.__dict__
    curve: Curve | None = kept.get(_KEPT_AS)
    step_s = series.step.total_seconds()
    if curve is None or curve.values is not series.values_gco2_per_kwh or curve.step_s != step_s:
        curve = kept[_KEPT_AS] = Curve.of(series.values_gco2_per_kwh, step_s)
    return curve
