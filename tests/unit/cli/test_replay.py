"""What `carbon-policy replay` shows of past runs: grams on the grid as it was, under each policy."""

from __future__ import annotations

import io
import json
import math
from collections import Counter
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from carbon_policy.cli.replay_grid import SLOTS_PER_HOUR, PastGrid, known_then
from carbon_policy.cli.replay_shown import OUTSIDE, ShownReplay, as_document, assumptions, shown_replay
from carbon_policy.cli.replay_view import as_page, replay_view
from carbon_policy.cli.replay_worlds import AS_IT_WAS, AT_ONCE, ORACLE, OURS
from carbon_policy.domain.errors import InvalidInputError, SetupError
from carbon_policy.domain.job import JobSpec, Urgency
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.domain.site import Site, Tier
from carbon_policy.grid.trace_file import write_trace
from carbon_policy.orchestration.past_runs import Assumptions, PastRun, PastRuns, Wanted
from carbon_policy.outlook.view import GridView
from tests.unit.cli.conftest import RunCli

START = datetime(2026, 11, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
FAST = Site(name="fast", work_pool="fast", tier=Tier.FAST, zone="DE", power_w=1000, pue=1.5)


def history(days: int = 14) -> IntensitySeries:
    """Each day alike: 400 g/kWh at midnight, and 200 at noon."""
    values = tuple(300 + 100 * math.cos(hour / 12 * math.pi) for hour in range(24 * days))
    return IntensitySeries(zone="DE", start=START, step=HOUR, values_gco2_per_kwh=values, source="stand-in")


def run(due_at: datetime, name: str = "a", **fields: Any) -> PastRun:
    spec = JobSpec(urgency="flexible", finish_within="14h", expected_duration="1h")
    given = {"submitted_at": due_at, "started_at": due_at, "duration": HOUR, "site": FAST, "assumed": True}
    return PastRun(run_id=name, name=name, deployment=f"train/{name}", **{"spec": spec, **given, **fields})


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    write_trace(history(), tmp_path / "grid.csv")
    return tmp_path / "grid.csv"


def replayed(trace: Path, *runs: PastRun, left_out: Counter[str] | None = None) -> ShownReplay:
    found = PastRuns(list(runs), left_out or Counter())
    wanted, assumed = Wanted(START, START + 14 * DAY), Assumptions(None, 14 * HOUR)
    return shown_replay(found, wanted, assumed, power_given=False, grid=GridView(), trace=trace)


def test_grams_are_power_by_pue_by_the_grid_as_it_was(trace: Path) -> None:
    shown = replayed(trace, run(START + 8 * DAY))
    # 1.5 kW for the hour that begins at midnight, and for the greenest hour of a day that is like the others.
    assert shown.result(AS_IT_WAS).total_gco2 == pytest.approx(1.5 * 400)
    assert shown.result(ORACLE).total_gco2 == pytest.approx(1.5 * 200)
    assert shown.result(OURS).total_gco2 == pytest.approx(1.5 * 200, rel=0.02)
    assert shown.result(ORACLE).mean_wait_h == 12


def test_a_run_that_started_late_is_charged_for_when_it_ran(trace: Path) -> None:
    shown = replayed(trace, run(START + 8 * DAY, started_at=START + 8 * DAY + 6 * HOUR))
    assert shown.result(AS_IT_WAS).total_gco2 == pytest.approx(1.5 * 300)
    assert shown.result(AT_ONCE).total_gco2 == pytest.approx(1.5 * 400)
    assert shown.saved_gco2(shown.result(AT_ONCE)) == pytest.approx(-150)
    assert shown.result(AS_IT_WAS).mean_wait_h == 6


def test_the_energy_of_a_run_is_its_own_whatever_the_slots(trace: Path) -> None:
    odd = run(START + 8 * DAY, duration=timedelta(minutes=7))
    assert replayed(trace, odd).result(AS_IT_WAS).total_gco2 == pytest.approx(1.5 * 7 / 60 * 400)


def test_a_critical_run_is_never_moved(trace: Path) -> None:
    shown = replayed(trace, run(START + 8 * DAY, spec=JobSpec(urgency=Urgency.CRITICAL, finish_within="14h")))
    assert all(result.total_gco2 == pytest.approx(600) for result in shown.results)


def test_an_interruptible_run_may_be_cut_up(trace: Path) -> None:
    spec = JobSpec(urgency="flexible", finish_within="40h", expected_duration="4h", interruptible=True)
    long: dict[str, Any] = {"duration": 4 * HOUR, "started_at": START + 8 * DAY}
    whole = run(START + 8 * DAY, **long, spec=spec.model_copy(update={"interruptible": False}))
    cut = run(START + 8 * DAY, **long, spec=spec)
    grams = [replayed(trace, one).result(ORACLE).total_gco2 for one in (whole, cut)]
    assert grams[1] < grams[0]


def test_runs_at_once_are_counted(trace: Path) -> None:
    shown = replayed(trace, *(run(START + 8 * DAY + k * HOUR, name=f"r{k}") for k in range(3)))
    assert shown.result(AS_IT_WAS).peak == 1
    assert shown.result(ORACLE).peak == 3


def test_what_lies_outside_of_the_known_grid_is_left_out_and_counted(trace: Path) -> None:
    shown = replayed(trace, run(START + 8 * DAY), run(START + 14 * DAY - 2 * HOUR, name="recent"))
    assert [one.name for one in shown.runs] == ["a"]
    assert shown.left_out == {OUTSIDE: 1}
    assert any(OUTSIDE in sentence for sentence in assumptions(shown))


def test_where_no_run_can_be_replayed_the_reason_is_said(trace: Path) -> None:
    with pytest.raises(InvalidInputError, match="3 still under way"):
        replayed(trace, left_out=Counter({"still under way": 3}))
    with pytest.raises(InvalidInputError, match="more --days"):
        replayed(trace)
    with pytest.raises(InvalidInputError, match="outside"):
        replayed(trace, run(START + 90 * DAY))


def test_without_history_it_is_perfect_knowledge_and_called_so(trace: Path) -> None:
    shown = replayed(trace, run(START + 2 * HOUR))
    assert "too little history" in shown.result(OURS).knows
    assert "own forecasts" in replayed(trace, run(START + 8 * DAY)).result(OURS).knows


def test_forecasts_that_were_kept_are_taken_and_none_that_was_issued_later() -> None:
    past = PastGrid.of(history())
    asked: list[datetime] = []

    def kept(moment: datetime) -> IntensitySeries:
        """It says the hour of its own issue."""
        asked.append(moment)
        return IntensitySeries(
            zone="DE",
            start=moment,
            step=HOUR,
            values_gco2_per_kwh=((moment - START) / HOUR,) * 60,
            source="kept",
            issued_at=moment,
        )

    first = START + 8 * DAY
    outlook = known_then(past, first, first + 12 * HOUR, kept)
    seen = outlook.at(past.slot(first), 24 * SLOTS_PER_HOUR)
    assert outlook.name == "the forecasts that were kept"
    assert seen[0] == pytest.approx(400)
    assert np.all(seen[SLOTS_PER_HOUR:] == 8 * 24)
    later = outlook.at(past.slot(first + timedelta(minutes=90)), 24 * SLOTS_PER_HOUR)
    assert np.all(later[SLOTS_PER_HOUR:] == 8 * 24 + 1)
    assert min(asked) == first - HOUR


def test_a_region_on_the_command_line_is_resolved_once_for_all_it_stands_for(
    run_cli: RunCli, monkeypatch: pytest.MonkeyPatch
) -> None:
    assumed: list[Assumptions] = []

    def no_runs(
        client: None, wanted: Wanted, sites: list[Site], policy: None, given: Assumptions
    ) -> PastRuns:
        assumed.append(given)
        return PastRuns()

    def no_directory(client: None, block: str) -> None:
        raise SetupError("No policy was set up.")

    monkeypatch.setattr("carbon_policy.cli.server.connected", nullcontext)
    monkeypatch.setattr("carbon_policy.orchestration.directory.read_directory", no_directory)
    monkeypatch.setattr("carbon_policy.orchestration.past_runs.read_past_runs", no_runs)
    result = run_cli("replay", "--zone", "aws:eu-west-1", "--power-w", "350")
    assert result.stderr.count("is fed by IE") == 1
    assert "ask for more --days" in result.stderr
    (given,) = assumed
    assert given.site is not None
    assert (given.site.name, given.site.zone, given.site.power_w) == ("assumed", "IE", 350)


def test_the_document_and_the_page_say_what_the_terminal_says(trace: Path) -> None:
    shown = replayed(trace, run(START + 8 * DAY), run(START + 9 * DAY, name="b", duration=2 * HOUR))
    document = json.loads(json.dumps(as_document(shown)))
    ours = next(one for one in document["policies"] if one["policy"] == OURS)
    assert ours["saved_gco2"] == pytest.approx(document["policies"][0]["gco2"] - ours["gco2"])
    assert sum(one["saved_gco2"] for one in document["deployments"]) == pytest.approx(ours["saved_gco2"])
    console = Console(file=io.StringIO(), width=160)
    console.print(replay_view(shown))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    for said in ("train/a", "oracle", "1000 W x PUE 1.5", "2 runs nobody says how flexible"):
        assert said in text
    assert [row[0] for row in as_page(shown).tables[0].rows] == [
        one["policy"] for one in document["policies"]
    ]
