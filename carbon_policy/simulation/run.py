"""Policies side by side in one world, beside running at once and the oracle."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from carbon_policy.simulation.outlook import Perfect
from carbon_policy.simulation.policies import Policy, RunNow
from carbon_policy.simulation.rolling import Rolling, RollingSlices
from carbon_policy.simulation.world import Outcome, World, outcome

ORACLE, ORACLE_INTERRUPTING = "oracle", "oracle, interrupting"


def oracle(world: World, *, interrupting: bool) -> tuple[Policy, World]:
    """The best that perfect knowledge of intensities and lengths can do, job by job, and the world that shows it."""
    seen = replace(
        world, outlook=Perfect(world.actual), jobs=replace(world.jobs, expected_length=world.jobs.length)
    )
    if interrupting:
        return RollingSlices(ORACLE_INTERRUPTING, every_h=None), seen
    return Rolling(ORACLE, every_h=None), seen


def simulate(
    world: World,
    policies: Sequence[Policy],
    *,
    interrupting: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Iterator[Outcome]:
    """The outcome of each policy: running at once first, then the policies, then the oracle.

    Args:
        world: Jobs, trace and outlook.
        policies: To be tried.
        interrupting: Whether the oracle that shares are taken of may interrupt jobs.
        progress: Told the name of each policy before it is tried.
    """
    tell = progress or (lambda _: None)
    at_once = RunNow().place(world)
    best, perfect = oracle(world, interrupting=interrupting)
    tell(best.name)
    optimum = best.place(perfect)
    reference, fewest = float(at_once.gco2.sum()), float(optimum.gco2.sum())
    yield outcome(RunNow.name, world, at_once, reference, fewest)
    for policy in policies:
        tell(policy.name)
        yield outcome(policy.name, world, policy.place(world), reference, fewest)
    yield outcome(best.name, perfect, optimum, reference, fewest)
