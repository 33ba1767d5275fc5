from __future__ import annotations

import re
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import PrivateAttr

from carbon_policy.domain.errors import SourceUnavailableError
from carbon_policy.domain.finding import FindingKind
from carbon_policy.domain.signal import FactorKind, IntensitySeries, SignalKind
from carbon_policy.grid import chain
from carbon_policy.grid.chain import Outlook, actuals, outlook, pinned
from carbon_policy.grid.energinet import EnerginetGrid
from carbon_policy.grid.energy_charts import EnergyChartsGrid
from carbon_policy.grid.keyless import keyless_sources
from carbon_policy.grid.neso import NesoGrid
from carbon_policy.grid.recent import with_recent_history
from carbon_policy.grid.simulated import SimulatedGrid
from carbon_policy.grid.source import Capabilities, GridSource

NOW = datetime(2026, 11, 22, 6, 17, tzinfo=UTC)
SLOT = NOW.replace(minute=0)
HOUR = timedelta(hours=1)


def series(**fields: Any) -> IntensitySeries:
    """A day of hours that differ, by a source named `fake`, issued now."""
    known: dict[str, Any] = {
        "zone": "DE",
        "start": SLOT,
        "step": HOUR,
        "values_gco2_per_kwh": tuple(200.0 + hour for hour in range(24)),
        "source": "fake",
        "issued_at": NOW,
    }
    return IntensitySeries(**known | fields)


class FakeGrid(GridSource):
    """Answers with what it is given, or raises it."""

    _block_type_slug = "test-fake-grid"
    _known: Any = PrivateAttr()
    _forecast: Any = PrivateAttr()
    _history: Any = PrivateAttr()

    def capabilities(self) -> Capabilities:
        if isinstance(self._known, Exception):
            raise self._known
        return self._known  # type: ignore[no-any-return]

    def forecast(self, zone: str, now: datetime) -> IntensitySeries:
        return self._give(self._forecast)

    def history(self, zone: str, start: datetime, end: datetime) -> IntensitySeries:
        known = self._history
        return self._give(known.between(start, end) if isinstance(known, IntensitySeries) else known)

    def _give(self, answer: Any) -> IntensitySeries:
        if isinstance(answer, BaseException):
            raise answer
        return answer  # type: ignore[no-any-return]


def fake(forecast: Any = None, history: Any = None, known: Any = None, **labels: Any) -> FakeGrid:
    grid = FakeGrid()
    grid._known = known or Capabilities(**{"name": "fake", "horizon": 24 * HOUR} | labels)
    grid._forecast, grid._history = forecast, history
    return grid


def past(**fields: Any) -> IntensitySeries:
    """Ten days of measured hours up to the current one."""
    known: dict[str, Any] = {
        "start": SLOT - 240 * HOUR,
        "values_gco2_per_kwh": tuple(300.0 + hour for hour in range(240)),
        "issued_at": None,
        "provenance": ("Measured.",),
    }
    return series(**known | fields)


def test_the_first_source_that_holds_is_taken() -> None:
    good = series()
    assert outlook("DE", NOW, pinned([fake(good), fake(RuntimeError("not asked"))])).series is good


def test_each_failure_is_a_note_and_the_next_is_asked() -> None:
    good = series()
    down = fake(SourceUnavailableError("api.example.org answered HTTP 503; try later."), name="first")
    broken = fake(ZeroDivisionError("division by zero"), name="second")
    nameless = fake(series(), known=RuntimeError())
    answer = outlook("DE", NOW, pinned([down, broken, nameless, fake(good)]))
    assert answer.series is good
    assert answer.notes == (
        "first: api.example.org answered HTTP 503; try later.",
        "second: division by zero",
        "FakeGrid: RuntimeError",
    )


def test_at_the_end_of_the_chain_there_is_nothing_and_no_error() -> None:
    answer = outlook("DE", NOW, pinned([fake(OSError("no route"))]))
    assert answer.series is None
    assert answer.notes == ("fake: no route", "No source is left to ask.")
    assert outlook("DE", NOW, pinned([])).series is None
    assert outlook("DE", NOW.replace(tzinfo=None), pinned([fake(series())])).series is None


def test_a_source_of_the_other_signal_is_not_even_asked() -> None:
    marginal = fake(RuntimeError("asked"), name="moer", signal=SignalKind.MARGINAL)
    answer = outlook("DE", NOW, pinned([fake(OSError("down")), marginal, fake(series())]))
    assert answer.series is not None
    assert answer.findings[1].kind is FindingKind.SIGNAL_MIXED
    assert "asked" not in answer.notes[1]


def test_a_source_that_never_answers_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that sends a byte now and then keeps every time limit of a socket."""
    never = threading.Event()

    class Dripping(FakeGrid):
        _block_type_slug = "test-dripping-grid"

        def forecast(self, zone: str, now: datetime) -> IntensitySeries:
            never.wait()
            raise AssertionError("the test is over")

    monkeypatch.setattr(chain, "FORECAST_WITHIN_S", 0.05)
    dripping = Dripping()
    dripping._known = Capabilities(name="dripping", horizon=24 * HOUR)
    good = series()
    answer = outlook("DE", NOW, pinned([dripping, fake(good)]))
    never.set()
    assert answer.series is good
    assert answer.notes == ("dripping: dripping gave no answer within 0.05 s; it was not waited for.",)


def test_of_actuals_that_each_know_in_part_the_fullest_is_taken() -> None:
    part = past(values_gco2_per_kwh=past().values_gco2_per_kwh[:-20])
    more = past(values_gco2_per_kwh=past().values_gco2_per_kwh[:-10])
    sources = [fake(history=part, name="a"), fake(history=more, name="b"), fake(history=part, name="c")]
    answer = actuals("DE", SLOT - 48 * HOUR, SLOT, pinned(sources))
    assert answer.series is not None
    assert answer.series.end == SLOT - 10 * HOUR
    full = actuals("DE", SLOT - 48 * HOUR, SLOT, pinned([*sources, fake(history=past(), name="d")]))
    assert full.series is not None
    assert full.series.end == SLOT


def test_who_stops_the_process_is_heard() -> None:
    with pytest.raises(KeyboardInterrupt):
        outlook("DE", NOW, pinned([fake(KeyboardInterrupt())]))


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (series(start=SLOT + HOUR), "and not of now"),
        (series(start=SLOT - 24 * HOUR), "and not of now"),
        (series(issued_at=None), "does not say when it was issued"),
        (series(issued_at=NOW - 7 * HOUR), "stale, 7h old"),
        (series(zone="FR"), "it answered for FR"),
        (series(signal=SignalKind.MARGINAL), "signal is marginal"),
        (series(values_gco2_per_kwh=(0.0, 0.0)), "0 g/kWh of 2 of 2 slots"),
        (series(values_gco2_per_kwh=(100.0,) + (123.0,) * 7 + (90.0,)), "one value for 7h.*frozen"),
        (series(step="30m", values_gco2_per_kwh=(100.0,) + (123.0,) * 13), "one value for 6h 30m.*frozen"),
        ("not a series", "attribute"),
        (None, "attribute"),
    ],
)
def test_what_does_not_hold_is_passed_over(bad: Any, says: str) -> None:
    answer = outlook("DE", NOW, pinned([fake(bad)]))
    assert answer.series is None
    assert re.search(says, answer.notes[0]), answer.notes[0]


@pytest.mark.parametrize(
    ("good", "labels"),
    [
        (series(values_gco2_per_kwh=(123.0,) * 6 + (90.0,)), {}),
        (series(values_gco2_per_kwh=(123.0,) * 24), {"flat": True}),
        (series(step="24h", values_gco2_per_kwh=(123.0,) * 3), {}),
        (series(issued_at=NOW - 6 * HOUR), {}),
        (series(values_gco2_per_kwh=(0.0, 1.0)), {"zeros": True}),
    ],
)
def test_what_only_looks_odd_is_taken(good: IntensitySeries, labels: dict[str, Any]) -> None:
    assert outlook("DE", NOW, pinned([fake(good, **labels)])).series is good


def test_a_replay_freezes_in_its_own_time() -> None:
    frozen = series(start=NOW, step="3s", values_gco2_per_kwh=(100.0,) + (123.0,) * 7)
    assert outlook("DE", NOW, pinned([fake(frozen, speed=1200)])).series is None
    assert outlook("DE", NOW, pinned([fake(frozen)])).series is frozen


def test_simulated_values_never_stand_in_for_live_ones() -> None:
    live = fake(OSError("no route"), live=True, name="live")
    answer = outlook("DE", NOW, pinned([live, SimulatedGrid()]))
    assert answer.series is None
    assert "simulated values do not stand in for live ones" in answer.notes[1]
    simulated = outlook("DE", NOW, pinned([fake(OSError(), name="trace"), SimulatedGrid()])).series
    assert simulated is not None
    assert simulated.simulated


@pytest.mark.parametrize(
    ("zone", "kinds"),
    [("GB", [NesoGrid]), ("DE", [EnergyChartsGrid]), ("DK-DK1", [EnerginetGrid]), ("US-CAL-CISO", [])],
)
def test_a_zone_s_own_sources_are_live_and_take_no_account(zone: str, kinds: list[type[GridSource]]) -> None:
    assert [type(source) for source in keyless_sources(zone)] == kinds


def test_actuals_are_measured() -> None:
    answer = actuals("DE", SLOT - 3 * HOUR, SLOT, pinned([fake(history=series()), fake(history=past())]))
    assert answer.series is not None
    assert answer.series.values_gco2_per_kwh == (537, 538, 539)
    assert len(answer.notes) == 1


def test_a_forecast_is_no_actual() -> None:
    answer = actuals("DE", SLOT, SLOT + HOUR, pinned([fake(history=series())]))
    assert answer.series is None
    assert "it is a forecast and no measurement" in answer.notes[0]


def test_actuals_that_are_known_in_part_say_so() -> None:
    near = actuals("DE", SLOT - HOUR, SLOT + HOUR, pinned([fake(history=past())]))
    assert near.notes == ()
    answer = actuals("DE", SLOT - HOUR, SLOT + 4 * HOUR, pinned([fake(history=past())]))
    assert answer.series is not None
    assert answer.series.end == SLOT
    assert answer.notes == ("fake: known from 2026-11-22T05:00:00+00:00 to 2026-11-22T06:00:00+00:00 only.",)


def test_a_week_of_history_goes_before() -> None:
    longer = with_recent_history(Outlook(series(), source=fake(history=past())), NOW)
    assert longer.start == SLOT - 168 * HOUR
    assert longer.end == series().end
    assert longer.values_gco2_per_kwh[:168] == past().values_gco2_per_kwh[-168:]
    assert longer.between(SLOT, longer.end).values_gco2_per_kwh == series().values_gco2_per_kwh
    assert longer.issued_at == NOW
    assert longer.provenance[-1].startswith(
        "Measured from 2026-11-15T06:00:00+00:00 to 2026-11-22T06:00:00+00:00;"
    )


def test_the_slots_that_are_not_measured_yet_are_held() -> None:
    late = past(values_gco2_per_kwh=past().values_gco2_per_kwh[:-2])
    longer = with_recent_history(Outlook(series(), source=fake(history=late)), NOW)
    assert longer.start == SLOT - 168 * HOUR
    assert longer.at(SLOT - HOUR) == longer.at(SLOT - 2 * HOUR) == longer.at(SLOT - 3 * HOUR) == 537
    assert longer.at(SLOT) == 200
    assert "the last value held to 2026-11-22T06:00:00+00:00" in longer.provenance[-1]


@pytest.mark.parametrize(
    ("history", "says"),
    [
        (past(values_gco2_per_kwh=past().values_gco2_per_kwh[:-4]), "it ends at 2026-11-22T02:00"),
        (past(step="30m", start=SLOT - 120 * HOUR), "its step or its labels"),
        (past(factors=FactorKind.DIRECT), "its step or its labels"),
        (past(simulated=True), "its step or its labels"),
        (past(start=SLOT - 240 * HOUR - timedelta(minutes=7)), "it ends at"),
        (past(zone="FR"), "No recent history: fake: it answered for FR"),
        (OSError("no route"), "No recent history: fake: no route"),
    ],
)
def test_history_that_does_not_fit_is_left_off(history: Any, says: str) -> None:
    outcome = with_recent_history(Outlook(series(), source=fake(history=history)), NOW)
    assert outcome.values_gco2_per_kwh == series().values_gco2_per_kwh
    assert says in outcome.provenance[-1]


def test_a_replay_s_week_is_a_week_of_its_own_time() -> None:
    grid = SimulatedGrid(began_at=NOW, trace_start=SLOT, speed=1200)
    known = outlook("DE", NOW, pinned([grid])).series
    assert known is not None
    longer = with_recent_history(Outlook(known, source=grid), NOW)
    assert known.start - longer.start == 7 * 24 * HOUR / 1200
