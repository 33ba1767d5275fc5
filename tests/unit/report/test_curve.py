from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.report.curve import CurvePlot, Stretch, write_curve
from carbon_policy.report.skill import Method, SkillPlot, medians, write_skill
from tests.unit.report.test_plot import size_of

DAY = datetime(2026, 11, 22, tzinfo=UTC)
HOUR = timedelta(hours=1)


def series(start: datetime = DAY, hours: int = 24, **fields: object) -> IntensitySeries:
    known = {
        "values_gco2_per_kwh": tuple(300.0 + hour for hour in range(hours)),
        "source": "test",
        "zone": "DE",
    }
    return IntensitySeries(**{"start": start, "step": HOUR} | known | fields)


def plot(**fields: object) -> CurvePlot:
    pieces = (
        series(issued_at=DAY),
        series(DAY + 30 * HOUR, 6, estimated=(True, True, False, True, False, False)),
    )
    levels = {level: [300.0 * (0.5 + level)] * 24 for level in (0.1, 0.25, 0.5, 0.75, 0.9)}
    known = {
        "title": "A <b>zone</b> of 1$",
        "pieces": pieces,
        "quantiles": levels,
        "windows": [Stretch(DAY + 2 * HOUR, DAY + 6 * HOUR, "1")],
        "parts": [Stretch(DAY, DAY + 12 * HOUR, "them"), Stretch(DAY + 12 * HOUR, DAY + 36 * HOUR, "us")],
        "caption": ["Said below."],
    }
    return CurvePlot(**known | fields)


def test_what_is_drawn() -> None:
    drawn = plot()
    assert [name for name, *_ in drawn.bands] == ["80% band", "50% band"]
    assert drawn.span == (datetime(2026, 11, 22), datetime(2026, 11, 23, 12))  # noqa: DTZ001
    assert [(start.hour, end.hour) for start, end in drawn.estimates()] == [(6, 8), (9, 10)]
    assert drawn.top == pytest.approx(420.0)
    assert [change.hour for change in drawn.changes] == [12]
    assert drawn.footer[0] == "Times are UTC. Average, life-cycle."
    assert drawn.footer[-1] == "Said below."


def test_the_picture(tmp_path: Path) -> None:
    width, height = size_of(write_curve(tmp_path / "new" / "curve.png", plot()))
    assert width == 1728
    assert height > 600


def test_the_page_is_escaped_and_says_all(tmp_path: Path) -> None:
    page = write_curve(tmp_path / "new" / "curve.html", plot()).read_text(encoding="utf-8")
    assert "<title>A &lt;b&gt;zone&lt;/b&gt; of 1$</title>" in page
    for words in ("80% band", "expected", "the greenest windows", "estimated by the source", "Said below."):
        assert words in page
    assert "SIMULATED" not in page


@pytest.mark.parametrize("name", ["flat.png", "flat.html"])
def test_made_up_and_flat_values_alone(tmp_path: Path, name: str) -> None:
    flat = series(hours=2, values_gco2_per_kwh=(0.0, 0.0), simulated=True)
    file = write_curve(tmp_path / name, CurvePlot("Nothing", (flat,)))
    if name.endswith("png"):
        assert size_of(file)[0] == 1728
    else:
        assert "SIMULATED" in file.read_text(encoding="utf-8")


def method(name: str) -> Method:
    shares = [[0.9, 0.8, math.nan], [0.7, -0.1, math.nan]]
    return Method(name, [[0.1] * 7, [0.3] * 7], shares, shares)


def test_medians_know_nothing_of_what_is_not_known() -> None:
    assert medians([[0.2, math.nan], [0.4, math.nan]]) == [
        pytest.approx(30.0),
        pytest.approx(math.nan, nan_ok=True),
    ]


@pytest.mark.parametrize("name", ["new/skill.png", "new/skill.html"])
def test_skill(tmp_path: Path, name: str) -> None:
    drawn = SkillPlot(
        title="Two <zones>",
        zones=["DE", "FR"],
        tasks=["4 h in 24 h", "4 h in 48 h", "8 h in 96 h"],
        methods=[method("own"), method("seasonal naive 24 h")],
        caption=["Of a file."],
    )
    file = write_skill(tmp_path / name, drawn)
    if name.endswith("png"):
        assert size_of(file)[0] == 1728
        return
    page = file.read_text(encoding="utf-8")
    assert "<title>Two &lt;zones&gt;</title>" in page
    for words in ("median zone", "seasonal naive 24 h", "8 h in 96 h", "Of a file."):
        assert words in page
    # The median error of 10 % and 30 %.
    assert '"y":[20.0,20.0,20.0,20.0,20.0,20.0,20.0]' in page
