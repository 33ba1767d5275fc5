from __future__ import annotations

import struct
import sys
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from carbon_policy.domain.errors import SetupError
from carbon_policy.domain.ledger import LedgerEntry
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.report.plot import PlottedJob, day_plot_html, day_plot_png, plotted_jobs
from carbon_policy.report.plotted import LONGEST_NAME, DayPlot


def size_of(png: Path) -> tuple[int, int]:
    """Width and height, px, from the PNG's header."""
    head = png.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", head[16:24])
    return width, height


def test_the_picture_is_one(tmp_path: Path, series: IntensitySeries, entries: list[LedgerEntry]) -> None:
    file = day_plot_png(
        tmp_path / "new" / "day.png", series, plotted_jobs(entries), "A day", licence="CC BY 4.0."
    )
    width, height = size_of(file)
    assert (width, height) == (1728, 820)


@pytest.mark.parametrize("values", [(0.0, 0.0), (300.0,)])
def test_flat_days_and_no_jobs_can_be_drawn(
    tmp_path: Path, series: IntensitySeries, values: tuple[float, ...]
) -> None:
    flat = series.model_copy(update={"values_gco2_per_kwh": values, "simulated": True})
    assert size_of(day_plot_png(tmp_path / "day.png", flat, [], "Nothing ran"))[0] == 1728
    assert "SIMULATED" in day_plot_html(flat, [], "Nothing ran")


def test_a_name_is_no_formula_and_any_script_is_drawn(
    tmp_path: Path, series: IntensitySeries, entries: list[LedgerEntry]
) -> None:
    job = plotted_jobs([entries[0].model_copy(update={"flow": r"$\frac{ 夜 🚀", "reason": "$x"})])
    day_plot_png(tmp_path / "day.png", series, job, r"costs 1$ or $\frac")


def test_the_html_is_the_plot_and_says_so(series: IntensitySeries, entries: list[LedgerEntry]) -> None:
    page = day_plot_html(
        series, plotted_jobs(entries), "A day", licence="CC BY 4.0.", full_page=True
    ).replace("\\u002f", "/")
    assert page.startswith("<!doctype html>")
    assert "<title>A day</title>" in page
    for text in ("train/daily", "ran on eco", "DE, gCO2e/kWh", "energy-charts", "CC BY 4.0.", "Time, UTC"):
        assert text in page
    assert "SIMULATED" not in page


def test_jobs_are_made_from_entries(entries: list[LedgerEntry]) -> None:
    train = plotted_jobs(entries)[0]
    assert train.name == "train/daily"
    assert train.deferred
    assert train.saved_gco2 == pytest.approx(129.6)
    assert not plotted_jobs(entries)[1].deferred


def test_a_replayed_day_shows_its_own_hours(series: IntensitySeries) -> None:
    """Ten minutes of wall time are a day of the trace."""
    wall = datetime(2026, 11, 22, 15, tzinfo=UTC)
    trace = datetime(2021, 6, 1, tzinfo=UTC)
    squeezed = series.model_copy(update={"start": wall, "step": timedelta(seconds=25)})
    job = PlottedJob("a", wall, wall + timedelta(minutes=5), wall + timedelta(minutes=6), "eco")
    day = DayPlot(squeezed, [job], "A day", lambda moment: trace + 144 * (moment - wall))
    assert day.edges[0] == datetime(2021, 6, 1)  # noqa: DTZ001
    assert day.edges[-1] == datetime(2021, 6, 2)  # noqa: DTZ001
    assert day.rows[0].started == datetime(2021, 6, 1, 12)  # noqa: DTZ001
    assert day.time_label == "Time of the replayed day, UTC, from 2021-06-01"


def test_long_names_are_cut_and_short_runs_are_seen(series: IntensitySeries) -> None:
    job = PlottedJob("x" * 99, series.start, series.start, series.start + timedelta(seconds=1), "fast")
    (row,) = DayPlot(series, [job], "A day").rows
    assert len(row.name) == LONGEST_NAME
    assert row.ended - row.started > timedelta(minutes=5)


@pytest.mark.parametrize("library", ["matplotlib", "plotly"])
def test_a_missing_library_names_the_extra(
    library: str, tmp_path: Path, series: IntensitySeries, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(sys.modules):
        if name.startswith("carbon_policy.report.plot_"):
            monkeypatch.delitem(sys.modules, name)
    for name in [library, *(name for name in sys.modules if name.startswith(f"{library}."))]:
        monkeypatch.setitem(sys.modules, name, None)
    draw = partial(day_plot_png, tmp_path / "day.png") if library == "matplotlib" else day_plot_html
    with pytest.raises(SetupError, match=r"pip install 'prefect-carbon-policy\[plot\]'"):
        draw(series, [], "A day")
