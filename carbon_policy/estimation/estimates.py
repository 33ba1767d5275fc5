"""What a job will take and use on each site: learnt from past runs, or as given until there are enough."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from carbon_policy.domain.estimate import Estimate, EstimateBasis
from carbon_policy.domain.job import MAX_WINDOW, JobSpec
from carbon_policy.domain.ledger import Scalar
from carbon_policy.domain.site import Site
from carbon_policy.domain.times import format_duration
from carbon_policy.domain.units import format_energy
from carbon_policy.estimation.features import Features, number_of
from carbon_policy.estimation.forest import Floats, forest_of
from carbon_policy.estimation.past_run import PastRun
from carbon_policy.estimation.size import Size, size_by_parameter, size_by_quantity

MINIMUM_RUNS = 10
"""Fewer runs have no ninth in ten to speak of; until then it is what the job and the site say."""


def estimates(
    past: Sequence[PastRun], sites: Sequence[Site], parameters: Mapping[str, Scalar], spec: JobSpec
) -> dict[str, Estimate]:
    """Site to the job's duration and energy there.

    One forest for all sites: it learns what is left of each run when what the sites say of themselves (speed, power)
    and the job's size are taken out, on a logarithmic scale. So a site without runs of its own gets what the others
    have shown, carried over by its own figures, and a job larger than all before gets more than all before took.

    Args:
        past: Of one deployment, the oldest first. Those on sites that are no more are left out.
        sites: Where the job could run.
        parameters: Of the run that is asked about.
        spec: What is said of it: expected duration, quantity, functional unit.
    """
    known = {site.name: site for site in sites}
    runs = [run for run in past if run.site in known and run.duration_s > 0]
    if len(runs) < MINIMUM_RUNS:
        return {site.name: _given(site, spec, len(runs)) for site in sites}
    asked = _Asked(sites, parameters, spec)
    alike = [run for run in runs if _makes(run, spec)]
    if spec.quantity is not None and len(alike) >= MINIMUM_RUNS:
        runs = alike
    times = _learn(runs, [run.duration_s for run in runs], _time_of_work, asked)
    used = [run for run in runs if run.energy_kwh > 0]
    measured = [run for run in used if run.energy_measured]
    if len(measured) >= MINIMUM_RUNS:
        used = measured
    energies = None
    if len(used) >= MINIMUM_RUNS:
        energies = _learn(used, [run.energy_kwh for run in used], _watts_of_work, asked)
    return {site.name: _learnt(site, asked, runs, times, used, energies) for site in sites}


@dataclass(frozen=True)
class _Asked:
    sites: Sequence[Site]
    parameters: Mapping[str, Scalar]
    spec: JobSpec


@dataclass(frozen=True)
class _Learnt:
    """Site to the middle and to what is exceeded one time in ten; and by what the job was scaled."""

    median: dict[str, float]
    high: dict[str, float]
    size: Size


def _time_of_work(site: Site) -> float:
    return 1 / site.speed


def _watts_of_work(site: Site) -> float:
    return site.power_w / site.speed


def _learn(
    runs: Sequence[PastRun], values: Sequence[float], site_says: Callable[[Site], float], asked: _Asked
) -> _Learnt:
    """Learn a positive amount.

    Args:
        runs: The oldest first.
        values: What each took, (n,).
        site_says: How much more or less it should be on a site, by the site's own figures.
        asked: The run that is asked about.
    """
    figures = {site.name: site_says(site) for site in asked.sites}
    logs = np.log(values) - np.log([figures[run.site] for run in runs])
    size = _size(runs, logs, asked)
    features = Features(runs, size.sizes)
    forest = forest_of(features.rows(), logs - np.log(size.scale))
    rows = features.asked([site.name for site in asked.sites], asked.parameters, size.asked)
    there = [figures[site.name] * size.asked_scale for site in asked.sites]
    median, high = (
        {site.name: float(amount) for site, amount in zip(asked.sites, there * np.exp(logs), strict=True)}
        for logs in forest.median_and_high(rows)
    )
    return _Learnt(median, high, size)


def _size(runs: Sequence[PastRun], logs: Floats, asked: _Asked) -> Size:
    spec = asked.spec
    if spec.quantity is not None and all(_makes(run, spec) for run in runs):
        return size_by_quantity(runs, logs, spec.quantity, spec.functional_unit)
    return size_by_parameter(runs, logs, asked.parameters)


def _makes(run: PastRun, spec: JobSpec) -> bool:
    return bool(run.quantity) and run.functional_unit == spec.functional_unit


def _learnt(
    site: Site,
    asked: _Asked,
    runs: Sequence[PastRun],
    times: _Learnt,
    used: Sequence[PastRun],
    energies: _Learnt | None,
) -> Estimate:
    spec = asked.spec
    duration, high = (_duration(amounts[site.name]) for amounts in (times.median, times.high))
    beyond = _beyond(runs, asked, times.size)
    if beyond and spec.expected_duration is not None:
        # Nothing like it ran before: a deadline is held against whichever is the longer.
        high = max(high, spec.expected_duration / site.speed)
    return Estimate(
        duration=duration,
        duration_high=high,
        energy_kwh=energies.median[site.name] if energies else None,
        basis=EstimateBasis.LEARNT,
        runs=len(runs),
        sentence=" ".join(
            (
                _times_sentence(site, spec, runs, duration, high, times.size),
                _energy_sentence(site, used, energies),
                *([f"No past run had such {', '.join(beyond)}."] if beyond else []),
            )
        ),
    )


def _duration(seconds: float) -> timedelta:
    """Between a millisecond and the longest window that a job may have, to the millisecond."""
    return timedelta(milliseconds=max(1, round(1000 * min(seconds, MAX_WINDOW.total_seconds()))))


def _beyond(runs: Sequence[PastRun], asked: _Asked, size: Size) -> list[str]:
    """The parameters whose number is outside all that was seen, and that nothing is scaled by."""
    found = []
    for name, value in sorted(asked.parameters.items()):
        number = number_of(value)
        seen = [one for run in runs if not math.isnan(one := number_of(run.parameters.get(name)))]
        if name != size.name and seen and not math.isnan(number) and not min(seen) <= number <= max(seen):
            found.append(name)
    return found


def _times_sentence(
    site: Site, spec: JobSpec, runs: Sequence[PastRun], duration: timedelta, high: timedelta, size: Size
) -> str:
    here = sum(run.site == site.name for run in runs)
    where = f"{here} of them on {site.name}" if here else f"none on {site.name}: carried over by its speed"
    scaled = f", scaled by {size.name}" if size.name else ""
    said = (
        f"; the job says {format_duration(spec.expected_duration / site.speed)}"
        if spec.expected_duration is not None
        else ""
    )
    return (
        f"Learnt from {len(runs)} past runs ({where}){scaled}: {format_duration(duration)},"
        f" and nine times in ten at most {format_duration(high)}{said}."
    )


def _energy_sentence(site: Site, used: Sequence[PastRun], energies: _Learnt | None) -> str:
    if energies is None:
        return f"Too few past runs have their energy: taken from the site's {site.power_w:g} W."
    measured = sum(run.energy_measured for run in used)
    how = {len(used): "measured", 0: "estimated, not measured"}.get(
        measured, f"of {measured} runs measured and of {len(used) - measured} estimated"
    )
    amount, high = (format_energy(amounts[site.name]) for amounts in (energies.median, energies.high))
    return f"Energy ({how}): {amount}, nine times in ten at most {high}."


def _given(site: Site, spec: JobSpec, runs: int) -> Estimate:
    duration = spec.duration / site.speed
    said = "the job says so" if spec.expected_duration is not None else "nobody said, and it is assumed"
    return Estimate(
        duration=duration,
        duration_high=duration,
        basis=EstimateBasis.GIVEN,
        runs=runs,
        sentence=f"Given: {format_duration(duration)} ({said}) at the site's {site.power_w:g} W; only {runs} past"
        f" runs completed, and learning takes {MINIMUM_RUNS}.",
    )
