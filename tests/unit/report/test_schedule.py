"""Plans and replays as pages: everything that was said is there, and nothing that was named is code."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.report.replayed import ReplayedPolicy, ReplayPlot, replay_html, write_replay_png
from carbon_policy.report.schedule import MOST_JOBS, ScheduledJob, SchedulePlot, schedule_html
from carbon_policy.report.schedule_page import Page, Table, write_page

pytest.importorskip("plotly")

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
NASTY = "<script>alert(1)</script>"


def series(*, simulated: bool = False) -> IntensitySeries:
    return IntensitySeries(
        zone="DE",
        start=NOON,
        step=HOUR,
        values_gco2_per_kwh=(100.0, 200.0, 300.0),
        source="stand-in",
        simulated=simulated,
    )


def job(name: str = "a run", stretches: int = 1) -> ScheduledJob:
    parts = [(NOON + k * HOUR, NOON + (k + 0.5) * HOUR) for k in range(stretches)]
    return ScheduledJob(name, NOON - HOUR, parts, "eco", "saves 3 g")


def plot(*jobs: ScheduledJob, simulated: bool = False) -> SchedulePlot:
    return SchedulePlot(
        "Waiting", [series(simulated=simulated)], jobs, ["fast", "eco"], NOON, NOON + 3 * HOUR
    )


def page(**fields: object) -> Page:
    given = {"title": "A page", "lead": "A lead.", "figures": [("3 g", "saved")], "tables": []}
    return Page(**{**given, **fields})  # type: ignore[arg-type]


def test_a_plan_is_drawn_with_its_names_and_labels() -> None:
    drawn = schedule_html(plot(job("brave-otter", stretches=3)))
    for text in ("brave-otter", "saves 3 g", "runs on eco", "expected, DE"):
        assert text in drawn
    assert "runs on fast" not in drawn


def test_of_a_long_queue_the_first_rows_are_drawn() -> None:
    drawn = schedule_html(plot(*(job(f"run-{k:03d}") for k in range(MOST_JOBS + 5))))
    assert f"run-{MOST_JOBS - 1:03d}" in drawn
    assert f"run-{MOST_JOBS:03d}" not in drawn


def test_a_name_from_a_server_is_text_in_a_plot_and_on_a_page(tmp_path: Path) -> None:
    # What draws is itself code; what counts is that this name is not.
    assert NASTY not in schedule_html(plot(job(NASTY)))
    assert NASTY not in replay_html(ReplayPlot([ReplayedPolicy(NASTY, 3.0, 1.0)]))
    tables = [Table(NASTY, [NASTY], [[NASTY]])]
    file = write_page(
        tmp_path / "page.html", page(title=NASTY, lead=NASTY, tables=tables, notes=[NASTY]), None
    )
    assert NASTY not in file.read_text()


def test_a_made_up_grid_is_called_so(tmp_path: Path) -> None:
    assert "SIMULATED" in schedule_html(plot(job(), simulated=True))
    assert "SIMULATED" not in schedule_html(plot(job()))
    assert "SIMULATED" in replay_html(ReplayPlot([ReplayedPolicy("ours", 3.0, 1.0)], simulated=True))
    pages = [
        write_page(tmp_path / f"{it}.html", page(simulated=it), None).read_text() for it in (True, False)
    ]
    assert ["Simulated grid" in text for text in pages] == [True, False]


@pytest.mark.parametrize("simulated", [True, False])
def test_a_picture_says_savings_and_waits_and_whether_the_grid_is_made_up(
    simulated: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: drawn.append(figure))
    write_replay_png(tmp_path / "new" / "r.png", ReplayPlot([ReplayedPolicy("ours", 3.0, 1.5)], simulated))
    said = [text.get_text() for text in drawn[0].axes[0].texts]
    assert said == ["3.0%, waits 1.5 h", *(["SIMULATED"] if simulated else [])]


def test_a_page_has_its_tables_and_sets_off_one_row(tmp_path: Path) -> None:
    rows = [["ours", "5 g"], ["other", "7 g"]]
    tables = [Table("Policies", ["Policy", "Emits"], rows, best=0)]
    file = write_page(
        tmp_path / "new" / "page.html", page(tables=tables, notes=["Mind this."]), "<b>plot</b>"
    )
    text = file.read_text()
    assert '<td class="good">ours</td><td class="n good">5 g</td>' in text
    assert '<td>other</td><td class="n">7 g</td>' in text
    assert "<b>plot</b>" in text
    assert "Mind this." in text


def test_a_policy_that_costs_carbon_has_room_to_the_left() -> None:
    def leftmost(saved_percent: float) -> float:
        drawn = replay_html(ReplayPlot([ReplayedPolicy("ours", saved_percent, 1.0)]))
        ranges = re.findall(r'"range":\[(-?[\d.]+),', drawn)
        return min(map(float, ranges))

    assert leftmost(3.0) == 0
    assert leftmost(-4.0) < -4
