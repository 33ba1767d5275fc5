"""What is learnt holds for runs that were not learnt from, and what is not known is as it was given."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from carbon_policy.domain.estimate import EstimateBasis
from carbon_policy.domain.job import JobSpec
from carbon_policy.domain.site import Site, Tier
from carbon_policy.estimation import MINIMUM_RUNS, PastRun, estimates

FAST = Site(name="fast", work_pool="fast", tier=Tier.FAST, zone="DE", power_w=300)
ECO = Site(name="eco", work_pool="eco", tier=Tier.ECO, zone="DE", power_w=100, speed=0.5)
SITES = (FAST, ECO)
IMAGES = JobSpec(functional_unit="image", quantity=100)


def make_run(seconds: float, site: Site = FAST, **fields: Any) -> PastRun:
    known: dict[str, Any] = {
        "energy_kwh": seconds / 3600 * site.power_w / 1000 / 2,
        "energy_measured": True,
    }
    return PastRun(site.name, seconds, **known | fields)


def noisy(count: int, site: Site = FAST, seconds: float = 600, seed: int = 0, **fields: Any) -> list[PastRun]:
    spread = np.random.default_rng(seed).lognormal(0, 0.1, count)
    return [make_run(seconds * float(one), site, **fields) for one in spread]


def seconds_of(estimate: Any) -> tuple[float, float]:
    return estimate.duration.total_seconds(), estimate.duration_high.total_seconds()


@pytest.mark.parametrize("said", [JobSpec(), JobSpec(expected_duration="30m")])
def test_until_there_are_enough_runs_it_is_as_given(said: JobSpec) -> None:
    past = noisy(MINIMUM_RUNS - 1)
    found = estimates(past, SITES, {}, said)
    assert {site: one.basis for site, one in found.items()} == dict.fromkeys(
        ("fast", "eco"), EstimateBasis.GIVEN
    )
    assert found["eco"].duration == found["eco"].duration_high == said.duration * 2
    assert found["eco"].energy_kwh is None
    assert "only 9 past runs" in found["eco"].sentence
    assert ("nobody said" in found["eco"].sentence) == (said.expected_duration is None)


def test_what_runs_took_wins_over_what_the_job_says_and_the_sentence_has_both() -> None:
    found = estimates(noisy(30), SITES, {}, JobSpec(expected_duration="2h"))["fast"]
    middle, high = seconds_of(found)
    assert found.basis is EstimateBasis.LEARNT
    assert found.runs == 30
    assert middle == pytest.approx(600, rel=0.1)
    assert 600 < high < 900
    assert found.energy_kwh == pytest.approx(0.025, rel=0.1)
    assert "30 past runs (30 of them on fast)" in found.sentence
    assert "the job says 2h" in found.sentence


def test_a_site_without_runs_gets_the_others_carried_over_by_its_own_figures() -> None:
    found = estimates(noisy(30), SITES, {}, JobSpec())
    assert found["eco"].duration / found["fast"].duration == pytest.approx(2, rel=0.001)
    energy, there = found["fast"].energy_kwh, found["eco"].energy_kwh
    assert energy is not None
    assert there is not None
    assert there / energy == pytest.approx((100 / 0.5) / 300)
    assert "none on eco: carried over by its speed" in found["eco"].sentence


def test_a_site_that_is_not_what_it_says_is_found_out() -> None:
    """Its own figures say that eco uses two thirds of the energy; its runs, that it uses twice as much."""
    past = [*noisy(30), *noisy(30, ECO, seconds=3000, seed=1, energy_kwh=0.05)]
    found = estimates(past, SITES, {}, JobSpec())
    assert seconds_of(found["eco"])[0] == pytest.approx(3000, rel=0.15)
    assert found["eco"].energy_kwh == pytest.approx(0.05, rel=0.1)
    assert found["fast"].energy_kwh == pytest.approx(0.025, rel=0.15)


def test_a_larger_job_than_any_before_takes_more_than_any_took() -> None:
    rng = np.random.default_rng(4)
    past = [
        make_run(3 * quantity * float(rng.lognormal(0, 0.1)), quantity=quantity, functional_unit="image")
        for quantity in rng.integers(50, 150, 30).astype(float)
    ]
    found = estimates(past, SITES, {}, IMAGES.model_copy(update={"quantity": 1000.0}))["fast"]
    assert seconds_of(found)[0] == pytest.approx(3000, rel=0.15)
    assert "scaled by image" in found.sentence


def test_what_a_job_takes_whatever_its_size_is_told_apart_from_what_grows_with_it() -> None:
    rng = np.random.default_rng(4)
    past = [
        make_run((300 + quantity) * float(rng.lognormal(0, 0.02)), quantity=quantity, functional_unit="image")
        for quantity in rng.integers(10, 1000, 60).astype(float)
    ]
    found = estimates(past, SITES, {}, IMAGES.model_copy(update={"quantity": 10_000.0}))["fast"]
    assert seconds_of(found)[0] == pytest.approx(10_300, rel=0.2)
    small = estimates(past, SITES, {}, IMAGES.model_copy(update={"quantity": 1.0}))["fast"]
    assert seconds_of(small)[0] == pytest.approx(301, rel=0.2)


def test_quantities_of_something_else_are_no_quantities() -> None:
    past = [
        *noisy(30, quantity=100.0, functional_unit="image"),
        *noisy(30, seconds=60, quantity=1.0, functional_unit="epoch"),
    ]
    assert estimates(past, SITES, {}, IMAGES)["fast"].runs == 30
    assert seconds_of(estimates(past, SITES, {}, IMAGES)["fast"])[0] == pytest.approx(600, rel=0.1)


def test_without_a_quantity_a_parameter_that_explains_the_runs_stands_in() -> None:
    rng = np.random.default_rng(7)
    past = [
        make_run(
            200 * epochs * float(rng.lognormal(0, 0.1)),
            parameters={"epochs": int(epochs), "seed": int(rng.integers(1, 10_000)), "rate": 0.1},
        )
        for epochs in rng.integers(1, 6, 40)
    ]
    found = estimates(past, SITES, {"epochs": 50, "seed": 3, "rate": 0.1}, JobSpec())["fast"]
    assert seconds_of(found)[0] == pytest.approx(10_000, rel=0.25)
    assert "scaled by epochs" in found.sentence


def test_a_parameter_that_is_a_word_is_told_apart() -> None:
    past = [
        *noisy(30, parameters={"model": "small", "debug": False, "note": None}),
        *noisy(30, seconds=6000, parameters={"model": "large", "debug": True}),
    ]
    small, large, new = (
        seconds_of(estimates(past, SITES, {"model": model}, JobSpec())["fast"])
        for model in ("small", "large", "unheard-of")
    )
    assert small[0] == pytest.approx(600, rel=0.15)
    assert large[0] == pytest.approx(6000, rel=0.15)
    assert new[1] >= new[0] > 0


def test_beyond_all_that_was_seen_a_deadline_is_held_against_what_was_given_too() -> None:
    past = noisy(30, parameters={"depth": 3})
    said = JobSpec(expected_duration="5h")
    seen, beyond = (estimates(past, SITES, {"depth": depth}, said)["fast"] for depth in (3, 9))
    assert seen.duration_high < timedelta(hours=1)
    assert beyond.duration_high == timedelta(hours=5)
    assert "No past run had such depth." in beyond.sentence


def test_the_latest_runs_say_what_the_job_takes_now() -> None:
    past = [*noisy(60), *noisy(30, seconds=1200, seed=1)]
    assert seconds_of(estimates(past, SITES, {}, JobSpec())["fast"])[0] == pytest.approx(1200, rel=0.15)


def test_measured_energy_is_preferred_and_what_is_estimated_is_called_so() -> None:
    estimated = noisy(30, energy_kwh=1.0, energy_measured=False)
    measured = noisy(MINIMUM_RUNS, energy_kwh=0.02)
    both = estimates([*estimated, *measured], SITES, {}, JobSpec())["fast"]
    assert both.energy_kwh == pytest.approx(0.02)
    assert "Energy (measured)" in both.sentence
    few = estimates([*estimated, *measured[:3]], SITES, {}, JobSpec())["fast"]
    assert "of 3 runs measured and of 30 estimated" in few.sentence
    none = estimates(estimated, SITES, {}, JobSpec())["fast"]
    assert "estimated, not measured" in none.sentence
    unknown = estimates(noisy(30, energy_kwh=0.0), SITES, {}, JobSpec())["fast"]
    assert unknown.energy_kwh is None
    assert "Too few past runs have their energy" in unknown.sentence


def test_the_same_runs_say_the_same() -> None:
    past = [*noisy(20, parameters={"a": 1}), *noisy(20, ECO, seed=1, parameters={"a": 2.5})]
    assert estimates(past, SITES, {"a": 2}, JobSpec()) == estimates(past, SITES, {"a": 2}, JobSpec())


def test_runs_of_a_site_that_is_no_more_are_left_out() -> None:
    assert estimates(noisy(30, ECO), (FAST,), {}, JobSpec())["fast"].basis is EstimateBasis.GIVEN


def test_absurd_numbers_make_no_absurd_plan() -> None:
    past = noisy(30, quantity=1.0, functional_unit="image")
    found = estimates(past, SITES, {}, IMAGES.model_copy(update={"quantity": 1e300}))["fast"]
    assert found.duration == found.duration_high == timedelta(days=31)


def test_scikit_learn_is_imported_only_to_learn() -> None:
    asked = (
        "import sys; from carbon_policy.estimation import estimates; from carbon_policy.domain.job import JobSpec;"
        " estimates([], [], {}, JobSpec()); print('sklearn' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
