"""Every issued forecast is kept as it was issued, and the right one is found again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert

from carbon_policy.domain.errors import InvalidInputError
from carbon_policy.domain.finding import Finding, FindingKind, Treatment
from carbon_policy.domain.signal import BasisKind, IntensitySeries, SignalKind
from carbon_policy.store import History, StoredForecast, forecasts
from carbon_policy.store.history_models import ForecastRow

MakeSeries = Callable[..., IntensitySeries]
START = datetime(2026, 11, 22, 6, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
LATER = START + DAY


def latest(history: History, now: datetime = START + HOUR, **filters: object) -> StoredForecast | None:
    return history.latest_forecast("DE", now, **{"not_older_than": DAY, **filters})  # type: ignore[arg-type]


def source_of(found: StoredForecast | None) -> str | None:
    return None if found is None else found.series.source


def test_a_forecast_comes_back_to_the_letter(history: History, make_series: MakeSeries) -> None:
    finding = Finding(
        kind=FindingKind.GAP, treatment=Treatment.LEFT_OUT, source="neso", sentence="One is missing."
    )
    series = make_series(
        0.1,
        1 / 3,
        1e-9,
        issued_at=START + timedelta(microseconds=7),
        basis=BasisKind.CONSUMPTION,
        estimated=(True, False, True),
        provenance=("One.", "Two."),
        findings=(finding,),
    )
    quantiles = {0.1: (0.05, 0.2, 0.0), 0.9: (0.3, 0.7, 1.5)}
    assert history.record_forecast(series, quantiles, fetched_at=START + HOUR)
    found = latest(history)
    assert found == StoredForecast(series, quantiles, fetched_at=START + HOUR, revision=1)
    assert found.series.fingerprint == series.fingerprint


def test_a_forecast_needs_an_issue_time(history: History, make_series: MakeSeries) -> None:
    with pytest.raises(InvalidInputError, match="no issue time"):
        history.record_forecast(make_series(), fetched_at=START)


@pytest.mark.parametrize("quantiles", [{0: (1, 2, 3)}, {0.5: (1, 2)}, {0.5: (1, 2, float("nan"))}])
def test_quantiles_must_fit(
    history: History, make_series: MakeSeries, quantiles: dict[float, tuple[float, ...]]
) -> None:
    with pytest.raises(InvalidInputError, match="needs a level between 0 and 1 and 3 numbers"):
        history.record_forecast(make_series(issued_at=START), quantiles, fetched_at=START)


def test_the_same_issue_again_is_not_new_and_the_newest_wins(
    history: History, make_series: MakeSeries
) -> None:
    def record(*values: float, hours: float, **fields: object) -> bool:
        issue = make_series(*values, issued_at=START, **fields)
        return history.record_forecast(issue, fetched_at=START + hours * HOUR)

    def kept() -> tuple[tuple[float, ...], int]:
        found = latest(history)
        assert found is not None
        return found.series.values_gco2_per_kwh, found.revision

    assert record(1, 2, hours=1)
    assert not record(1, 2, hours=2, provenance=("Told differently.",))
    assert kept() == ((1, 2), 1)
    assert not record(3, 4, hours=3)
    assert kept() == ((3, 4), 2)
    assert not record(5, 6, hours=2)
    assert kept() == ((3, 4), 2)
    # Another basis, or one where the source says none, is another forecast.
    assert record(7, 8, hours=3, basis=BasisKind.CONSUMPTION)
    assert len(history.forecasts("DE", START, START + HOUR, source="energy-charts")) == 2


def recorded(
    history: History, *versions: tuple[IntensitySeries, Mapping[float, tuple[float, ...]]]
) -> StoredForecast:
    """What is kept of one issue of which these versions were fetched, an hour apart."""
    for hour, (series, quantiles) in enumerate(versions):
        new = history.record_forecast(series, quantiles, fetched_at=START + hour * HOUR)
        assert new == (hour == 0)
    [kept] = history.forecasts("DE", START, START + HOUR, source="energy-charts")
    return kept


def test_an_issue_that_is_fetched_again_and_cut_is_kept_whole(
    history: History, make_series: MakeSeries
) -> None:
    whole = (make_series(1, 2, 3, issued_at=START), {0.1: (0.1, 0.2, 0.3)})
    cut = (make_series(2, 3, hour=1, issued_at=START), {0.1: (0.2, 0.3)})
    kept = recorded(history, whole, cut, (make_series(3, hour=2, issued_at=START), {}))
    assert kept == StoredForecast(*whole, fetched_at=START + 2 * HOUR, revision=1)


def test_an_issue_grows_at_either_end(history: History, make_series: MakeSeries) -> None:
    kept = recorded(
        history,
        (make_series(1, 2, issued_at=START, estimated=(True, False)), {0.1: (0.1, 0.2)}),
        (make_series(20, 3, hour=1, issued_at=START), {0.1: (0.25, 0.3)}),
        (make_series(0, hour=-1, issued_at=START), {0.1: (0.0,)}),
    )
    assert (kept.series.start, kept.series.values_gco2_per_kwh) == (START - HOUR, (0, 1, 20, 3))
    assert kept.series.estimated == (False, True, False, False)
    assert kept.quantiles == {0.1: (0.0, 0.1, 0.25, 0.3)}
    assert (kept.revision, kept.fetched_at) == (3, START + 2 * HOUR)


def test_other_values_in_the_middle_are_a_revision(history: History, make_series: MakeSeries) -> None:
    first, second = make_series(1, 2, 3, issued_at=START), make_series(9, hour=1, issued_at=START)
    kept = recorded(history, (first, {0.1: (0.0, 1.0, 2.0)}), (second, {}))
    assert kept.series.values_gco2_per_kwh == (1, 9, 3)
    # Those of the former version are not of these values.
    assert (kept.quantiles, kept.revision) == ({}, 2)


def test_quantiles_that_come_later_are_kept(history: History, make_series: MakeSeries) -> None:
    series = make_series(1, 2, 3, issued_at=START)
    kept = recorded(history, (series, {}), (series, {0.5: (1.0, 2.0, 3.0)}), (series, {}))
    assert (kept.quantiles, kept.revision) == ({0.5: (1.0, 2.0, 3.0)}, 2)


@pytest.mark.parametrize(
    "other",
    [{"step": HOUR / 2}, {"hour": 0.5}, {"hour": 4}, {"hour": -4}],
    ids=["length", "shifted", "gap after", "gap before"],
)
def test_slots_that_do_not_fit_take_the_place_of_the_others(
    history: History, make_series: MakeSeries, other: dict[str, Any]
) -> None:
    new = make_series(4, 5, 6, issued_at=START, **other)
    kept = recorded(history, (make_series(1, 2, 3, issued_at=START), {}), (new, {}))
    assert (kept.series, kept.revision) == (new, 2)


def test_an_answer_that_comes_late_still_adds_what_is_missing(
    history: History, make_series: MakeSeries
) -> None:
    history.record_forecast(make_series(20, 3, hour=1, issued_at=START), fetched_at=START + HOUR)
    history.record_forecast(make_series(1, 2, issued_at=START), fetched_at=START)
    found = latest(history, START)
    assert found is not None
    assert found.series.values_gco2_per_kwh == (1, 20, 3)
    assert found.fetched_at == START + HOUR


def test_two_writers_of_one_issue_lose_nothing_of_each_other(url: str, make_series: MakeSeries) -> None:
    """Each adds a slot at a time; in whatever order they come, in the end all are there."""
    slots = [make_series(float(hour), hour=hour, issued_at=START) for hour in range(24)]
    with History(url) as one, History(url) as other:
        one.record_forecast(make_series(*map(float, range(24)), issued_at=START), fetched_at=START)

        def write(history: History, values: float) -> None:
            for series in slots:
                changed = series.model_copy(update={"values_gco2_per_kwh": (values,)})
                if int(series.start.hour) % 2 == values % 2:
                    history.record_forecast(changed, fetched_at=START + HOUR)

        with ThreadPoolExecutor() as pool:
            list(pool.map(write, (one, other), (100.0, 101.0)))
        [kept] = one.forecasts("DE", START, START + HOUR, source="energy-charts")
    assert kept.series.values_gco2_per_kwh == tuple(100.0 + hour % 2 for hour in range(24))
    assert kept.revision == 25


def test_the_latest_that_covers_now_is_found(history: History, make_series: MakeSeries) -> None:
    for issued_hour in (-2, -1, 0, 2):
        issue = make_series(issued_hour + 10, issued_hour + 10, issued_at=START + issued_hour * HOUR)
        history.record_forecast(issue, fetched_at=START)

    def value(now: datetime, not_older_than: timedelta = DAY) -> float | None:
        found = latest(history, now, not_older_than=not_older_than)
        return None if found is None else found.series.values_gco2_per_kwh[0]

    assert value(START) == 10
    assert value(START + 1.9 * HOUR) == 10
    assert value(START + 2 * HOUR) is None  # The one issued by then covers the two hours before.
    assert value(START - HOUR) is None
    assert value(START + 1.5 * HOUR, not_older_than=HOUR) is None
    assert value(START + 1.5 * HOUR, not_older_than=1.5 * HOUR) == 10


def test_forecasts_are_chosen_by_source_and_kind(history: History, make_series: MakeSeries) -> None:
    for hour, source in enumerate(("neso", "energy-charts", "own")):
        history.record_forecast(
            make_series(issued_at=START - (3 - hour) * HOUR, source=source), fetched_at=START
        )
    marginal = make_series(issued_at=START - DAY / 2, source="watttime", signal=SignalKind.MARGINAL)
    history.record_forecast(marginal, fetched_at=START)
    assert source_of(latest(history)) == "own"
    assert source_of(latest(history, not_sources=["own"])) == "energy-charts"
    assert source_of(latest(history, sources=["neso", "own"], not_sources=["own"])) == "neso"
    assert source_of(latest(history, sources=[])) is None
    assert source_of(latest(history, labels=marginal.labels)) == "watttime"
    assert source_of(latest(history, signal=SignalKind.MARGINAL)) == "watttime"
    assert source_of(latest(history, labels=make_series(simulated=True).labels)) is None


def test_the_forecasts_of_a_time_are_listed_in_order(history: History, make_series: MakeSeries) -> None:
    issues = [make_series(hour, issued_at=START + hour * HOUR) for hour in range(5)]
    for issue in reversed(issues):
        assert history.record_forecast(issue, fetched_at=START)
    history.record_forecast(make_series(issued_at=START, source="own"), fetched_at=START)
    found = history.forecasts("DE", START + HOUR, START + 4 * HOUR, source="energy-charts")
    assert [forecast.series for forecast in found] == issues[1:4]
    labels = make_series(basis=BasisKind.PRODUCTION).labels
    assert history.forecasts("DE", START, START + DAY, source="energy-charts", labels=labels) == []


def test_one_forecast_an_hour_is_enough(history: History, make_series: MakeSeries) -> None:
    minutes = (20, 50, 60, 90, 119, 200)
    for minute in reversed(minutes):
        issue = make_series(minute, issued_at=START + timedelta(minutes=minute))
        history.record_forecast(issue, fetched_at=LATER)
    history.record_forecast(
        make_series(7, signal=SignalKind.MARGINAL, issued_at=START + HOUR / 2), fetched_at=LATER
    )

    def found(start: datetime = START, **filters: Any) -> list[float]:
        issues = history.forecasts("DE", start, LATER, source="energy-charts", **filters)
        return [issue.series.values_gco2_per_kwh[0] for issue in issues]

    # Of each kind the first.
    assert found(every=HOUR) == [20, 7, 60, 200]
    assert found(every=HOUR, signal=SignalKind.AVERAGE) == [20, 60, 200]
    # The hours are the clock's, not counted from the start.
    assert found(START + HOUR / 2, every=HOUR, signal=SignalKind.AVERAGE) == [50, 60, 200]
    assert len(found()) == 7
    with pytest.raises(InvalidInputError, match="makes no sense"):
        found(every=timedelta(0))


def test_what_is_not_picked_is_not_parsed(
    sqlite_url: str, make_series: MakeSeries, monkeypatch: pytest.MonkeyPatch
) -> None:
    issues = 60 * 48
    with History(sqlite_url) as history:
        template = make_series(issued_at=START)
        with history._engine.begin() as connection:
            row: dict[str, Any] = {
                "zone": "DE",
                "source": "energy-charts",
                "signal": "average",
                "factors": "life-cycle",
            }
            row |= {"basis": "", "quantiles_json": "{}", "fingerprint": "", "revision": 1}
            moments = dict.fromkeys(("starts_at", "ends_at", "fetched_at"), START)
            json = template.model_dump_json()
            connection.execute(
                insert(ForecastRow),
                [
                    {**row, **moments, "series_json": json, "issued_at": START + index * HOUR / 2}
                    for index in range(issues)
                ],
            )
        parsed: list[Any] = []
        parse = forecasts._to_forecast

        def counted(row: Any) -> StoredForecast:
            parsed.append(row)
            return parse(row)

        monkeypatch.setattr(forecasts, "_to_forecast", counted)
        found = history.forecasts("DE", START, START + 60 * DAY, source="energy-charts", every=HOUR)
    assert len(found) == len(parsed) == issues // 2
