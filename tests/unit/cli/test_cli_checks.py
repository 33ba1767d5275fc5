from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from carbon_policy.cli.checks import local
from carbon_policy.cli.checks.finding import Finding, Level, guarded
from carbon_policy.cli.checks.grid import check_grid, check_keyless
from carbon_policy.cli.checks.history import check_history
from carbon_policy.grid.neso import NesoGrid
from carbon_policy.grid.simulated import SimulatedGrid
from carbon_policy.grid.trace import TraceGrid
from carbon_policy.store.history import History
from tests.unit.cli.conftest import StandInGrid, floor, wave

NOW = datetime(2026, 11, 24, 12, 10, tzinfo=UTC)


def test_a_source_on_the_network_is_not_asked_unless_told_to() -> None:
    (finding,) = check_grid(["GB"], [NesoGrid()], live=False)
    assert (finding.level, finding.mend) == (Level.OK, "carbon-policy doctor --live")
    assert "not asked" in finding.says


def test_made_up_values_are_called_so() -> None:
    (finding,) = check_grid(["DE"], [SimulatedGrid()], live=False)
    assert finding.level is Level.OK
    assert "made up" in finding.says


def test_a_source_that_fails_is_a_warning_and_none_at_all_a_failure() -> None:
    broken = TraceGrid(path=Path("nowhere.csv"))
    chain = list(check_grid(["DE"], [broken, SimulatedGrid()], live=False))
    assert [finding.level for finding in chain] == [Level.WARN, Level.OK]
    alone = list(check_grid(["DE"], [broken], live=False))
    assert [finding.level for finding in alone] == [Level.WARN, Level.FAIL]
    assert "grid_sources" in alone[-1].mend


def test_a_version_out_of_bounds_fails_and_says_what_to_install() -> None:
    finding = local._version(
        "fastapi", "0.155.0", SpecifierSet(">=0.139,<0.151"), "pip install 'fastapi<0.151'"
    )
    assert finding.level is Level.FAIL
    assert "0.155.0" in finding.says
    assert finding.mend == "pip install 'fastapi<0.151'"


def test_a_check_that_breaks_is_a_finding() -> None:
    def breaks() -> Iterator[Finding]:
        yield Finding(Level.OK, "this", "fine")
        raise RuntimeError("out of cheese")

    assert [(finding.level, finding.says) for finding in guarded("that", breaks)] == [
        (Level.OK, "fine"),
        (Level.FAIL, "out of cheese"),
    ]


def test_a_live_call_shows_what_came_back(live_grid: StandInGrid) -> None:
    (quiet,) = check_grid(["DE"], [], live=False)
    assert "not asked" in quiet.says
    (asked,) = check_grid(["DE"], [], live=True)
    assert asked.level is Level.OK
    for words in ("stand-in: ", "g/kWh now", "ahead in steps of 30m", "issued ", "(average, life-cycle)"):
        assert words in asked.says
    live_grid.answers = False
    failed, none = check_grid(["DE"], [], live=True)
    assert (failed.level, none.level) == (Level.WARN, Level.FAIL)
    assert "out of order" in failed.says


def test_every_source_of_a_zone_is_called_and_of_no_other(live_grid: StandInGrid) -> None:
    class Keyed(StandInGrid):
        def capabilities(self):
            return super().capabilities().model_copy(update={"name": "keyed", "zones": ("DE", "FR")})

    class Elsewhere(StandInGrid):
        def capabilities(self):
            return super().capabilities().model_copy(update={"name": "elsewhere", "zones": ("JP",)})

    found = list(check_grid(["DE"], [NesoGrid()], live=False, keyed=lambda: [Keyed(), Elsewhere()]))
    assert [finding.says.partition(":")[0] for finding in found] == ["neso", "stand-in", "keyed"]
    # A team in a world of its own is asked of nothing else.
    (own,) = check_grid(["DE"], [SimulatedGrid()], live=False, keyed=lambda: [Keyed()])
    assert own.says.startswith("simulated: ")


def test_without_a_team_each_keyless_source_is_named() -> None:
    found = list(check_keyless(live=False))
    assert [finding.what for finding in found] == ["grid GB", "grid DK-DK1", "grid DE"]
    assert all("not asked" in finding.says for finding in found)


@pytest.mark.parametrize(
    ("slots_age_h", "own_age_h", "level"),
    [(1, 1, Level.OK), (9, 1, Level.WARN), (1, 9, Level.WARN), (1, None, Level.WARN)],
)
def test_a_store_that_nobody_refreshes_is_a_warning(
    history: History, slots_age_h: int, own_age_h: int | None, level: Level
) -> None:
    last = floor(NOW) - timedelta(hours=slots_age_h)
    history.record(wave(last - timedelta(days=1), 49), fetched_at=NOW)
    if own_age_h is not None:
        issued = NOW - timedelta(hours=own_age_h)
        own = wave(floor(issued), 96, issued_at=issued).model_copy(update={"source": "own forecast"})
        history.record_forecast(own, fetched_at=issued)
    store, zone = check_history(["DE"], NOW)
    assert store.says == f"1 zone, 49 slots, {'1 forecast' if own_age_h else '0 forecasts'}"
    assert zone.level is level
    assert zone.says.startswith(f"49 slots, the newest of {slots_age_h}h 10m ago; ")
    assert zone.mend == ("" if level is Level.OK else "carbon-policy refresh DE")


def test_a_zone_of_which_nothing_is_stored(history: History) -> None:
    _, zone = check_history(["FR"], NOW)
    assert (zone.level, zone.mend) == (Level.WARN, "carbon-policy backfill FR")


def test_a_store_that_cannot_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_INTEGRATIONS_CARBON_HISTORY_URL", f"sqlite:///{tmp_path}")
    (finding,) = guarded("history", lambda: check_history([]))
    assert finding.level is Level.FAIL
    assert "cannot be used" in finding.says
