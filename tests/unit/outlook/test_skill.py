"""What following a zone's forecasts has been worth, from the issues that were stored."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from carbon_policy.domain.errors import SetupError
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.forecasting.forecaster import SOURCE
from carbon_policy.outlook.learning import past_issues
from carbon_policy.outlook.refresh import refresh
from carbon_policy.outlook.skill import FEWEST_DAYS, FORGOTTEN, keep_skill, measured_skill, skill_of
from carbon_policy.outlook.view import GridView
from carbon_policy.store.history import History
from tests.unit.outlook.conftest import HOUR, NOW, SLOT, LiveGrid, chain_of, hours

DAY = timedelta(days=1)
LABELS = hours(SLOT, 1).labels


def remember(history: History, days: int, source: str = SOURCE, turned: bool = False) -> None:
    """What was measured lately, and forecasts of it, one each eight hours: perfect ones, or upside down."""
    history.record(hours(SLOT - (days + 3) * DAY, 24 * (days + 3)), fetched_at=NOW)
    for issue in range(0, days * 24, 8):
        start = SLOT - days * DAY + issue * HOUR
        said = hours(
            start, 48, source=source, issued_at=start, made_from="live" if source == SOURCE else None
        )
        if turned:
            values = tuple(700 - value for value in said.values_gco2_per_kwh)
            said = said.model_copy(update={"values_gco2_per_kwh": values})
        history.record_forecast(said, fetched_at=start)


def skill(history: History) -> float | None:
    past = past_issues("DE", NOW, "live", LABELS, history)
    found = measured_skill("DE", NOW, "live", LABELS, past, history)
    return found.share if found is not None else None


def test_a_perfect_forecast_keeps_all_of_it(history: History) -> None:
    remember(history, 16)
    assert skill(history) == pytest.approx(1.0)


def test_one_that_is_upside_down_costs_carbon(history: History) -> None:
    remember(history, 16, turned=True)
    found = skill(history)
    assert found is not None
    assert found < 0


def test_it_is_the_mix_that_is_judged_where_a_provider_speaks_as_well(history: History) -> None:
    remember(history, 16, turned=True)
    remember(history, 16, source="live")
    history.note("DE", f"share of live, {LABELS}", {"provider": [1.0] * 168})
    assert skill(history) == pytest.approx(1.0)
    history.note("DE", f"share of live, {LABELS}", {"provider": [0.0] * 168})
    mixed = skill(history)
    assert mixed is not None
    assert mixed < 0


def test_of_too_few_days_nothing_is_said(history: History) -> None:
    remember(history, FEWEST_DAYS - 1)
    assert skill(history) is None
    assert skill(History("sqlite://")) is None


def test_where_no_hour_is_greener_than_another_there_is_no_share(history: History) -> None:
    start = SLOT - 30 * DAY
    history.record(hours(start, 30 * 24, values_gco2_per_kwh=(300.0,) * 30 * 24), fetched_at=NOW)
    for day in range(20):
        start = SLOT - (20 - day) * DAY
        said = hours(start, 48, source=SOURCE, issued_at=start, made_from="live")
        history.record_forecast(said, fetched_at=start)
    assert skill(history) is None


def test_it_is_noted_read_cheaply_measured_again_in_a_while_and_forgotten(history: History) -> None:
    remember(history, 16)
    past = past_issues("DE", NOW, "live", LABELS, history)
    kept = keep_skill("DE", NOW, "live", LABELS, past, history)
    assert kept is not None
    assert keep_skill("DE", NOW + HOUR, "live", LABELS, past, history) is None
    assert keep_skill("DE", NOW + 7 * HOUR, "live", LABELS, past, history) is not None
    outlook = hours(SLOT, 24)
    view = GridView(history=history)
    assert view.skill(outlook, NOW + 8 * HOUR) == kept
    assert GridView().skill(outlook, NOW) is None
    assert skill_of(history, outlook, NOW + 7 * HOUR + FORGOTTEN) is None
    assert skill_of(history, hours(SLOT, 24, zone="FR"), NOW) is None


def test_a_store_that_fails_says_nothing(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise SetupError("The disk is full.")

    monkeypatch.setattr(History, "noted", fails)
    assert GridView(history=history).skill(hours(SLOT, 24), NOW) is None


def test_a_refresh_keeps_it(live: LiveGrid, history: History) -> None:
    remember(history, 16)
    refresh("DE", NOW, chain_of(live), chain_of(live), history)
    series: IntensitySeries = hours(SLOT, 24)
    found = skill_of(history, series, NOW)
    assert found is not None
    assert np.isclose(found.share, 1.0)
    assert found.days >= FEWEST_DAYS


def test_a_refresh_reads_the_past_issues_once(
    live: LiveGrid, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(history, 16)
    remember(history, 16, source="live")
    asked: list[str] = []
    forecasts = History.forecasts

    def counted(self: History, *args: Any, **fields: Any) -> Any:
        asked.append(fields["source"])
        return forecasts(self, *args, **fields)

    monkeypatch.setattr(History, "forecasts", counted)
    refresh("DE", NOW, chain_of(live), chain_of(live), history)
    assert skill_of(history, hours(SLOT, 24), NOW) is not None
    assert asked.count(SOURCE) == 1
