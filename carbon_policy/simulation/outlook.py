"""What a scheduler may see at a moment: the hours that were, the hour that is, and the newest forecast of the rest."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np

from carbon_policy.domain.errors import InvalidInputError
from carbon_policy.forecasting.features import DAY, HORIZON_H, Features
from carbon_policy.forecasting.forecaster import fit
from carbon_policy.forecasting.hourly import Floats, HourlyHistory, Ints


class Outlook(Protocol):
    """Forecasts in the order in which they were issued."""

    @property
    def name(self) -> str:
        """Whose they are."""

    def at(self, slot: int, slots: int) -> Floats:
        """What is known in a slot of that slot and those after it, g/kWh, shape `(slots,)`."""


@dataclass(frozen=True)
class Perfect:
    """Perfect knowledge, which no scheduler has: the trace itself.

    Attributes:
        actual: g/kWh, one a slot, shape `(slots,)`.
    """

    actual: Floats
    name: str = "perfect knowledge"

    def at(self, slot: int, slots: int) -> Floats:
        """The truth."""
        return self.actual[slot : slot + slots]


class Issued:
    """Hourly forecasts, each used from the hour of its issue until the next; the current hour is known.

    Beyond its horizon a forecast's last day is repeated.

    Args:
        name: Whose they are.
        issued: Hour of each issue, counted from the trace's first; ascending. Shape `(issues,)`.
        values: g/kWh, from the hour of issue on, shape `(issues, leads)`; a day or more.
        actual: The trace, g/kWh, one an hour; only the current hour is read.
        slots_per_hour: Of the simulation.

    Raises:
        InvalidInputError: The shapes do not fit.
    """

    def __init__(self, name: str, issued: Ints, values: Floats, actual: Floats, slots_per_hour: int) -> None:
        if len(issued) != len(values) or values.shape[1] < DAY or (np.diff(issued) <= 0).any():
            raise InvalidInputError("Forecasts need one row an issue, a day or more, in the order of issue.")
        self.name = name
        self.issued, self.values, self._actual = issued, values, actual
        self._slots_per_hour = slots_per_hour
        self._hours_seen = lru_cache(maxsize=4)(self._seen)

    def at(self, slot: int, slots: int) -> Floats:
        """The current hour as it is, and the rest as the newest forecast says.

        Raises:
            InvalidInputError: Nothing was issued yet.
        """
        hour, inside = divmod(slot, self._slots_per_hour)
        hours = -(-(inside + slots) // self._slots_per_hour)
        # Looked up in steps, so that jobs with nearby deadlines share what was looked up.
        seen = self._hours_seen(hour, -(-hours // HORIZON_H) * HORIZON_H)
        return seen[inside : inside + slots]

    def _seen(self, hour: int, hours: int) -> Floats:
        newest = int(np.searchsorted(self.issued, hour, side="right")) - 1
        if newest < 0:
            raise InvalidInputError(f"{self.name}: no forecast was issued by hour {hour} of the trace.")
        lead = hour - int(self.issued[newest]) + np.arange(hours)
        leads = self.values.shape[1]
        seen = self.values[newest, np.where(lead < leads, lead, leads - DAY + (lead - leads) % DAY)].copy()
        seen[0] = self._actual[hour]
        return np.repeat(seen, self._slots_per_hour)


def persistence(actual: Floats, first: int, last: int, slots_per_hour: int) -> Issued:
    """The last 24 hours again, issued every hour from `first` (a day or more into the trace) to before `last`."""
    issued = np.arange(first, last)
    rows = actual[issued[:, None] - DAY + np.arange(DAY)]
    return Issued("yesterday again", issued, rows, actual, slots_per_hour)


def own_forecasts(history: HourlyHistory, first: int, last: int, refit_every_h: int = 4 * 7 * DAY) -> Floats:
    """What `Forecaster` would have said at every hour, each from its own past.

    Args:
        history: The trace, training included.
        first: Hour of the first issue; a day or more of history lies before.
        last: Hour after the last issue; no truth after it is looked at.
        refit_every_h: A new model is fitted so often, as in production.

    Returns:
        g/kWh, shape `(last - first, 168)`; a row's first value is of the hour of its issue.
    """
    features = Features(history.first(last))
    said = np.empty((last - first, HORIZON_H))
    for begin in range(first, last, refit_every_h):
        end = min(begin + refit_every_h, last)
        model, _ = fit(Features(history.first(begin)))
        said[begin - first : end - first] = model.predict(features, np.arange(begin, end))
    return said


def knowing_the_hour(
    said: Floats, first: int, actual: Floats, slots_per_hour: int, name: str = "own"
) -> Issued:
    """Our forecasts as a scheduler sees them that knows the current hour: the next hour's issue, which knows it too.

    Args:
        said: Of `own_forecasts`, issued every hour; shape `(issues, leads)`.
        first: Hour of the first issue, counted from the first of `actual`; it may lie before it.
        actual: The trace, one an hour.
        slots_per_hour: Of the simulation.
        name: Whose they are.
    """
    # The first column stands for the current hour, which `Issued` takes from the trace.
    values = np.hstack([said[:, :1], said])
    return Issued(name, np.arange(first - 1, first - 1 + len(said)), values, actual, slots_per_hour)
