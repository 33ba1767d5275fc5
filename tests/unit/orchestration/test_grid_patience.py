"""A decision waits for the grid no longer than it says, whatever hangs, and the rest of what is known stands."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import PrivateAttr

from carbon_policy.domain.chain import ChainStep
from carbon_policy.domain.decision import Evidence
from carbon_policy.domain.precedence import RUN, resolve
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.domain.site import Site, Tier
from carbon_policy.grid.simulated import SimulatedGrid
from carbon_policy.grid.source import Capabilities, GridSource
from carbon_policy.orchestration import evidence
from carbon_policy.orchestration.blocks import CarbonPolicy
from carbon_policy.orchestration.directory import Directory
from carbon_policy.policies import decide

NOW = datetime(2026, 11, 22, 6, 17, tzinfo=UTC)


class HangsInFrance(GridSource):
    """Answers for every zone but France, where it never does."""

    _block_type_slug = "test-hanging-grid"
    _released: threading.Event = PrivateAttr(default_factory=threading.Event)

    def capabilities(self) -> Capabilities:
        return SimulatedGrid().capabilities()

    def history(self, zone: str, start: datetime, end: datetime) -> IntensitySeries:
        raise AssertionError("nobody asks for it")

    def forecast(self, zone: str, now: datetime) -> IntensitySeries:
        if zone == "FR":
            self._released.wait()
        return SimulatedGrid().forecast(zone, now)


@pytest.fixture
def hanging() -> Iterator[HangsInFrance]:
    grid = HangsInFrance()
    yield grid
    grid._released.set()


def gathered(source: Any, **said: str) -> Evidence:
    sites = tuple(
        Site(name=zone, work_pool=zone, tier=Tier.FAST, zone=zone, power_w=60) for zone in ("DE", "FR")
    )
    directory = Directory("default", CarbonPolicy(), sites, {}, (source,))
    resolved = resolve({RUN: {"urgency": "flexible", "finish_within": "12h", **said}})
    return evidence.gather(directory, resolved, job="a", now=NOW, submitted_at=NOW)


def test_what_is_known_in_time_is_decided_with(
    hanging: HangsInFrance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "PATIENCE_S", 0.5)
    found = gathered(hanging)
    assert found.steps == {"DE": ChainStep.PINNED}
    assert found.findings[-1].sentence == "the grid gave no answer within 0.5 s; it was not waited for."
    assert decide(found).evidence is found


def test_history_that_does_not_come_costs_no_more_than_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    never = threading.Event()

    class HistoryHangs(SimulatedGrid):
        _block_type_slug = "test-history-hangs-grid"

        def history(self, zone: str, start: datetime, end: datetime) -> IntensitySeries:
            never.wait()
            raise AssertionError("the test is over")

    monkeypatch.setattr(evidence, "FORECAST_WITHIN_S", 0.05)
    found = gathered(HistoryHangs(), policy="threshold")
    never.set()
    assert list(found.outlook) == ["DE", "FR"]
    assert "No recent history: recent history gave no answer" in found.outlook["FR"].provenance[-1]


def test_whatever_breaks_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object) -> None:
        raise RuntimeError("no such setting")

    monkeypatch.setattr(evidence, "grid_view", broken)
    found = gathered(SimulatedGrid())
    assert str(found.findings[0]) == "grid: no such setting [failed, refused]"
    assert decide(found).reason == "no-signal"
