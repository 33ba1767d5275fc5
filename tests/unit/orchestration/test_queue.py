"""The waiting queue as a fleet problem: windows, durations, power and capacity in slots."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from carbon_policy.domain.decision import Evidence
from carbon_policy.domain.job import JobSpec
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.domain.site import Site, Tier
from carbon_policy.orchestration.blocks import CarbonSite
from carbon_policy.orchestration.queue import STEP, WaitingJob, WaitingQueue, as_problem

NOW = datetime(2026, 11, 25, 8, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)
FAST = Site(name="fast", work_pool="fast", tier=Tier.FAST, zone="DE", power_w=100, pue=1.2, free=1)
ECO = Site(name="eco", work_pool="eco", tier=Tier.ECO, zone="DE", power_w=40, speed=0.5)
FOREIGN = Site(name="gb", work_pool="gb", tier=Tier.ECO, zone="GB", power_w=100)
FLEXIBLE: dict[str, Any] = {"urgency": "flexible", "finish_within": "6h", "expected_duration": "50m"}


def outlook(zone: str = "DE", hours: int = 24) -> IntensitySeries:
    values = tuple(100.0 + 10 * hour for hour in range(hours))
    start = NOW.replace(minute=0)
    return IntensitySeries(
        zone=zone, start=start, step=HOUR, values_gco2_per_kwh=values, source="stand-in", issued_at=start
    )


def waiting(name: str = "a", due_at: datetime = NOW, sites: Any = (FAST, ECO), **said: Any) -> WaitingJob:
    evidence = Evidence(
        job=name,
        now=NOW,
        submitted_at=min(due_at, NOW),
        spec=JobSpec(**(said or FLEXIBLE)),
        sites=sites,
        outlook={"DE": outlook()},
    )
    return WaitingJob(name, name, f"flow/{name}", due_at, due_at, evidence)


def problem(*jobs: WaitingJob, **fields: Any) -> Any:
    found = as_problem(WaitingQueue(NOW, jobs, **fields))
    assert found is not None
    return found


def test_a_job_for_which_the_grid_was_not_asked_is_planned_by_what_it_says_of_the_others() -> None:
    critical = waiting("critical", urgency="critical", expected_duration="30m")
    # A job that never waits has no need of an outlook.
    unasked = replace(critical, evidence=critical.evidence.model_copy(update={"outlook": {}}))
    flexible, urgent = problem(waiting(), unasked).jobs
    assert (urgent.first_slot, urgent.transfer_gco2) == (0, {"fast": 0})
    assert set(flexible.duration_slots) == {"fast", "eco"}
    assert as_problem(WaitingQueue(NOW, (unasked,))) is None


def test_a_job_takes_whole_slots_and_its_real_energy() -> None:
    (job,) = problem(waiting()).jobs
    assert job.duration_slots == {"fast": 4, "eco": 7}
    # 50 minutes at 100 W, spread over an hour; 100 minutes at 40 W over an hour and three quarters.
    assert job.power_kw["fast"] == pytest.approx(0.1 * 50 / 60)
    assert job.power_kw["eco"] == pytest.approx(0.04 * 100 / 105)
    assert (job.first_slot, job.deadline_slot) == (0, 24)


def test_a_job_that_is_due_later_waits_for_its_time_at_least() -> None:
    (job,) = problem(waiting(due_at=NOW + timedelta(minutes=20))).jobs
    assert job.first_slot == 2
    assert job.deadline_slot == int((6 * HOUR + timedelta(minutes=20)) // STEP)


def test_slots_carry_the_mean_intensity_of_the_time_that_they_cover() -> None:
    (site, *_) = (site for site in problem(waiting()).sites if site.name == "fast")
    # From ten past eight on: the fourth slot has five minutes of this hour and ten of the next.
    assert site.gco2_per_kwh[0] == pytest.approx(100)
    assert site.gco2_per_kwh[3] == pytest.approx((100 * 5 + 110 * 10) / 15)


@pytest.mark.parametrize(
    "said",
    [
        {"urgency": "normal", "expected_duration": "50m"},
        {"urgency": "critical"},
        {**FLEXIBLE, "mode": "observe"},
    ],
)
def test_a_job_without_leave_to_wait_has_one_place_where_it_goes_without_us(said: dict[str, Any]) -> None:
    (job,) = problem(waiting(**said)).jobs
    assert set(job.duration_slots) == {"fast"}
    assert job.deadline_slot - job.first_slot == job.duration_slots["fast"]


def test_a_deadline_that_rounding_would_break_is_kept() -> None:
    tight: dict[str, Any] = {
        "urgency": "flexible",
        "finish_within": "52m",
        "expected_duration": "50m",
        "allowed_sites": "fast",
    }
    (job,) = problem(waiting(**tight)).jobs
    assert job.deadline_slot - job.first_slot >= job.duration_slots["fast"]


def test_hours_in_which_it_may_start_open_and_close_its_window() -> None:
    (job,) = problem(waiting(**FLEXIBLE, allowed_hours="10:00-11:00", allowed_sites="fast")).jobs
    begins, ends = (NOW + slot * STEP for slot in (job.first_slot, job.deadline_slot))
    assert begins >= NOW.replace(hour=10, minute=0)
    assert ends <= NOW.replace(hour=11, minute=50)


def test_what_runs_now_holds_its_places_for_an_hour() -> None:
    found = problem(waiting(), capacity={"fast": 3}, busy={"fast": 2})
    capacity = {site.name: site.capacity for site in found.sites}
    assert capacity["eco"] is None
    assert np.array_equal(capacity["fast"][:5], [1, 1, 1, 1, 3])


def test_a_dirty_hour_has_a_lower_ceiling_where_the_site_says_so() -> None:
    site = FAST.model_copy(update={"dirty_gco2_per_kwh": 200.0, "dirty_capacity": 1})
    [found] = problem(waiting(sites=(site,)), capacity={"fast": 3}).sites
    assert found.ceiling is not None
    assert (found.ceiling(199.9) >= 3, found.ceiling(200.0)) == (True, 1)
    unlimited = as_problem(WaitingQueue(NOW, (waiting(sites=(site,)),)), with_capacity=False)
    assert unlimited is not None
    assert unlimited.sites[0].ceiling is None


def test_half_a_ceiling_is_refused() -> None:
    with pytest.raises(ValidationError, match="belong together"):
        Site(name="a", work_pool="a", tier=Tier.FAST, zone="DE", power_w=1, dirty_capacity=2)
    with pytest.raises(ValidationError, match="belong together"):
        CarbonSite(work_pool="a", tier=Tier.FAST, zone="DE", power_w=1, dirty_gco2_per_kwh=200)


def test_without_capacity_there_is_room_for_all() -> None:
    found = as_problem(WaitingQueue(NOW, (waiting(),), {"fast": 3}, {"fast": 2}), with_capacity=False)
    assert found is not None
    assert all(site.capacity is None for site in found.sites)


def test_a_site_of_whose_grid_nothing_is_known_takes_no_job() -> None:
    found = problem(waiting(sites=(FAST, FOREIGN)))
    assert [site.name for site in found.sites] == ["fast"]


def test_a_job_that_is_due_after_the_outlook_ends_is_left_out() -> None:
    found = problem(waiting("now"), waiting("late", due_at=NOW + 40 * HOUR))
    assert [job.name for job in found.jobs] == ["now"]


def test_data_that_is_moved_is_charged_where_it_has_to_go() -> None:
    series = {"DE": outlook(), "GB": outlook("GB")}
    job = waiting(sites=(FAST, FOREIGN), **FLEXIBLE, data_gb=50)
    moved = WaitingJob(**{**vars(job), "evidence": job.evidence.model_copy(update={"outlook": series})})
    (found,) = problem(moved).jobs
    assert found.transfer_gco2["fast"] == 0
    assert found.transfer_gco2["gb"] == pytest.approx(50 * 0.001 * 100)


def test_nothing_waits_or_nothing_is_known_and_there_is_no_problem() -> None:
    assert as_problem(WaitingQueue(NOW)) is None
    job = waiting()
    dark = WaitingJob(**{**vars(job), "evidence": job.evidence.model_copy(update={"outlook": {}})})
    assert as_problem(WaitingQueue(NOW, (dark,))) is None
