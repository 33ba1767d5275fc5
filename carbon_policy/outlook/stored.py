"""Steps of the chain that ask the store: the last good forecast, our own one, and measured history."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, ClassVar

from carbon_policy.domain.errors import CarbonPolicyError, SourceUnavailableError
from carbon_policy.domain.signal import IntensitySeries, SignalKind
from carbon_policy.domain.times import format_duration
from carbon_policy.forecasting.forecaster import SOURCE, Forecaster
from carbon_policy.grid.source import Capabilities, GridSource, IntensitySource

if TYPE_CHECKING:
    from carbon_policy.store.history import History  # SQLAlchemy takes a while to import.

LAST_GOOD = timedelta(hours=24)
"""For so long a provider's last forecast is better than our own: weather forecasts age slowly."""

OWN_FRESH = timedelta(hours=3)
"""For so long a stored forecast of our own is taken; after that a new one is made."""

OWN_OLDEST = timedelta(days=3)
"""Our own forecast from a history that ends longer ago than this is stale."""

SHORTEST_LEFT = timedelta(hours=3)
"""With less than this left of it, the last good forecast says too little to plan by."""

BRIDGED = timedelta(hours=6)
"""Holes of a history up to this long are bridged where a forecaster learns from it, and nowhere else."""

TRAINED_ON = timedelta(days=3 * 365)
"""How much history a forecaster is fitted to at most."""


_REMEMBERED_AT_MOST = timedelta(hours=1)


class _FromStore:
    """What the steps have in common: each knows either the past or the future.

    Args:
        history: The store.
        signal: Average or marginal.
    """

    name: ClassVar[str]
    horizon: ClassVar[timedelta] = timedelta(days=7)

    def __init__(self, history: History, signal: SignalKind) -> None:
        self._history = history
        self._signal = signal

    def capabilities(self) -> Capabilities:
        """What this source can be asked."""
        return Capabilities(name=self.name, horizon=self.horizon, signal=self._signal)

    def history(self, _zone: str, _start: datetime, _end: datetime) -> IntensitySeries:
        """There is none, where a step knows the future."""
        raise SourceUnavailableError("a forecast is no measurement.")

    def forecast(self, _zone: str, _now: datetime) -> IntensitySeries:
        """There is none, where a step knows the past."""
        raise SourceUnavailableError("history is no forecast.")


class LastGood(_FromStore):
    """The last forecast of a live source, as the store kept it."""

    name = "last good forecast"

    def forecast(self, zone: str, now: datetime) -> IntensitySeries:
        """The newest that covers `now`, UTC; it keeps its source and its issue time."""
        stored = self._history.latest_forecast(
            zone, now, not_sources=[SOURCE], signal=self._signal, not_older_than=LAST_GOOD
        )
        if stored is None:
            raise SourceUnavailableError(
                f"no forecast of the last {format_duration(LAST_GOOD)} is stored that covers now;"
                " carbon-policy refresh stores them."
            )
        if stored.series.end - now < SHORTEST_LEFT:
            raise SourceUnavailableError(
                f"the last forecast of {stored.series.source} ends in {format_duration(stored.series.end - now)}."
            )
        return stored.series.between(now, stored.series.end)


class OwnForecast(_FromStore):
    """Our own forecast: the stored one while it is fresh, else made from stored history on the spot."""

    name = SOURCE

    def forecast(self, zone: str, now: datetime) -> IntensitySeries:
        """From the hour that contains `now`, UTC, for up to a week."""
        stored = self._history.latest_forecast(
            zone, now, sources=[SOURCE], signal=self._signal, not_older_than=OWN_OLDEST
        )
        if stored is not None and self._is_the_newest(zone, now, stored.series):
            return stored.series.between(now, stored.series.end)
        series = self._make(zone, now)
        return series.between(now, series.end)

    def _is_the_newest(self, zone: str, now: datetime, series: IntensitySeries) -> bool:
        """Whether a fit would not know much more: it is fresh, or nothing was measured since."""
        measured = self._history.newest(zone, signal=self._signal)
        return now - series.start <= OWN_FRESH or measured is None or measured < series.start

    def _make(self, zone: str, now: datetime) -> IntensitySeries:
        """Fit to the zone's stored history, forecast from its end on, and keep it: a fit takes seconds."""
        past = self._history.measured(zone, now - TRAINED_ON, now, signal=self._signal, bridge=BRIDGED)
        if past is None:
            raise SourceUnavailableError(
                f"no history of {zone} is stored; carbon-policy backfill {zone} fetches it."
            )
        made = Forecaster(past).forecast(past)
        self._history.record_forecast(made.expected, made.quantiles, fetched_at=now)
        return made.expected


class StoredHistory(_FromStore):
    """Measured history as the store kept it, for accounting.

    Args:
        history: The store.
        signal: Average or marginal.
        settled: Answer only where all is known and nothing an estimate: then no source need be asked again.
    """

    name = "stored history"
    horizon = timedelta(0)

    def __init__(self, history: History, signal: SignalKind, *, settled: bool = False) -> None:
        super().__init__(history, signal)
        self._settled = settled

    def history(self, zone: str, start: datetime, end: datetime) -> IntensitySeries:
        """The stored slots that overlap `start` to `end`, UTC; they keep their source."""
        series = self._history.measured(zone, start, end, signal=self._signal)
        if series is None:
            raise SourceUnavailableError(f"nothing of {zone} is stored for that time.")
        if self._settled and (any(series.estimated) or not series.covers(start, end)):
            raise SourceUnavailableError(f"not all of {zone} is stored for that time, or not as measured.")
        return series


class Remembered:
    """A live source whose last answer is taken again while it is younger than a slot.

    Each gate is a process of its own, so what one has asked the next would ask again.

    Args:
        source: The source.
        history: The store.

    Attributes:
        from_store: Whether the last forecast was remembered, and not asked for.
    """

    def __init__(self, source: IntensitySource, history: History) -> None:
        self._source = source
        self._history = history
        self.from_store = False

    def capabilities(self) -> Capabilities:
        """What the source can be asked."""
        return self._source.capabilities()

    def history(self, zone: str, start: datetime, end: datetime) -> IntensitySeries:
        """What the source knows."""
        return self._source.history(zone, start, end)

    def forecast(self, zone: str, now: datetime) -> IntensitySeries:
        """The remembered forecast from the slot of `now`, UTC, on; else what the source says."""
        remembered = self._remembered(zone, now)
        self.from_store = remembered is not None
        return remembered if remembered is not None else self._source.forecast(zone, now)

    def _remembered(self, zone: str, now: datetime) -> IntensitySeries | None:
        known = self._source.capabilities()
        try:
            source = self._source
            name = source.source_name(zone) if isinstance(source, GridSource) else known.name
            stored = self._history.latest_forecast(
                zone, now, sources=[name], signal=known.signal, not_older_than=_REMEMBERED_AT_MOST
            )
        except CarbonPolicyError:
            return None
        if stored is None or stored.fetched_at is None:
            return None
        series = stored.series
        # Another block of the same kind may ask for other factors.
        if known.factors not in (None, series.factors) or known.basis not in (None, series.basis):
            return None
        fresh = timedelta(0) <= now - stored.fetched_at < min(series.step, _REMEMBERED_AT_MOST)
        return series.between(now, series.end) if fresh else None
