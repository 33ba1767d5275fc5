"""The grams of a run that started before it was due are settled when those of its due time are known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from carbon_policy.domain.decision import Action, Decision, Evidence, ReasonCode
from carbon_policy.domain.job import JobSpec
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.domain.site import Site, Tier
from carbon_policy.grid.chain import Outlook
from carbon_policy.orchestration.collect import _actual
from carbon_policy.outlook.view import GridView

START = datetime(2026, 11, 22, tzinfo=UTC)
HOUR = timedelta(hours=1)
DUE = START + 6 * HOUR
SITES = tuple(
    Site(name=zone, work_pool=zone, tier=Tier.FAST, zone=zone, power_w=100) for zone in ("DE", "FR")
)


class Measured:
    """A grid whose intensities are known up to a moment, or, as of a simulation, for ever."""

    def __init__(self, until: datetime) -> None:
        self.until = until
        self.asked: list[tuple[str, datetime, datetime]] = []

    def actuals(self, zone: str, start: datetime, end: datetime) -> Outlook:
        self.asked.append((zone, start, end))
        slots = max(1, int((min(end, self.until) - start) / HOUR))
        values = (100.0,) * slots
        return Outlook(
            IntensitySeries(
                zone=zone,
                start=start,
                step=HOUR,
                values_gco2_per_kwh=values,
                source="test",
                estimated=(True,) * slots,
            )
        )


def known(grid: Measured, now: datetime) -> dict[str, Any]:
    """What is known of a run of an hour at `START`, in FR, that was due six hours later in DE."""
    evidence = Evidence(
        job="a",
        now=START,
        submitted_at=DUE,
        spec=JobSpec(start_early="6h"),
        sites=SITES,
    )
    decision = Decision(
        action=Action.RUN,
        site="FR",
        start=START,
        reason=ReasonCode.GREENER_EARLY,
        sentence="",
        evidence=evidence,
    )
    return _actual(decision, (START, START + HOUR), HOUR, cast(GridView, grid), now)[0]


@pytest.mark.parametrize(
    ("now", "until", "zones"),
    [
        (START + 2 * HOUR, START + 2 * HOUR, set()),
        (DUE + HOUR / 2, START + 100 * HOUR, set()),
        (DUE + 2 * HOUR, START + 3 * HOUR, set()),
        (DUE + 2 * HOUR, DUE + HOUR, {"DE", "FR"}),
    ],
    ids=["not-due-yet", "a-grid-that-knows-the-future", "not-measured-yet", "measured"],
)
def test_actuals_reach_to_the_end_of_what_it_is_compared_with(
    now: datetime, until: datetime, zones: set[str]
) -> None:
    assert set(known(Measured(until), now)) == zones


def test_all_of_it_is_asked_for_and_estimates_settle_a_week_after_its_end() -> None:
    grid = Measured(START + 100 * HOUR)
    fresh = known(grid, DUE + timedelta(days=7))
    assert {(start, end) for _, start, end in grid.asked} == {(START, DUE + HOUR)}
    assert any(fresh["DE"].estimated)
    old = known(grid, DUE + timedelta(days=7, hours=2))
    assert not any(old["DE"].estimated)
