from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from carbon_policy.cli.chart import Band, Mark, bar, intensity_chart
from carbon_policy.domain.signal import IntensitySeries

DAY = datetime(2026, 11, 22, tzinfo=UTC)
HOUR = timedelta(hours=1)


def series(*values: float, step: timedelta = HOUR) -> IntensitySeries:
    return IntensitySeries(zone="DE", start=DAY, step=step, values_gco2_per_kwh=values, source="test")


@pytest.mark.parametrize("width", [40, 80, 110])
@pytest.mark.parametrize("hours", [1, 24, 96])
def test_it_is_never_wider_than_told(width: int, hours: int) -> None:
    day = series(*(300 + 10 * (i % 24) for i in range(96)))
    mark = Mark(DAY, DAY + HOUR / 2, "eco, 00:00 to 00:30")
    chart = intensity_chart(day, DAY, DAY + hours * HOUR, width, [mark]).plain.splitlines()
    assert len(chart) == 8
    assert max(map(len, chart)) <= width


def test_the_highest_and_the_lowest_are_told_apart() -> None:
    chart = intensity_chart(series(400, 200), DAY, DAY + 2 * HOUR, 45).plain.splitlines()
    assert chart[0].startswith("400 │████")
    assert chart[0].endswith("    ")
    assert chart[5].startswith("150 └")


def test_a_flat_day_is_full_and_not_empty() -> None:
    chart = intensity_chart(series(300, 300), DAY, DAY + 2 * HOUR, 45).plain.splitlines()
    assert set(chart[0].partition("│")[2]) == {"█"}


def test_the_window_is_underlined_where_it_is() -> None:
    mark = Mark(DAY + 6 * HOUR, DAY + 12 * HOUR, "eco")
    line = intensity_chart(series(*range(100, 124)), DAY, DAY + 24 * HOUR, 53, [mark]).plain.splitlines()[-1]
    assert line[5:] == " " * 12 + "━" * 12 + " eco"


def test_a_label_goes_where_there_is_room() -> None:
    mark = Mark(DAY + 22 * HOUR, DAY + 24 * HOUR, "eco, at last")
    line = intensity_chart(series(*range(100, 124)), DAY, DAY + 24 * HOUR, 53, [mark]).plain.splitlines()[-1]
    assert line.endswith("eco, at last ━━━━")


def test_a_window_narrower_than_a_column_is_seen() -> None:
    mark = Mark(DAY + HOUR, DAY + HOUR + timedelta(seconds=5), "x")
    assert "━" in intensity_chart(series(*range(100, 196)), DAY, DAY + 96 * HOUR, 60, [mark]).plain


def test_a_replayed_day_has_seconds_on_its_axis() -> None:
    chart = intensity_chart(
        series(*range(100, 124), step=timedelta(seconds=4)), DAY, DAY + timedelta(seconds=96), 80
    )
    assert "00:00:15" in chart.plain


def test_a_bar() -> None:
    assert (bar(0.5, 10), bar(0, 10), bar(0.001, 10)) == ("█████", "", "█")


def test_a_band_is_below_and_above_what_is_expected() -> None:
    band = Band(series(200, 200), series(600, 600))
    chart = intensity_chart(series(400, 400), DAY, DAY + 2 * HOUR, 45, band=band, height=8).plain.splitlines()
    drawn = [line.partition("│")[2][0] for line in chart[:8]]
    assert (drawn[0], drawn[-1]) == ("░", "█")
    assert [shape for shape in drawn if shape in "░▒█"] == sorted(
        (shape for shape in drawn if shape in "░▒█"), key="░▒█".index
    )
    assert "▒" in drawn
    assert chart[0].startswith("600 ")


def test_several_windows_have_their_labels_within() -> None:
    marks = [Mark(DAY + 2 * HOUR, DAY + 6 * HOUR, "2"), Mark(DAY + 12 * HOUR, DAY + 16 * HOUR, "1")]
    line = intensity_chart(series(*range(100, 124)), DAY, DAY + 24 * HOUR, 53, marks).plain.splitlines()[-1]
    assert line[5:] == "    ━━ 2 ━━━" + " " * 12 + "━━ 1 ━━━"
