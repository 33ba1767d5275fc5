"""The fallback chain, step by step: each is asked only when those before have not answered."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from carbon_policy.domain.chain import ChainStep
from carbon_policy.domain.finding import FindingKind, Treatment
from carbon_policy.domain.signal import FactorKind, SignalKind
from carbon_policy.forecasting.forecaster import SOURCE
from carbon_policy.grid import keyless
from carbon_policy.grid.chain import actuals, outlook
from carbon_policy.grid.simulated import SimulatedGrid
from carbon_policy.outlook import stored
from carbon_policy.outlook.chains import forecast_chain, history_chain, live_chain
from carbon_policy.outlook.expected import expected
from carbon_policy.outlook.stored import LAST_GOOD
from carbon_policy.store.history import History
from tests.unit.outlook.conftest import HOUR, NOW, SLOT, LiveGrid, hours

DAY = 24 * HOUR


@pytest.fixture
def own_sources(monkeypatch: pytest.MonkeyPatch) -> list[LiveGrid]:
    """What stands in for the zone's own sources, as no network may be asked."""
    sources: list[LiveGrid] = []
    monkeypatch.setattr("carbon_policy.outlook.chains.keyless_sources", lambda zone: sources)
    return sources


def down(name: str) -> LiveGrid:
    grid = LiveGrid(name=name)
    grid.down = True
    return grid


def test_the_steps_are_taken_in_their_order(own_sources: list[Any], history: History) -> None:
    pinned, own, keyed = LiveGrid(name="pinned"), LiveGrid(name="own"), LiveGrid(name="keyed")
    pinned.__class__ = type("Pinned", (LiveGrid,), {})
    keyed.__class__ = type("Keyed", (LiveGrid,), {})
    own_sources.append(own)
    history.record(hours(SLOT - 70 * DAY, 70 * 24), fetched_at=NOW)
    history.record_forecast(hours(SLOT - 3 * HOUR, 48, issued_at=SLOT - 3 * HOUR), fetched_at=NOW)

    def asked() -> tuple[ChainStep | None, str | None]:
        chain = forecast_chain("DE", [pinned], lambda: [keyed], history)  # type: ignore[list-item]
        answer = outlook("DE", NOW, chain)
        return answer.step, answer.series.source if answer.series else None

    assert asked() == (ChainStep.PINNED, "pinned")
    assert own.asked == keyed.asked == []
    pinned.down = True
    assert asked() == (ChainStep.KEYLESS, "own")
    own.down = True
    assert asked() == (ChainStep.KEYED, "keyed")
    keyed.down = True
    assert asked() == (ChainStep.LAST_GOOD, "live")
    history.forget(NOW - HOUR)
    history.record(hours(SLOT - 70 * DAY, 70 * 24), fetched_at=NOW)
    assert asked() == (ChainStep.OWN_FORECAST, SOURCE)
    history.forget(NOW + DAY)
    assert asked() == (ChainStep.YEARLY_MEAN, "yearly-mean")


def test_why_each_step_was_left_is_told(own_sources: list[Any], history: History) -> None:
    own_sources.append(down("own"))
    answer = outlook("DE", NOW, forecast_chain("DE", [], lambda: [down("keyed")], history))  # type: ignore[list-item]
    assert answer.step is ChainStep.YEARLY_MEAN
    assert [finding.source for finding in answer.findings] == ["own", "keyed", "last good forecast", SOURCE]
    assert {finding.treatment for finding in answer.findings} == {Treatment.REFUSED}
    assert "carbon-policy backfill DE" in answer.findings[-1].sentence


def test_a_source_whose_capabilities_break_is_a_finding(own_sources: list[Any]) -> None:
    class Broken(LiveGrid):
        def capabilities(self) -> Any:
            raise RuntimeError("half installed")

    answer = outlook("DE", NOW, forecast_chain("DE", [Broken()]))  # type: ignore[list-item]
    assert answer.step is ChainStep.YEARLY_MEAN
    assert answer.findings[0].sentence == "half installed"
    assert actuals("DE", SLOT - HOUR, SLOT, live_chain("DE", [Broken()])).series is None  # type: ignore[list-item]


def test_what_a_gate_has_just_asked_the_next_does_not_ask_again(
    own_sources: list[Any], history: History
) -> None:
    source = LiveGrid(name="own")
    own_sources.append(source)

    def ask(now: datetime) -> ChainStep | None:
        return expected("DE", now, forecast_chain("DE", history=history), history).outlook.step

    assert [ask(NOW), ask(NOW + HOUR / 4), ask(NOW + HOUR / 2)] == [ChainStep.KEYLESS] * 3
    assert source.asked == ["forecast"]
    ask(NOW + HOUR)
    assert source.asked == ["forecast"] * 2


def test_what_is_remembered_is_of_the_factors_that_are_asked_for(
    own_sources: list[Any], history: History
) -> None:
    source = LiveGrid(name="own")
    own_sources.append(source)
    direct = hours(SLOT, 48, source="own", factors=FactorKind.DIRECT, issued_at=SLOT)
    history.record_forecast(direct, fetched_at=NOW)
    answer = outlook("DE", NOW, forecast_chain("DE", history=history))
    assert answer.series is not None
    assert answer.series.factors is FactorKind.LIFE_CYCLE
    assert source.asked == ["forecast"]


def test_our_own_forecast_is_made_once_while_nothing_new_is_measured(
    own_sources: list[Any], history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    fit = stored.Forecaster
    monkeypatch.setattr(stored, "Forecaster", lambda past: made.append(past) or fit(past))
    history.record(hours(SLOT - 20 * DAY, 19 * 24), fetched_at=NOW)
    chain = forecast_chain("DE", history=history)
    for minutes in (0, 10, 300):
        step = outlook("DE", NOW + timedelta(minutes=minutes), chain).step
        assert step is ChainStep.OWN_FORECAST
    assert len(made) == 1
    history.record(hours(SLOT - DAY, 24), fetched_at=NOW)
    assert outlook("DE", NOW + timedelta(hours=6), chain).step is ChainStep.OWN_FORECAST
    assert len(made) == 2


def test_a_last_forecast_that_ends_in_a_moment_is_passed_over(
    own_sources: list[Any], history: History
) -> None:
    history.record_forecast(hours(SLOT - 9 * HOUR, 10, issued_at=SLOT - 9 * HOUR), fetched_at=NOW)
    answer = outlook("DE", NOW, forecast_chain("DE", history=history))
    assert answer.step is ChainStep.YEARLY_MEAN
    assert answer.findings[0].sentence == "the last forecast of live ends in 43m."


def test_accounts_ask_nobody_for_what_is_stored_as_measured(own_sources: list[Any], history: History) -> None:
    source = LiveGrid(name="own")
    own_sources.append(source)
    history.record(hours(SLOT - DAY, 24), fetched_at=NOW)
    answer = actuals("DE", SLOT - 5 * HOUR, SLOT, history_chain("DE", history=history))
    assert (answer.findings, source.asked) == ((), [])


def test_a_yearly_mean_is_flat_and_looks_forward() -> None:
    answer = outlook("QQ", NOW, forecast_chain("QQ"))
    assert (answer.series, answer.step) == (None, None)
    known = outlook("US-CAL-CISO", NOW, forecast_chain("US-CAL-CISO")).series
    assert known is not None
    assert len(set(known.values_gco2_per_kwh)) == 1
    assert known.end - NOW > 6 * DAY


def test_keyed_sources_that_cannot_be_read_are_a_finding(own_sources: list[Any]) -> None:
    def broken() -> list[Any]:
        raise OSError("no server")

    answer = outlook("DE", NOW, forecast_chain("DE", [], broken))
    assert answer.step is ChainStep.YEARLY_MEAN
    assert str(answer.findings[0]) == "keyed: no server [failed, refused]"


def test_who_pins_a_simulation_gets_that_or_nothing(own_sources: list[Any], history: History) -> None:
    own_sources.append(LiveGrid())
    chain = forecast_chain("DE", [SimulatedGrid()], lambda: [LiveGrid()], history)  # type: ignore[list-item]
    assert [link.step for link in chain.links] == [ChainStep.PINNED]
    assert [link.step for link in history_chain("DE", [SimulatedGrid()]).links] == [ChainStep.PINNED]


def test_marginal_falls_only_to_marginal(own_sources: list[Any], history: History) -> None:
    own_sources.append(LiveGrid(name="average"))
    marginal = down("marginal")
    marginal.signal = SignalKind.MARGINAL
    marginal.__class__ = type("Marginal", (LiveGrid,), {})
    history.record_forecast(hours(SLOT, 48, issued_at=SLOT), fetched_at=NOW)
    chain = forecast_chain("DE", [marginal], None, history)  # type: ignore[list-item]
    assert outlook("DE", NOW, chain).series is None
    stored = hours(SLOT, 48, issued_at=SLOT, signal=SignalKind.MARGINAL, source="wt")
    history.record_forecast(stored, fetched_at=NOW)
    answer = outlook("DE", NOW, chain)
    assert answer.step is ChainStep.LAST_GOOD
    assert answer.series is not None
    assert answer.series.signal is SignalKind.MARGINAL
    assert FindingKind.SIGNAL_MIXED in {finding.kind for finding in answer.findings}


def test_a_last_forecast_is_good_for_a_day(own_sources: list[Any], history: History) -> None:
    issued = NOW - LAST_GOOD - timedelta(minutes=1)
    history.record_forecast(hours(SLOT - 30 * HOUR, 72, issued_at=issued), fetched_at=NOW)
    assert outlook("DE", NOW, forecast_chain("DE", history=history)).step is ChainStep.YEARLY_MEAN


def test_accounts_fall_back_to_what_is_stored(own_sources: list[Any], history: History) -> None:
    own_sources.append(down("own"))
    history.record(hours(SLOT - DAY, 24), fetched_at=NOW)
    answer = actuals("DE", SLOT - 5 * HOUR, SLOT, history_chain("DE", history=history))
    assert answer.series is not None
    assert answer.series.covers(SLOT - 5 * HOUR, SLOT)
    assert answer.findings == ()
    part = actuals("DE", SLOT - 30 * HOUR, SLOT, history_chain("DE", history=history))
    assert part.series is not None
    assert part.series.start == SLOT - DAY
    assert {"own", "stored history"} <= {finding.source for finding in part.findings}


def test_the_store_is_filled_from_live_sources_alone(own_sources: list[Any]) -> None:
    own_sources.append(LiveGrid(name="own"))
    chain = live_chain("DE", [SimulatedGrid()])
    assert actuals("DE", SLOT - HOUR, SLOT, chain).step is ChainStep.KEYLESS


def test_a_pinned_kind_is_not_asked_twice() -> None:
    zone_own = keyless.keyless_sources("GB")
    chain = live_chain("GB", zone_own)
    assert [len(link.sources()) for link in chain.links] == [1, 0]
