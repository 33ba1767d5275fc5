"""When a run that is interruptible asks whether it goes on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun

from carbon_policy.domain.decision import Action, Evidence, Slice
from carbon_policy.domain.estimate import Estimate, EstimateBasis
from carbon_policy.domain.job import JobSpec, Urgency
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.orchestration.slicing import Standing, _as_label, _guessed, _of_label, next_question
from carbon_policy.policies import decide
from carbon_policy.policies.load import load_on
from tests.unit.policies.strategies import FAST

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SPEC = JobSpec(interruptible=True, stop_cost=timedelta(minutes=1), shortest_slice=timedelta(minutes=15))


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def slices(*spans: tuple[float, float]) -> list[Slice]:
    return [Slice(start=at(start), finish=at(finish)) for start, finish in spans]


@pytest.mark.parametrize(
    ("planned", "began", "asks"),
    [
        pytest.param(slices(), 0, None, id="no slices: to its end"),
        pytest.param(slices((0, 60), (120, 180)), 0, 59, id="when its slice has just room to stop"),
        pytest.param(slices((0, 60), (120, 180)), 121, 179, id="in its second slice"),
        pytest.param(slices((0, 60)), 50, 65, id="not before the shortest slice is run"),
        pytest.param(slices((0, 60)), 90, 105, id="started late: its slice has passed"),
        pytest.param(slices((30, 60)), 0, 15, id="started before its slice"),
        pytest.param(slices((0.25, 60)), 0, 59, id="a worker that is a little early"),
    ],
)
def test_it_asks_at_the_end_of_its_slice(planned: list[Slice], began: float, asks: float | None) -> None:
    found = next_question(planned, SPEC, at(began), at(began))
    assert found == (None if asks is None else at(asks))


def test_a_slice_is_kept_in_a_label() -> None:
    [only] = slices((0, 60))
    assert _of_label(_as_label(only)) == (only,)
    assert _of_label(_as_label(None)) == ()


@pytest.mark.parametrize("ran", [57, 90, 150, 175])
@pytest.mark.parametrize("greenest_hour", [2, 3])
def test_a_job_that_does_not_say_how_far_it_is_keeps_its_deadline_for_nine_in_ten(
    ran: int, greenest_hour: int
) -> None:
    # Expected to take 1 h, at most 3 h, due in 4 h, and it turns out to be one that takes 3 h.
    high, due = timedelta(hours=3), timedelta(hours=4)
    values = [400.0] * 6
    values[greenest_hour] = 50.0
    evidence = Evidence(
        job="a",
        now=NOON,
        submitted_at=NOON,
        spec=SPEC.model_copy(update={"finish_within": due, "urgency": Urgency.FLEXIBLE}),
        sites=(FAST,),
        outlook={
            "DE": IntensitySeries(
                zone="DE",
                start=NOON,
                step=timedelta(hours=1),
                values_gco2_per_kwh=tuple(values),
                source="test",
            )
        },
        estimates={
            "fast": Estimate(duration=timedelta(hours=1), duration_high=high, basis=EstimateBasis.LEARNT)
        },
    )
    run = FlowRun(flow_id=uuid4(), estimated_run_time=timedelta(minutes=ran))
    share = _guessed(run, Standing(decide(evidence), "fast", ()))
    known = evidence.model_copy(update={"now": at(ran), "progress": share})
    answer = decide(known)
    assert answer.chosen is not None
    overruns_by = high - timedelta(minutes=ran) - load_on(known, FAST).duration
    stopped = answer.action is Action.DEFER or answer.chosen.slices
    assert answer.chosen.finish + overruns_by <= NOON + due or not stopped


def test_without_an_estimate_what_is_said_of_the_job_is_judged_by() -> None:
    spec = JobSpec(interruptible=True, expected_duration=timedelta(hours=2))
    evidence = Evidence(job="a", now=NOON, submitted_at=NOON, spec=spec, sites=(FAST,))
    standing = Standing(decide(evidence), "fast", ())
    run = FlowRun(flow_id=uuid4(), estimated_run_time=timedelta(minutes=30))
    assert _guessed(run, standing) == 0.25
    long = run.model_copy(update={"estimated_run_time": timedelta(hours=9)})
    assert _guessed(long, standing) == 0.95
