"""A zone with a swing between day and night, a live source that speaks of it, and an empty store."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from carbon_policy.domain.chain import ChainStep
from carbon_policy.domain.errors import SourceUnavailableError
from carbon_policy.domain.signal import FactorKind, IntensitySeries, SignalKind
from carbon_policy.grid.chain import Chain, Link
from carbon_policy.grid.source import Capabilities
from carbon_policy.store.history import History

NOW = datetime(2026, 11, 22, 6, 17, tzinfo=UTC)
SLOT = NOW.replace(minute=0)
HOUR = timedelta(hours=1)


def truth(moment: datetime) -> float:
    """g/kWh at a moment: lowest at 15 UTC, a little other each day."""
    hours = (moment - datetime(2026, 1, 1, tzinfo=UTC)) / HOUR
    return 300 - 100 * math.cos((hours - 15) * math.pi / 12) + 20 * math.sin(hours / 37)


def hours(start: datetime, count: int, error: float = 0.0, **fields: Any) -> IntensitySeries:
    """The truth, off by `error`."""
    known: dict[str, Any] = {
        "zone": "DE",
        "start": start,
        "step": HOUR,
        "values_gco2_per_kwh": tuple(truth(start + index * HOUR) + error for index in range(count)),
        "source": "live",
    }
    return IntensitySeries(**known | fields)


class LiveGrid:
    """A live source; `error` is what its forecasts are off by, and `down` makes it raise.

    It measures the hours that are over.
    """

    def __init__(
        self, now: datetime = NOW, name: str = "live", signal: SignalKind = SignalKind.AVERAGE
    ) -> None:
        self.now, self.name, self.signal = now, name, signal
        self.error, self.down, self.horizon_h = 0.0, False, 48
        self.asked: list[str] = []

    def capabilities(self) -> Capabilities:
        return Capabilities(
            name=self.name,
            horizon=self.horizon_h * HOUR,
            live=True,
            signal=self.signal,
            factors=FactorKind.LIFE_CYCLE,
        )

    def history(self, zone: str, start: datetime, end: datetime) -> IntensitySeries:
        self._refuse("history")
        first = start.replace(minute=0)
        last = min(end, self.now.replace(minute=0))
        return hours(
            first, max(1, -(-(last - first) // HOUR)), zone=zone, source=self.name, signal=self.signal
        )

    def forecast(self, zone: str, now: datetime) -> IntensitySeries:
        self._refuse("forecast")
        first = now.replace(minute=0)
        return hours(
            first,
            self.horizon_h,
            self.error,
            zone=zone,
            source=self.name,
            signal=self.signal,
            issued_at=first,
        )

    def _refuse(self, what: str) -> None:
        self.asked.append(what)
        if self.down:
            raise SourceUnavailableError(f"{self.name} is down; try later.")


def chain_of(*sources: LiveGrid) -> Chain:
    """A chain of live sources as a zone's own."""
    return Chain((Link(ChainStep.KEYLESS, lambda: sources),))


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    # In a file: a source is asked in a thread of its own, and a database in memory has one for each thread.
    with History(f"sqlite:///{tmp_path / 'history.db'}") as store:
        yield store


@pytest.fixture
def live() -> LiveGrid:
    return LiveGrid()
