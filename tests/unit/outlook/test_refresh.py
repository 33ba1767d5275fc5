"""Keeping a zone up to date: what is stored, what is learnt, and when somebody is told."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pytest

from carbon_policy.domain.errors import InvalidInputError, SourceUnavailableError
from carbon_policy.domain.signal import FactorKind, IntensitySeries, Labels, SignalKind
from carbon_policy.forecasting.forecaster import SOURCE
from carbon_policy.forecasting.hourly import Floats
from carbon_policy.grid.chain import Chain
from carbon_policy.outlook.backfill import backfill
from carbon_policy.outlook.expected import weights_key, weights_of
from carbon_policy.outlook.fetch import fetch
from carbon_policy.outlook.learning import learn, past_issues
from carbon_policy.outlook.refresh import FIRST_FETCH, refresh
from carbon_policy.outlook.windows import Window, greenest_windows
from carbon_policy.store.history import History
from tests.unit.outlook.conftest import HOUR, NOW, SLOT, LiveGrid, chain_of, hours

DAY = 24 * HOUR


def test_a_new_zone_is_fetched_stored_and_forecast(live: LiveGrid, history: History) -> None:
    result = refresh("DE", NOW, chain_of(live), chain_of(live), history)
    assert result.added == FIRST_FETCH // HOUR
    assert (result.own, result.change, result.notes) == (True, None, ())
    [zone, ours] = sorted(history.zones(), key=lambda entry: entry.source)
    assert (zone.source, zone.slots, zone.forecasts) == ("live", FIRST_FETCH // HOUR, 1)
    assert (ours.source, ours.forecasts) == (SOURCE, 1)
    series = result.expectation.outlook.series
    assert series is not None
    assert series.end >= SLOT + 167 * HOUR
    assert set(result.expectation.quantiles) == {0.1, 0.25, 0.5, 0.75, 0.9}


def test_again_it_fetches_what_is_new_and_what_may_be_revised(live: LiveGrid, history: History) -> None:
    refresh("DE", NOW, chain_of(live), chain_of(live), history)
    live.now = NOW + 3 * HOUR
    result = refresh("DE", live.now, chain_of(live), chain_of(live), history)
    assert (result.added, result.revised) == (3, 0)


def test_a_source_that_is_down_leaves_the_store_s_own_forecast(live: LiveGrid, history: History) -> None:
    history.record(hours(SLOT - 20 * DAY, 20 * 24), fetched_at=NOW)
    live.down = True
    result = refresh("DE", NOW, chain_of(live), chain_of(live), history)
    assert (result.added, result.own) == (0, True)
    assert "live is down" in result.notes[0]


def test_nothing_known_is_told(history: History) -> None:
    result = refresh("DE", NOW, Chain(()), Chain(()), history)
    assert (result.own, result.expectation.outlook.series) == (False, None)
    assert result.notes == ("Nothing was measured: No source is left to ask.",)


def test_too_little_history_for_a_forecast_is_told(live: LiveGrid, history: History) -> None:
    history.record(hours(SLOT - 3 * HOUR, 3), fetched_at=NOW)
    live.down = True
    result = refresh("DE", NOW, chain_of(live), chain_of(live), history)
    assert not result.own
    assert any("too short for a forecast" in note for note in result.notes)


def shares(history: History, series: IntensitySeries) -> Floats:
    return weights_of(history, series.zone, series.source, series.labels).provider


def learnt(labels: Labels, history: History) -> bool:
    return learn("DE", "live", labels, past_issues("DE", NOW, "live", labels, history), history)


def test_a_provider_that_errs_more_weighs_less_and_to_nothing_if_need_be(history: History) -> None:
    noise = np.random.default_rng(1)
    history.record(hours(SLOT - 40 * DAY, 40 * 24), fetched_at=NOW)
    for day in range(40, 8, -1):
        start = SLOT - day * DAY
        for source, size in (("live", 80.0), (SOURCE, 8.0)):
            issue = hours(start, 168, source=source, issued_at=start)
            values = np.array(issue.values_gco2_per_kwh) + noise.normal(0, size, 168)
            said = tuple(np.maximum(values, 0).tolist())
            history.record_forecast(
                hours(start, 168, source=source, issued_at=start).model_copy(
                    update={"values_gco2_per_kwh": said}
                ),
                fetched_at=NOW,
            )
    assert learnt(hours(SLOT, 1).labels, history)
    weights = shares(history, hours(SLOT, 1))
    assert weights.shape == (168,)
    assert weights.max() < 0.2


def test_of_a_provider_without_past_issues_half_is_believed(history: History) -> None:
    assert not learnt(hours(SLOT, 1).labels, history)
    assert (shares(history, hours(SLOT, 1)) == 0.5).all()


def test_a_provider_is_judged_on_the_measured_level_as_it_is_used(history: History) -> None:
    """Forty grams too low throughout, and right in its shape: what it is used for, after its shift."""
    noise = np.random.default_rng(2)
    history.record(hours(SLOT - 40 * DAY, 40 * 24), fetched_at=NOW)
    for step in range(40 * 8, 8 * 8, -1):
        start = SLOT - step * 3 * HOUR
        off = hours(start, 48, -40.0, issued_at=start)
        history.record_forecast(off, fetched_at=NOW)
        rough = np.array(hours(start, 168).values_gco2_per_kwh) + noise.normal(0, 30, 168)
        ours = hours(start, 168, source=SOURCE, issued_at=start).model_copy(
            update={"values_gco2_per_kwh": tuple(np.maximum(rough, 0).tolist())}
        )
        history.record_forecast(ours, fetched_at=NOW)
    assert learnt(hours(SLOT, 1).labels, history)
    assert shares(history, hours(SLOT, 1))[0] > 0.6


def test_another_kind_of_number_of_the_same_source_is_learnt_apart(history: History) -> None:
    direct = {"factors": FactorKind.DIRECT}
    history.record(hours(SLOT - 20 * DAY, 20 * 24, **direct), fetched_at=NOW)
    for day in range(20, 8, -1):
        start = SLOT - day * DAY
        for source in ("live", SOURCE):
            history.record_forecast(
                hours(start, 168, 30.0 * (source == "live") * day, source=source, issued_at=start, **direct),
                fetched_at=NOW,
            )
    assert learnt(hours(SLOT, 1, **direct).labels, history)
    assert (shares(history, hours(SLOT, 1)) == 0.5).all()
    assert shares(history, hours(SLOT, 1, **direct))[0] != 0.5


def test_a_plan_that_would_lose_is_told_once(live: LiveGrid, history: History) -> None:
    def again() -> str | None:
        return refresh("DE", NOW, chain_of(live), chain_of(live), history).change

    assert again() is None, "there was no plan before"
    assert again() is None, "nothing has changed"
    before = history.noted("DE", "outlook")
    # A plan from an outlook in which another window was the greenest.
    history.note("DE", "outlook", {"step": "keyless", "start": (SLOT + 18 * HOUR).isoformat()})
    change = again()
    assert change is not None
    assert "the greenest 4 h were to begin at 2026-11-23 00:00" in change
    assert history.noted("DE", "outlook") == before
    assert again() is None


def test_a_step_down_the_chain_is_a_change(live: LiveGrid, history: History) -> None:
    refresh("DE", NOW, chain_of(live), chain_of(live), history)
    live.down = True
    change = refresh("DE", NOW, chain_of(live), chain_of(live), history).change
    assert change == "the outlook is unknown now, and was keyless"


def test_backfill_fetches_what_is_missing_and_no_more(live: LiveGrid, history: History) -> None:
    history.record(hours(SLOT - 20 * DAY, 24), fetched_at=NOW)
    told: list[float] = []
    result = backfill("DE", SLOT - 30 * DAY, SLOT, chain_of(live), history, NOW, told.append)
    assert (result.added, result.updated, result.unknown) == (29 * 24, 0, ())
    assert told[-1] == 1.0
    assert told == sorted(told)
    live.asked.clear()
    again = backfill("DE", SLOT - 30 * DAY, SLOT, chain_of(live), history, NOW)
    # Only who answers is asked, by a day.
    assert (again.added, live.asked) == (0, ["history"])


class WithHoles(LiveGrid):
    """Knows nothing of one hour a week, and so answers with what comes after the last of them."""

    def history(self, zone: str, start: datetime, end: datetime) -> IntensitySeries:
        whole = super().history(zone, start, end)
        holes = [
            index
            for index in range(len(whole.values_gco2_per_kwh))
            if (whole.slot_start(index) - SLOT) // HOUR % 168 == 100
        ]
        first = whole.slot_start(holes[-1] + 1) if holes else whole.start
        if first >= whole.end:
            raise SourceUnavailableError("nothing known yet")
        return whole.between(first, whole.end)


def test_a_hole_costs_its_own_slot_and_nothing_before_it(history: History) -> None:
    live = WithHoles()
    result = backfill("DE", SLOT - 90 * DAY, SLOT, chain_of(live), history, NOW)
    assert result.added >= 90 * 24 - 14
    assert result.unknown == ()
    refreshed = refresh("DE", NOW, chain_of(live), chain_of(live), history)
    # Nine weeks and more to learn from, with the holes bridged for that and for nothing else.
    issue = history.latest_forecast("DE", NOW, sources=[SOURCE], not_older_than=DAY)
    assert issue is not None
    assert "ridge" in issue.series.provenance[-1]
    assert refreshed.own
    assert len(history.gaps("DE", SLOT - 90 * DAY, SLOT, source="live", labels=hours(SLOT, 1).labels)) >= 12


def test_a_source_that_says_the_same_whatever_it_is_asked_is_asked_once(history: History) -> None:
    class Deaf(LiveGrid):
        def history(self, zone: str, start: datetime, end: datetime) -> IntensitySeries:
            return super().history(zone, SLOT - 5 * HOUR, SLOT)

    live = Deaf()
    result = fetch("DE", SLOT - 9 * DAY, SLOT - DAY, chain_of(live), history, NOW, lambda series: None)
    assert live.asked == ["history"]
    assert result.unknown == ((SLOT - 9 * DAY, SLOT - DAY),)


def test_a_hole_in_the_preferred_source_is_no_reason_to_change_it(history: History) -> None:
    preferred, other = WithHoles(), LiveGrid(name="other")
    fetch("DE", SLOT - 9 * DAY, SLOT, chain_of(preferred, other), history, NOW, lambda series: None)
    assert {entry.source for entry in history.zones()} == {"live"}


def test_a_share_that_was_learnt_survives_a_missing_hour(history: History) -> None:
    labels = hours(SLOT, 1).labels
    history.note("DE", weights_key("live", labels), {"provider": [0.9] * 168})
    history.record(hours(SLOT - 2 * HOUR, 2), fetched_at=NOW)
    start = SLOT - 30 * HOUR
    for source in ("live", SOURCE):
        history.record_forecast(hours(start, 48, source=source, issued_at=start), fetched_at=NOW)
    assert not learnt(labels, history)
    assert shares(history, hours(SLOT, 1))[0] == 0.9


def test_what_another_source_has_stored_is_missing_all_the_same(live: LiveGrid, history: History) -> None:
    history.record(hours(SLOT - 30 * DAY, 30 * 24, source="other"), fetched_at=NOW)
    marginal = {"signal": SignalKind.MARGINAL, "source": "moer"}
    history.record(hours(SLOT - 30 * DAY, 30 * 24, **marginal), fetched_at=NOW)
    assert backfill("DE", SLOT - 30 * DAY, SLOT, chain_of(live), history, NOW).added == 30 * 24


def test_a_source_that_was_out_for_days_is_caught_up_with(live: LiveGrid, history: History) -> None:
    """Another one stood in meanwhile, whose slots are newer."""
    history.record(hours(SLOT - 20 * DAY, 15 * 24), fetched_at=NOW)
    history.record(hours(SLOT - 5 * DAY, 5 * 24, source="stand-in"), fetched_at=NOW)
    refresh("DE", NOW, chain_of(live), chain_of(live), history)
    labels = hours(SLOT, 1).labels
    assert history.gaps("DE", SLOT - 20 * DAY, SLOT, source="live", labels=labels) == []


def test_backfill_tells_what_nobody_knows(live: LiveGrid, history: History) -> None:
    live.down = True
    result = backfill("DE", SLOT - DAY, SLOT, chain_of(live), history, NOW)
    assert result.unknown == ((SLOT - DAY, SLOT),)
    assert "live is down" in result.findings[0].sentence


def test_the_greenest_windows_are_the_bottoms_of_dips_and_the_earlier_of_equals_comes_first() -> None:
    series = hours(SLOT, 6).model_copy(update={"values_gco2_per_kwh": (5.0, 1.0, 1.0, 9.0, 1.0, 1.0)})
    assert greenest_windows(series, SLOT, series.end, 2 * HOUR, 3) == [
        Window(SLOT + HOUR, SLOT + 3 * HOUR, 1.0),
        Window(SLOT + 4 * HOUR, SLOT + 6 * HOUR, 1.0),
    ]
    slope = hours(SLOT, 6).model_copy(update={"values_gco2_per_kwh": (1.0, 2.0, 3.0, 4.0, 5.0, 6.0)})
    assert [window.start for window in greenest_windows(slope, SLOT, slope.end, 2 * HOUR, 3)] == [SLOT]
    with pytest.raises(InvalidInputError, match="No window of 7:00:00 fits"):
        greenest_windows(series, SLOT, series.end, 7 * HOUR)
    assert greenest_windows(series, SLOT + timedelta(minutes=30), series.end, HOUR)[0].start == SLOT + HOUR
