"""What `carbon-policy plan` shows of a queue: places, grams, what limits cost, and what gave way."""

from __future__ import annotations

import io
import json
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from carbon_policy.cli.plan_page import as_page, as_plot
from carbon_policy.cli.plan_shown import ShownPlan, as_document, capacity_sentence, shown_plan
from carbon_policy.cli.plan_view import plan_view
from carbon_policy.domain.decision import Evidence
from carbon_policy.domain.job import JobSpec
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.domain.site import Site, Tier
from carbon_policy.orchestration.queue import WaitingJob, WaitingQueue

NOW = datetime(2026, 11, 25, 8, tzinfo=UTC)
HOUR = timedelta(hours=1)
FAST = Site(name="fast", work_pool="fast", tier=Tier.FAST, zone="DE", power_w=100)
FLEXIBLE = {"urgency": "flexible", "finish_within": "12h", "expected_duration": "1h"}
URGENT = {"urgency": "critical", "expected_duration": "1h"}


def outlook(hours: int = 24, *, simulated: bool = False) -> IntensitySeries:
    """400 g/kWh now, and least at 16:00."""
    values = tuple(250 + 150 * math.cos(hour / 8 * math.pi) for hour in range(hours))
    return IntensitySeries(
        zone="DE", start=NOW, step=HOUR, values_gco2_per_kwh=values, source="stand-in", simulated=simulated
    )


def waiting(name: str, said: dict[str, Any], **fields: Any) -> WaitingJob:
    given = {"job": name, "now": NOW, "submitted_at": NOW, "sites": (FAST,), "outlook": {"DE": outlook()}}
    evidence = Evidence(spec=JobSpec(**said), **{**given, **fields})
    return WaitingJob(f"id-of-{name}", name, f"train/{name}", NOW, NOW + HOUR, evidence)


def queue(*jobs: WaitingJob, places: int | None = None) -> WaitingQueue:
    return WaitingQueue(NOW, jobs, {} if places is None else {"fast": places}, {})


def text_of(shown: ShownPlan, width: int = 140) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(plan_view(shown, width))
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_a_flexible_job_is_planned_into_the_dip_and_its_saving_is_the_forecasts() -> None:
    (one,) = shown_plan(queue(waiting("a", FLEXIBLE))).jobs
    assert one.site == "fast"
    assert one.start is not None
    assert one.start.hour == 16
    # 100 W for an hour: a tenth of a kWh at 400 g/kWh now, and at 100 g/kWh in the dip.
    assert one.at_once_gco2 == pytest.approx(40)
    assert one.gco2 == pytest.approx(10)
    assert one.saved_gco2 == pytest.approx(30)


@pytest.mark.parametrize("width", [72, 80, 109, 110, 200])
def test_in_a_narrow_terminal_no_run_loses_its_name(width: int) -> None:
    shown = text_of(shown_plan(queue(waiting("a-name-of-a-run", FLEXIBLE))), width)
    assert all(len(line) <= width for line in shown.splitlines())
    assert "a-name-of-a-run" in shown
    for said in ("10.0 g", "30.0 g", "fast", "limit"):
        assert said in shown
    assert ("Urgency" in shown) is (width >= 110)


def test_a_job_for_which_the_grid_was_not_asked_is_shown_with_the_others() -> None:
    shown = shown_plan(queue(waiting("a", URGENT, outlook={}), waiting("b", FLEXIBLE)))
    assert [one.start for one in shown.jobs if one.job.name == "a"] == [NOW]
    assert "train/a" in text_of(shown)
    assert not shown_plan(queue(waiting("a", URGENT, outlook={}))).sites


@pytest.mark.parametrize("level", [342.7, 0.1])
def test_on_a_flat_grid_nothing_is_put_off(level: float) -> None:
    flat = outlook().model_copy(update={"values_gco2_per_kwh": (level,) * 24})
    jobs = [waiting(name, FLEXIBLE, outlook={"DE": flat}) for name in "abc"]
    assert {one.start for one in shown_plan(queue(*jobs)).jobs} == {NOW}


def test_a_job_that_never_waits_saves_nothing() -> None:
    (one,) = shown_plan(queue(waiting("a", URGENT))).jobs
    assert one.start == NOW
    assert one.saved_gco2 == pytest.approx(0)


def test_a_limit_spreads_jobs_and_its_price_is_what_it_costs() -> None:
    jobs = [waiting(f"job-{k}", FLEXIBLE) for k in range(4)]
    roomy, tight = shown_plan(queue(*jobs)), shown_plan(queue(*jobs, places=1))
    assert len({one.start for one in roomy.jobs}) == 1
    assert len({one.start for one in tight.jobs}) == 4
    assert roomy.capacity_gco2 == pytest.approx(0)
    assert tight.capacity_gco2 == pytest.approx(tight.total("gco2") - roomy.total("gco2"))
    assert tight.capacity_gco2 > 0
    (site,) = tight.sites
    assert (site.capacity, site.peak, site.full_h) == (1, 1, 4)
    assert site.one_more_gco2 > 0
    assert site.dearest_at is not None
    assert capacity_sentence(roomy).startswith("No site has a limit")
    assert "limits cost" in capacity_sentence(tight)


def test_a_ceiling_for_dirty_hours_is_a_limit_too() -> None:
    dirty = FAST.model_copy(update={"dirty_gco2_per_kwh": 50.0, "dirty_capacity": 1})
    jobs = [waiting(f"job-{k}", FLEXIBLE, sites=(dirty,)) for k in range(4)]
    shown = shown_plan(queue(*jobs))
    assert len({one.start for one in shown.jobs}) == 4
    # With room for all, the four of them run in the dip, at 10 g each.
    assert shown.capacity_gco2 == pytest.approx(shown.total("gco2") - 4 * 10)
    assert shown.capacity_gco2 > 1
    assert "limits cost" in capacity_sentence(shown)
    (site,) = shown.sites
    assert (site.capacity, site.dirty_capacity, site.peak, site.full_h) == (None, 1, 1, 4)
    assert "no limit (dirty: 1)" in text_of(shown)


def test_what_does_not_fit_is_sacrificed_by_urgency_and_named() -> None:
    normal = {"urgency": "normal", "finish_within": "1h", "expected_duration": "1h"}
    shown = shown_plan(queue(waiting("urgent", URGENT), waiting("usual", normal), places=1))
    (lost,) = shown.sacrificed
    assert lost.job.name == "usual"
    assert "id-of" not in lost.sacrificed
    assert "Sacrificed: usual" in text_of(shown)
    assert any(table.title == "What was sacrificed" for table in as_page(shown).tables)


def test_an_interruptible_job_may_be_planned_in_slices() -> None:
    said = {**FLEXIBLE, "expected_duration": "2h", "interruptible": True, "finish_within": "14h"}
    values = tuple(500.0 if hour % 6 else 50.0 for hour in range(24))
    series = IntensitySeries(
        zone="DE", start=NOW, step=HOUR, values_gco2_per_kwh=values, source="stand-in", simulated=True
    )
    (one,) = shown_plan(queue(waiting("a", said, outlook={"DE": series}))).jobs
    assert [(part.start - NOW, part.finish - part.start) for part in one.slices][1:] == [(6 * HOUR, HOUR)]
    assert "in 2 slices" in text_of(shown_plan(queue(waiting("a", said, outlook={"DE": series}))))


def test_the_document_says_what_the_terminal_says() -> None:
    shown = shown_plan(queue(waiting("a", FLEXIBLE), waiting("b", URGENT), places=1))
    document = json.loads(json.dumps(as_document(shown)))
    assert document["totals"]["jobs"] == 2
    assert document["totals"]["plan_gco2"] == pytest.approx(sum(job["plan_gco2"] for job in document["jobs"]))
    assert [job["name"] for job in document["jobs"]] == ["b", "a"]
    assert document["jobs"][1]["slices"] == [
        {"start": "2026-11-25T16:00:00Z", "finish": "2026-11-25T17:00:00Z"}
    ]
    text = text_of(shown)
    assert "a (train/a)" in text
    assert "40.0 g" in text


def test_without_a_grid_nothing_is_planned_and_it_says_so() -> None:
    shown = shown_plan(queue(waiting("a", FLEXIBLE, outlook={})))
    assert not shown.sites
    assert any("Nothing is known of the grid" in remark for remark in shown.remarks)
    assert "a (train/a)" in text_of(shown)
    assert as_page(shown).tables[0].rows[0][0] == "a"


def test_an_empty_queue_says_so() -> None:
    shown = shown_plan(queue())
    assert not shown.remarks
    assert "No run is waiting" in text_of(shown)
    assert as_document(shown)["jobs"] == []


def test_a_made_up_grid_is_called_so() -> None:
    jobs = (waiting("a", FLEXIBLE, outlook={"DE": outlook(simulated=True)}),)
    shown = shown_plan(queue(*jobs))
    assert shown.simulated
    assert "SIMULATED" in text_of(shown)
    assert as_page(shown).simulated


def test_what_was_left_out_is_a_remark() -> None:
    shown = shown_plan(replace(queue(waiting("a", FLEXIBLE)), left_out=("b: it is broken.",)))
    assert shown.remarks == ("b: it is broken.",)
    late = replace(waiting("late", FLEXIBLE), due_at=NOW + 90 * HOUR)
    assert any(
        "1 job that no site takes" in remark
        for remark in shown_plan(queue(waiting("a", FLEXIBLE), late)).remarks
    )


def test_the_plot_ends_where_the_jobs_do_and_not_before_a_day() -> None:
    plot = as_plot(shown_plan(queue(waiting("a", FLEXIBLE))))
    assert (plot.start, plot.end) == (NOW, NOW + 24 * HOUR)
    assert [job.label for job in plot.jobs] == ["saves 30.0 g"]
    assert plot.sites == ["fast"]
