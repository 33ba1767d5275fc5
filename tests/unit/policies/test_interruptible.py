"""Interruptible jobs: worth their stops, done in time whatever happens, and never dirtier than running through."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbon_policy.domain.decision import Action, Decision, Evidence, Plan, PolicySettings, ReasonCode
from carbon_policy.domain.estimate import Estimate, EstimateBasis
from carbon_policy.domain.job import JobSpec
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.policies import decide
from carbon_policy.policies.interruptible import interruptible
from carbon_policy.policies.needs import reference_site
from carbon_policy.policies.verdict import Verdict
from tests.unit.policies.strategies import FAST, START, evidence, series

HOUR = timedelta(hours=1)
TICK = timedelta(milliseconds=1)


def verdict_on(known: Evidence) -> Verdict:
    reference = reference_site(known)
    assert reference is not None
    return interruptible(known, reference)


def known_of(
    values: list[float], *, now: datetime = START, sites: tuple = (FAST,), **said: object
) -> Evidence:
    """A flexible, interruptible job of three hours on an hourly outlook."""
    about = {name: said.pop(name) for name in tuple(said) if name in Evidence.model_fields}
    spec = {
        "urgency": "flexible",
        "interruptible": True,
        "expected_duration": 3 * HOUR,
        "finish_within": timedelta(hours=len(values)),
    }
    outlook = IntensitySeries(
        zone="DE", start=START, step=HOUR, values_gco2_per_kwh=tuple(values), source="test"
    )
    fields = {"submitted_at": START, "outlook": {"DE": outlook}} | about
    return Evidence(job="a", now=now, spec=JobSpec(**(spec | said)), sites=sites, **fields)


VALLEYS = [300.0, 300, 50, 300, 300, 50, 300, 300, 50, 300, 300, 300]


def test_it_waits_for_the_first_of_its_slices() -> None:
    verdict = verdict_on(known_of(VALLEYS))
    assert (verdict.action, verdict.reason) == (Action.DEFER, ReasonCode.GREENER_SLICES)
    starts = [item.start for item in verdict.option.slices]
    assert starts == [START + hour * HOUR for hour in (2, 5, 8)]
    # Two breaks of 90 s each are made up, in the dirtier hour after a valley.
    assert verdict.option.finish == START + 9 * HOUR + timedelta(minutes=3)
    assert "first of 3 greener slices on fast" in verdict.sentence
    assert "75% less carbon expected against running at once on fast" in verdict.sentence


def test_it_runs_now_until_its_first_slice_ends() -> None:
    verdict = verdict_on(known_of([50.0, *VALLEYS[:8]]))
    assert (verdict.action, verdict.reason) == (Action.RUN, ReasonCode.SLICE_NOW)
    assert verdict.option.slices[0].start == START
    assert "until 01:00 UTC, the first of 3 slices" in verdict.sentence


def test_one_slice_is_a_run_without_a_break() -> None:
    verdict = verdict_on(known_of([300.0, 300, 300, 50, 50, 50, 50, 300]))
    assert (verdict.action, verdict.reason) == (Action.DEFER, ReasonCode.GREENER_LATER)
    assert verdict.option.slices == ()
    verdict = verdict_on(known_of([50.0, 50, 50, 300, 300, 300, 300, 300]))
    assert (verdict.action, verdict.reason) == (Action.RUN, ReasonCode.GREENEST_NOW)
    assert verdict.option.slices == ()


def test_a_small_saving_is_not_worth_a_stop() -> None:
    values = [100.0, 100, 104, 100, 104, 100, 104, 104]
    verdict = verdict_on(known_of(values, stop_cost="0s", restart_cost="0s"))
    assert (verdict.action, verdict.reason) == (Action.RUN, ReasonCode.SAVING_TOO_SMALL)
    eager = known_of(values, stop_cost="0s", restart_cost="0s", minimum_saving=0.01)
    assert verdict_on(eager).reason is ReasonCode.SLICE_NOW


def test_without_a_limit_there_is_no_leave_to_rest() -> None:
    verdict = verdict_on(known_of(VALLEYS, finish_within=None))
    assert (verdict.action, verdict.reason) == (Action.RUN, ReasonCode.NO_ROOM_TO_WAIT)


def test_a_limit_on_the_start_is_leave_until_it_would_have_been_done() -> None:
    verdict = verdict_on(known_of(VALLEYS, finish_within=None, start_within="4h", minimum_saving=0))
    assert verdict.reason is ReasonCode.GREENER_SLICES
    assert verdict.option.start <= START + 4 * HOUR
    assert verdict.option.finish <= START + 7 * HOUR


def test_slices_begin_only_in_allowed_hours() -> None:
    verdict = verdict_on(known_of(VALLEYS, allowed_hours="04:00-06:00,08:00-10:00"))
    assert verdict.action is Action.DEFER
    begun = [item.start for item in verdict.option.slices]
    assert len(begun) == 2
    assert START + 4 * HOUR <= begun[0] <= START + 6 * HOUR
    assert begun[1] == START + 8 * HOUR


def test_a_job_that_may_not_start_yet_waits_for_its_hours() -> None:
    verdict = verdict_on(known_of([50.0] * 3 + [300.0] * 9, allowed_hours="06:00-08:00"))
    assert (verdict.action, verdict.reason) == (Action.DEFER, ReasonCode.NOT_YET_ALLOWED)


def test_a_plan_leaves_room_for_an_overrun() -> None:
    estimate = Estimate(duration=3 * HOUR, duration_high=5 * HOUR, basis=EstimateBasis.LEARNT)
    verdict = verdict_on(known_of(VALLEYS, estimates={"fast": estimate}, finish_within="10h"))
    latency = PolicySettings().start_latency
    assert verdict.option.slices
    assert verdict.option.finish <= START + 8 * HOUR - latency


class TestRunning:
    """Asked at a checkpoint: some of the work is done, and no plan is waited for."""

    def test_it_stops_where_that_saves_enough(self) -> None:
        verdict = verdict_on(known_of(VALLEYS, now=START + 3 * HOUR, progress=1 / 3))
        assert (verdict.action, verdict.reason) == (Action.DEFER, ReasonCode.GREENER_SLICES)
        assert verdict.sentence.startswith("Stops, and rests 2h for the first of 2 greener slices")

    def test_it_goes_on_where_that_saves_too_little(self) -> None:
        verdict = verdict_on(known_of([100.0, 100, 103, 100, 100, 103], now=START + HOUR, progress=1 / 3))
        assert verdict.action is Action.RUN
        assert verdict.sentence.startswith("Goes on on fast")

    def test_a_stop_and_a_restart_are_charged(self) -> None:
        # An hour's work is left, at 100 now or at 80 next hour: worth waiting, unless a stop costs half an hour.
        values, about = [100.0, 100, 100, 80, 80, 80], {"now": START + 2 * HOUR, "progress": 2 / 3}
        assert verdict_on(known_of(values, **about)).action is Action.DEFER
        dear = verdict_on(known_of(values, stop_cost="15m", restart_cost="15m", **about))
        assert dear.action is Action.RUN

    def test_its_hours_and_its_latest_start_matter_no_more(self) -> None:
        known = known_of(
            [50.0] * 12, now=START + 4 * HOUR, progress=0.5, allowed_hours="00:00-01:00", start_within="1h"
        )
        assert verdict_on(known).action is Action.RUN

    def test_it_is_not_stopped_for_an_outlook_that_ends(self) -> None:
        known = known_of([50.0] * 4, now=START + 3 * HOUR, progress=0.1, allowed_hours="00:00-01:00")
        verdict = verdict_on(known)
        assert (verdict.action, verdict.reason) == (Action.RUN, ReasonCode.HORIZON_TOO_SHORT)


def test_a_job_that_was_stopped_pays_its_restart() -> None:
    now = START + 2 * HOUR
    plan = Plan(site="fast", start=now, decided_at=START)
    verdict = verdict_on(known_of([50.0] * 6, now=now, progress=2 / 3, plan=plan))
    assert verdict.action is Action.RUN
    assert abs(verdict.option.finish - (now + HOUR + timedelta(minutes=1))) < TICK


@pytest.mark.parametrize("left", [0, 1, 2, 3])
def test_rests_are_deferrals_and_never_more_than_allowed(left: int) -> None:
    values = [*VALLEYS[:9], 250.0, 250.0, 250.0, 300.0]
    verdict = verdict_on(known_of(values, deferrals=8 - left))
    if left == 0:
        assert (verdict.action, verdict.reason) == (Action.RUN, ReasonCode.DEFERRAL_CAP)
    else:
        assert verdict.action is Action.DEFER
        assert len(verdict.option.slices or "1") == left


any_job = evidence(
    interruptible=True,
    stop_cost=timedelta(seconds=5),
    restart_cost=timedelta(seconds=10),
    shortest_slice="1m",
)


@given(any_job, st.sampled_from([0.0, 0.3, 0.9]), st.booleans(), st.integers(0, 9))
def test_the_deadline_is_kept_and_the_plan_is_sound(
    known: Evidence, progress: float, waits: bool, deferrals: int
) -> None:
    plan = Plan(site="eco", start=known.now, decided_at=known.now) if waits else None
    known = known.model_copy(update={"progress": progress, "plan": plan, "deferrals": deferrals})
    option, spec = verdict_on(known).option, known.spec
    deadline = known.submitted_at + spec.finish_within
    assert option.start >= known.now
    if option.start > known.now or option.slices:
        assert option.finish <= deadline - known.settings.start_latency + TICK
    for one, other in pairwise(option.slices):
        assert one.finish - one.start >= spec.shortest_slice - TICK
        assert other.start - one.finish >= known.settings.minimum_deferral - TICK
    if option.slices:
        assert (option.slices[0].start, option.slices[-1].finish) == (option.start, option.finish)
        assert len(option.slices) - 1 + deferrals <= spec.max_deferrals
        site = next(site for site in known.sites if site.name == option.site)
        ran = sum((item.finish - item.start for item in option.slices), timedelta(0))
        assert ran >= spec.duration / site.speed * (1 - progress) - TICK


@settings(max_examples=30)
@given(any_job)
def test_never_more_grams_than_at_once_on_the_reference(known: Evidence) -> None:
    decision = decide(known)
    assert decision.counterfactual is not None
    if decision.chosen is not None and decision.counterfactual.gco2 is not None:
        assert decision.chosen.gco2 is not None
        assert decision.chosen.gco2 <= decision.counterfactual.gco2 * (1 + 1e-9)
    if decision.action is Action.DEFER:
        assert decision.predicted_saving_gco2 is not None
        asked = known.spec.minimum_saving * decision.counterfactual.gco2
        assert decision.predicted_saving_gco2 >= asked * (1 - 1e-9)


@settings(max_examples=30)
@given(any_job)
def test_breaks_never_make_a_job_dirtier(known: Evidence) -> None:
    whole = known.model_copy(update={"spec": known.spec.model_copy(update={"interruptible": False})})
    sliced, through = decide(known).chosen, decide(whole).chosen
    assert sliced is not None
    assert through is not None
    if sliced.gco2 is not None and through.gco2 is not None:
        # What saves too little to be worth a stop or a wait is left aside by both.
        slack = 1 / (1 - known.spec.minimum_saving)
        assert sliced.gco2 <= through.gco2 * slack + 1e-9


@settings(max_examples=30)
@given(any_job)
def test_the_same_evidence_gives_the_same_decision(known: Evidence) -> None:
    again = Evidence.model_validate(known.model_dump())
    assert decide(known) == decide(again)
    assert Decision.model_validate(decide(known).model_dump()) == decide(known)


@settings(max_examples=20)
@given(series(), st.floats(0.05, 0.5), st.floats(0.3, 1.0), st.data())
def test_a_job_that_is_followed_to_its_end_is_done_in_time(
    outlook: IntensitySeries, share: float, reach: float, data: st.DataObject
) -> None:
    """Decided again at the end of each slice and of each rest, on other grids each time, as forecasts err."""
    length = outlook.end - outlook.start
    spec = JobSpec(
        urgency="flexible",
        interruptible=True,
        expected_duration=share * reach * length,
        finish_within=max(reach * length, share * reach * length),
        shortest_slice="1m",
    )
    now, work, progress, deferrals, running = outlook.start, spec.duration, 0.0, 0, False
    for _ in range(60):
        values = data.draw(st.permutations(outlook.values_gco2_per_kwh[:24]))
        seen = outlook.model_copy(
            update={"values_gco2_per_kwh": (*values, *outlook.values_gco2_per_kwh[24:])}
        )
        waited = None if running else Plan(site="fast", start=now, decided_at=outlook.start)
        known = Evidence(
            job="a",
            now=now,
            submitted_at=outlook.start,
            spec=spec,
            sites=(FAST,),
            outlook={"DE": seen},
            deferrals=deferrals,
            progress=progress,
            plan=waited if progress else None,
        )
        verdict = verdict_on(known)
        if verdict.action is Action.DEFER:
            # A stop takes its time, and a start comes late by as much as is allowed for.
            now, deferrals, running = (
                verdict.option.start + known.settings.start_latency,
                deferrals + 1,
                False,
            )
            continue
        restart = spec.restart_cost if progress and not running else timedelta(0)
        left = work * (1 - progress)
        if not verdict.option.slices:
            now += restart + left
            break
        first = verdict.option.slices[0]
        now, running = first.finish, True
        progress = min(1.0, progress + (first.finish - first.start - restart - spec.stop_cost) / work)
    else:
        pytest.fail("It is never done.")
    assert now <= outlook.start + spec.finish_within + TICK


class TestItWaitsByAPlan:
    """A run that waits, asked again before its planned start."""

    PLAN = Plan(site="fast", start=START + 2 * HOUR, decided_at=START - HOUR)

    def test_noise_below_the_margin_moves_nothing(self) -> None:
        noisy = [300.0, 300, 50.3, 300, 50, 300, 300, 50, 300, 300, 50, 300]
        free = {"stop_cost": 0 * HOUR, "restart_cost": 0 * HOUR}
        anew = verdict_on(known_of(noisy, **free))
        kept = verdict_on(known_of(noisy, plan=self.PLAN, **free))
        assert anew.option.start == START + 4 * HOUR
        assert (kept.reason, kept.option.start) == (ReasonCode.KEPT_PLAN, self.PLAN.start)
        assert len(kept.option.slices) == 3

    def test_a_saving_that_is_worth_it_does(self) -> None:
        turned = [300.0, 10, 300, 300, 300, 50, 300, 300, 50, 300, 300, 300]
        verdict = verdict_on(known_of(turned, plan=self.PLAN))
        assert (verdict.reason, verdict.option.start) == (ReasonCode.GREENER_SLICES, START + HOUR)

    def test_a_plan_that_can_no_more_be_kept_is_dropped(self) -> None:
        late = self.PLAN.model_copy(update={"start": START + 10 * HOUR})
        verdict = verdict_on(known_of(VALLEYS, plan=late))
        assert (verdict.reason, verdict.option.start) == (ReasonCode.GREENER_SLICES, START + 2 * HOUR)


def test_slices_are_for_jobs_that_are_placed_by_expected_grams_alone() -> None:
    wide = {"DE": {0.1: (10.0,) * 12, 0.9: (900.0,) * 12}}
    valley = [300.0, 300, 50, 50, 50, 300, 300, 300, 300, 300, 300, 300]
    assert decide(known_of(valley, quantiles=wide)).action is Action.DEFER
    careful = decide(known_of(valley, quantiles=wide, risk="careful"))
    assert (careful.reason, careful.slices) == (ReasonCode.TOO_UNCERTAIN, ())
    served = PolicySettings(ranking={"latency": 1.0})
    assert decide(known_of(VALLEYS, settings=served)).action is Action.RUN


def test_money_is_weighed_in_as_of_a_job_without_breaks() -> None:
    dear, green = (
        FAST.model_copy(update={"name": name, "price_per_hour": 3.0}) for name in ("dear", "green")
    )
    green = green.model_copy(update={"power_w": 40.0})
    cheap = green.model_copy(update={"name": "cheap", "power_w": 45.0, "price_per_hour": 1.0})
    weighed = PolicySettings(price_weight_gco2_per_unit=10.0)
    for values, reason in ((VALLEYS, ReasonCode.GREENER_SLICES), ([50.0] * 12, ReasonCode.GREENER_SITE)):
        for settings_, site in ((PolicySettings(), "green"), (weighed, "cheap")):
            verdict = verdict_on(known_of(values, sites=(dear, green, cheap), settings=settings_))
            assert (verdict.reason, verdict.option.site) == (reason, site)


@pytest.mark.parametrize(("price", "action"), [(0.0, Action.DEFER), (0.1, Action.DEFER), (0.15, Action.RUN)])
def test_all_the_time_by_which_it_is_done_later_is_waiting(price: float, action: Action) -> None:
    # Three slices save 75 % and end six hours later, the rests among them: 5 % + 6 x 15 % would be asked.
    assert verdict_on(known_of(VALLEYS, settings=PolicySettings(wait_cost_per_hour=price))).action is action
