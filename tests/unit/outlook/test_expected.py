"""What a decision expects: the chain's answer on the measured level, mixed with and extended by our own forecast."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from carbon_policy.domain.chain import ChainStep
from carbon_policy.domain.errors import SetupError
from carbon_policy.domain.finding import FindingKind, Treatment
from carbon_policy.domain.signal import FactorKind, IntensitySeries
from carbon_policy.forecasting.blend import BlendWeights
from carbon_policy.forecasting.forecaster import SOURCE
from carbon_policy.grid.simulated import SimulatedGrid
from carbon_policy.outlook.blending import blended
from carbon_policy.outlook.chains import forecast_chain
from carbon_policy.outlook.expected import expected, weights_key
from carbon_policy.outlook.view import grid_view
from carbon_policy.store.history import History
from tests.unit.outlook.conftest import HOUR, NOW, SLOT, LiveGrid, chain_of, hours

HALF = timedelta(minutes=30)


def own(start_before_h: int = 0, error: float = 0.0, **fields: object) -> IntensitySeries:
    start = SLOT - start_before_h * HOUR
    fields = {"made_from": "live"} | fields
    return hours(start, 168, error, source=SOURCE, issued_at=start, **fields)


def half_hours(*values: float) -> IntensitySeries:
    return IntensitySeries(
        zone="DE", start=SLOT, step=HALF, values_gco2_per_kwh=values, source="live", issued_at=SLOT
    )


def test_without_a_store_it_is_the_chain_s_answer(live: LiveGrid) -> None:
    answer = expected("DE", NOW, chain_of(live))
    assert answer.outlook.series == live.forecast("DE", NOW)
    assert (answer.quantiles, [part.source for part in answer.parts]) == ({}, ["live"])


def test_the_answer_is_kept(live: LiveGrid, history: History) -> None:
    expected("DE", NOW, chain_of(live), history)
    kept = history.latest_forecast("DE", NOW, not_older_than=HOUR)
    assert kept is not None
    assert kept.series.values_gco2_per_kwh == live.forecast("DE", NOW).values_gco2_per_kwh


def test_two_forecasts_are_mixed_at_the_finer_steps_and_the_longer_goes_on() -> None:
    ours = IntensitySeries(
        zone="DE",
        start=SLOT - HOUR,
        step=HOUR,
        values_gco2_per_kwh=(90.0, 100.0, 200.0, 300.0),
        source=SOURCE,
        issued_at=SLOT,
    )
    mixed = blended(half_hours(50, 60, 100), ours, {}, BlendWeights(np.array([0.5, 0.25, 0.25])))
    assert mixed.series.values_gco2_per_kwh == (75, 80, 175, 200, 300, 300)
    assert mixed.series.step == HALF
    assert [(part.start, part.end) for part in mixed.parts] == [
        (SLOT, SLOT + 3 * HALF),
        (SLOT + 3 * HALF, SLOT + 3 * HOUR),
    ]
    assert mixed.parts[0].source == "live (42%) and own forecast (58%)"
    assert mixed.parts[1].source == SOURCE


def test_the_band_moves_with_the_mean() -> None:
    ours = own()
    band = {
        0.1: tuple(v - 30 for v in ours.values_gco2_per_kwh),
        0.9: tuple(v + 30 for v in ours.values_gco2_per_kwh),
    }
    mixed = blended(hours(SLOT, 4, 40.0, issued_at=SLOT), ours, band, BlendWeights(np.full(168, 0.5)))
    values = np.array(mixed.series.values_gco2_per_kwh)
    assert np.allclose(np.array(mixed.quantiles[0.1]), values - 30)
    assert np.allclose(np.array(mixed.quantiles[0.9]), values + 30)
    assert values[0] == pytest.approx(ours.values_gco2_per_kwh[0] + 20)


def test_beyond_our_own_forecast_the_provider_is_alone() -> None:
    ours = IntensitySeries(
        zone="DE", start=SLOT, step=HOUR, values_gco2_per_kwh=(100.0,), source=SOURCE, issued_at=SLOT
    )
    mixed = blended(half_hours(50, 60, 70), ours, {0.5: (110.0,)}, BlendWeights(np.zeros(168)))
    assert mixed.series.values_gco2_per_kwh == (100, 100, 70)
    assert mixed.quantiles[0.5] == (110, 110, 80)


def test_our_own_forecast_extends_and_weighs_as_was_learnt(live: LiveGrid, history: History) -> None:
    live.error = 60.0
    history.record_forecast(own(), fetched_at=NOW)
    history.note("DE", weights_key("live", own().labels), {"provider": [0.0] * 168})
    answer = expected("DE", NOW, chain_of(live), history)
    series = answer.outlook.series
    assert series is not None
    assert series.end == SLOT + 168 * HOUR
    assert series.values_gco2_per_kwh == own().values_gco2_per_kwh
    assert answer.outlook.step is ChainStep.KEYLESS
    assert series.source == f"live + {SOURCE}"
    assert [part.source for part in answer.parts] == [f"live (0%) and {SOURCE} (100%)", SOURCE]


def test_what_is_of_another_kind_is_not_mixed_in(live: LiveGrid, history: History) -> None:
    history.record_forecast(own(factors=FactorKind.DIRECT), fetched_at=NOW)
    assert [part.source for part in expected("DE", NOW, chain_of(live), history).parts] == ["live"]


def test_what_was_learnt_of_the_nation_is_not_mixed_into_a_region(live: LiveGrid, history: History) -> None:
    history.record_forecast(own(made_from="nation"), fetched_at=NOW)
    assert [part.source for part in expected("DE", NOW, chain_of(live), history).parts] == ["live"]


def test_our_own_forecast_of_the_day_before_yesterday_is_not_mixed_in(
    live: LiveGrid, history: History
) -> None:
    history.record_forecast(own(start_before_h=30), fetched_at=NOW)
    assert [part.source for part in expected("DE", NOW, chain_of(live), history).parts] == ["live"]


@pytest.mark.parametrize("stored_h_ago", [None, 2])
def test_our_own_forecast_alone_has_its_band(history: History, stored_h_ago: int | None) -> None:
    history.record(hours(SLOT - 20 * 24 * HOUR, 20 * 24), fetched_at=NOW)
    if stored_h_ago is not None:
        issue = own(stored_h_ago)
        history.record_forecast(issue, {0.5: issue.values_gco2_per_kwh}, fetched_at=NOW)
    answer = expected("DE", NOW, forecast_chain("QQ", history=history), history)
    assert answer.outlook.step is ChainStep.OWN_FORECAST
    series = answer.outlook.series
    assert series is not None
    assert series.start == SLOT
    assert {len(values) for values in answer.quantiles.values()} == {len(series.values_gco2_per_kwh)}
    assert len(answer.quantiles) == (5 if stored_h_ago is None else 1)
    if stored_h_ago is not None:
        assert answer.quantiles[0.5] == series.values_gco2_per_kwh


def test_the_last_good_forecast_goes_on_with_our_own(history: History) -> None:
    history.record_forecast(hours(SLOT - 9 * HOUR, 14, issued_at=SLOT - 9 * HOUR), fetched_at=NOW)
    history.record_forecast(own(9), fetched_at=NOW)
    answer = expected("DE", NOW, forecast_chain("QQ", history=history), history)
    assert answer.outlook.step is ChainStep.LAST_GOOD
    assert [part.source for part in answer.parts] == ["live (50%) and own forecast (50%)", SOURCE]
    assert answer.parts[-1].end == SLOT + 159 * HOUR


def test_a_jump_at_the_splice_is_put_right(live: LiveGrid, history: History) -> None:
    """All day it had said 65 too much; so it does of the hours that come."""
    live.error = 65.0
    history.record(hours(SLOT - 24 * HOUR, 24), fetched_at=NOW)
    history.record_forecast(hours(SLOT - 24 * HOUR, 48, 65.0, issued_at=SLOT - 24 * HOUR), fetched_at=NOW)
    answer = expected("DE", NOW, chain_of(live), history)
    series = answer.outlook.series
    assert series is not None
    raw = live.forecast("DE", NOW)
    shift = np.array(raw.values_gco2_per_kwh) - np.array(series.values_gco2_per_kwh)
    assert shift == pytest.approx(np.full(48, 60.0))
    [found] = answer.outlook.findings
    assert (found.kind, found.treatment) == (FindingKind.LEVEL_JUMP, Treatment.CORRECTED)


def test_history_says_what_is_a_spike(live: LiveGrid, history: History) -> None:
    """Of DE's yearly mean alone, 1,000 g/kWh would be believed; of these weeks it is not."""
    history.record(hours(SLOT - 30 * 24 * HOUR, 30 * 24), fetched_at=NOW)
    live.error = 1000.0
    answer = expected("DE", NOW, chain_of(live), history).outlook
    assert answer.series is None
    assert answer.findings[0].kind is FindingKind.SPIKE
    assert expected("DE", NOW, chain_of(live)).outlook.series is not None


def test_a_store_that_fails_is_a_finding_and_no_more(live: LiveGrid, history: History) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise SetupError("The disk is full.")

    history.record_forecast = refuse  # type: ignore[method-assign,assignment]
    answer = expected("DE", NOW, chain_of(live), history)
    assert answer.outlook.series is not None
    assert str(answer.outlook.findings[0]) == "history store: The disk is full. [failed, noted]"


def test_a_store_that_another_has_locked_is_not_waited_for(live: LiveGrid, tmp_path: Path) -> None:
    file = tmp_path / "history.db"
    with History(f"sqlite:///{file}", patience_s=0.05) as store, closing(sqlite3.connect(file)) as other:
        other.execute("BEGIN IMMEDIATE")
        answer = expected("DE", NOW, chain_of(live), store).outlook
    assert answer.series is not None
    assert "locked" in answer.findings[0].sentence


def test_a_gate_that_needs_no_store_does_not_import_one() -> None:
    code = "import sys, carbon_policy.orchestration.gate; sys.exit('sqlalchemy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_view_without_a_store_still_answers() -> None:
    with grid_view(lambda: "mysql://nowhere") as grid:
        answer = grid.expected("US-CAL-CISO", NOW).outlook
        assert answer.step is ChainStep.YEARLY_MEAN
        assert answer.findings[0].source == "history store"
        assert "SQLite or PostgreSQL" in answer.findings[0].sentence


def test_who_pins_a_simulation_opens_no_store() -> None:
    def never() -> str:
        raise AssertionError("a store was opened")

    with grid_view(never, [SimulatedGrid()]) as grid:
        series = grid.expected("DE", NOW).outlook.series
        assert series is not None
        assert series.simulated
