"""The joint plan acted on: waiting runs with the policy `fleet` are given their places together, among all others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import httpx
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun

from carbon_policy.domain.decision import Plan
from carbon_policy.domain.errors import CarbonPolicyError
from carbon_policy.domain.job import Mode, PolicyName, Urgency
from carbon_policy.orchestration.evidence import weighs
from carbon_policy.orchestration.names import LABEL_RELEASED
from carbon_policy.orchestration.queue import STEP, WaitingJob, WaitingQueue, as_problem, read_queue
from carbon_policy.orchestration.records import logger, planned_of
from carbon_policy.orchestration.variables import policy_block_name, resolve_spec
from carbon_policy.orchestration.world import World
from carbon_policy.planning.fleet import FleetAssignment, FleetPlan, plan_fleet
from carbon_policy.planning.problem import FleetJob, FleetProblem
from carbon_policy.policies.fleet import place_ahead
from carbon_policy.policies.options import option_at

Place = Plan | str
"""A run's place in the joint plan, or a sentence that says why it has none."""

_MOST_RUNS = 5000
_TIME_LIMIT_S = 60.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def joint_places(
    client: SyncPrefectClient,
    world: World,
    waiting: Callable[[], Iterable[FlowRun]],
    movable: Sequence[FlowRun],
) -> dict[str, Place]:
    """Plan the whole queue together, and give each run that the fleet plans its place.

    What cannot be moved, or is planned by another policy, holds the place that it has. A job that may be interrupted
    has slices of its own, and is planned alone.

    Args:
        client: A client of the server.
        world: What is known of this moment.
        waiting: Gives all runs that were deferred; asked only where there is something to plan.
        movable: Those of them that may be moved now.

    Returns:
        Run id to its place, for those of `movable` whose policy is `fleet`. Whatever goes wrong, they stay as they are.
    """
    ours = {str(run.id) for run in fleets(movable, world)}
    if not ours:
        return {}
    try:
        queue = read_queue(client, world.now, _MOST_RUNS, world=world)
        standing = {str(run.id): plan for run in waiting() if (plan := planned_of(run)) is not None}
        return places_in(queue, standing, ours)
    except Exception as error:  # Without a joint plan the places of the last one hold.
        told = isinstance(error, CarbonPolicyError | httpx.HTTPError) and str(error)
        # What was not foreseen says little by its message alone, and is a defect that somebody should hear of.
        why = told or f"{type(error).__name__}: {error}"
        logger.warning(
            "carbon-policy could not plan the waiting runs together: %s",
            why,
            exc_info=None if told else error,
        )
        return dict.fromkeys(ours, f"The waiting runs could not be planned together, so it stays: {why}")


def fleets(runs: Iterable[FlowRun], world: World) -> list[FlowRun]:
    """Those of the runs that are planned together with all others."""
    found = [run for run in runs if _is_fleets(run, world)]
    if found:
        world.note_joint()
    return found


def _is_fleets(run: FlowRun, world: World) -> bool:
    if run.deployment_id is None:
        return False
    try:
        deployment = world.deployment(run.deployment_id)
        policy = world.directory(policy_block_name(run, deployment, world.settings)).policy
        spec = resolve_spec(run.job_variables, deployment.job_variables, None, policy, world.settings).spec
    except Exception:  # Its own decision says what is wrong with it.
        return False
    acts = spec.mode is Mode.ON and weighs(spec, bool(run.labels.get(LABEL_RELEASED)))
    return acts and spec.policy is PolicyName.FLEET and not spec.interruptible


def places_in(queue: WaitingQueue, standing: Mapping[str, Plan], ours: set[str]) -> dict[str, Place]:
    """The places of the fleet's runs in a plan of the whole queue.

    Those that were given a place before keep it, and others are planned around them, unless to plan all anew saves
    `replan_margin` of their grams or sacrifices less. Slots begin on the quarters of an hour, so a plan that is made
    again finds its own starts; a place that would move by less than a slot stays as it is.

    Args:
        queue: What waits.
        standing: Run id to what was planned for it before.
        ours: The ids of the runs that are given places.
    """
    now = queue.now
    queue = replace(queue, now=now + (_EPOCH - now) % STEP)
    problem = as_problem(queue)
    if problem is None:
        return dict.fromkeys(ours, "No outlook is known by which the waiting runs could be planned together.")
    jobs = {job.run_id: job for job in queue.jobs}
    known = {name: plan for name, plan in standing.items() if name in jobs}
    others = {name: plan for name, plan in known.items() if name not in ours}
    kept = {name: plan for name, plan in known.items() if name in ours and _can_be_kept(jobs[name], plan)}
    plan = _planned(problem, jobs, others)
    if kept:
        calm = _planned(problem, jobs, others | kept)
        plan = plan if _is_worth_it(plan, calm, jobs, kept) else calm
    given = {one.job: one for one in plan.assignments}
    # The plan knows runs by their ids; people know them by their names.
    lost = {one.job: one.sentence.replace(one.job, jobs[one.job].name, 1) for one in plan.sacrifices}
    return {
        name: _place(problem, jobs.get(name), given.get(name), known.get(name), lost.get(name), now)
        for name in ours
    }


def _planned(problem: FleetProblem, jobs: Mapping[str, WaitingJob], held: Mapping[str, Plan]) -> FleetPlan:
    with_held = replace(problem, jobs=tuple(_with_held(problem, jobs, held)))
    return plan_fleet(with_held, time_limit_s=_TIME_LIMIT_S)


def _can_be_kept(job: WaitingJob, plan: Plan) -> bool:
    return plan.by is PolicyName.FLEET and _holds(job, plan)


def _holds(job: WaitingJob, plan: Plan) -> bool:
    return place_ahead(job.evidence.model_copy(update={"plan": plan})) is not None


def _is_worth_it(
    anew: FleetPlan, calm: FleetPlan, jobs: Mapping[str, WaitingJob], kept: Mapping[str, Plan]
) -> bool:
    """Whether to plan all anew, and not only those that have no place yet."""
    if len(anew.sacrifices) != len(calm.sacrifices):
        return len(anew.sacrifices) < len(calm.sacrifices)
    at_stake = sum(one.objective_gco2 for one in calm.assignments if one.job in kept)
    margin = next(jobs[name].evidence.settings.replan_margin for name in kept)
    return calm.objective_gco2 - anew.objective_gco2 > margin * at_stake


def _with_held(
    problem: FleetProblem, jobs: Mapping[str, WaitingJob], held: Mapping[str, Plan]
) -> Iterable[FleetJob]:
    """The jobs of the problem, those that hold a place bound to it."""
    for job in problem.jobs:
        if job.name not in held or held[job.name].site not in job.duration_slots:
            yield job
            continue
        plan, evidence = held[job.name], jobs[job.name].evidence
        site = next(site for site in evidence.sites if site.name == plan.site)
        finish = option_at(evidence, site, plan.start).finish
        first = max(0, (plan.start - problem.start) // STEP)
        after = max(first + 1, -((problem.start - finish) // STEP))
        if after <= problem.slots:
            # It gives way to nobody: where it is, nobody moves it.
            yield replace(
                job,
                urgency=Urgency.CRITICAL,
                interruptible=False,
                first_slot=first,
                deadline_slot=after,
                duration_slots={plan.site: after - first},
            )


def _place(
    problem: FleetProblem,
    job: WaitingJob | None,
    given: FleetAssignment | None,
    standing: Plan | None,
    lost: str | None,
    now: datetime,
) -> Place:
    if lost is not None:
        return f"{lost} It stays as it is."
    if job is None or given is None or given.site is None:
        return "The joint plan has no place for it, so it stays as it is."
    start = problem.slot_start(given.slots[0])
    if standing is not None and standing.by is PolicyName.FLEET and standing.site == given.site:
        start = standing.start if abs(standing.start - start) < STEP else start
    plan = Plan(site=given.site, start=start, decided_at=now, by=PolicyName.FLEET)
    if not _holds(job, plan):
        return "Its place in the joint plan is too close to its deadline, so it stays as it is."
    return plan
