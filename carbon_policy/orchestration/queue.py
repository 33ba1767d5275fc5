"""The waiting queue of a server as a fleet problem: the runs that are yet to be placed, on what decisions know."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import numpy as np
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.sorting import FlowRunSort

from carbon_policy.domain.decision import Evidence
from carbon_policy.domain.errors import CarbonPolicyError
from carbon_policy.domain.job import DEFAULT_DURATION, Mode
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.domain.site import Site
from carbon_policy.domain.times import parse_moment
from carbon_policy.orchestration.deferral import submitted_at_of
from carbon_policy.orchestration.directory import Directory, starts_gate
from carbon_policy.orchestration.evidence import weighs
from carbon_policy.orchestration.names import DECLARED, LABEL_CHILD, PLACED
from carbon_policy.orchestration.policy_task import evidence_for
from carbon_policy.orchestration.runs import all_deployments, all_runs
from carbon_policy.orchestration.variables import policy_block_name
from carbon_policy.orchestration.world import World
from carbon_policy.planning.problem import FleetJob, FleetProblem, FleetSite
from carbon_policy.policies.load import Load, load_on
from carbon_policy.policies.needs import eligible_sites, reference_site

STEP = timedelta(minutes=15)
"""Length of a slot of the plan."""

_NO_LIMIT = 1_000_000
"""More jobs than any queue holds."""

_HELD_FOR = DEFAULT_DURATION
"""So long a job that runs now is taken to hold its place; when it ends nobody knows."""


@dataclass(frozen=True)
class WaitingJob:
    """A run that is yet to be placed.

    Attributes:
        run_id: Of the flow run.
        name: Of the flow run.
        deployment: `flow/deployment`.
        due_at: When it was, or will be, due, UTC.
        starts_at: When Prefect is to start it as things stand, UTC.
        evidence: What a decision about it would be made from now.
    """

    run_id: str
    name: str
    deployment: str
    due_at: datetime
    starts_at: datetime
    evidence: Evidence

    @property
    def may_wait(self) -> bool:
        """Whether it has leave to wait, or to go elsewhere, at all."""
        spec = self.evidence.spec
        acts = weighs(spec, self.evidence.released) and spec.mode is Mode.ON
        window = spec.window(self.due_at)
        return acts and window.latest_start_for(spec.duration) is not None


@dataclass(frozen=True)
class WaitingQueue:
    """All of them.

    Attributes:
        now: UTC.
        jobs: In the order in which they are due.
        capacity: Site to the jobs that it runs at once; a site without a limit is missing.
        busy: Site to the jobs that run there now.
        left_out: Which runs are not planned, and why, a sentence each.
    """

    now: datetime
    jobs: tuple[WaitingJob, ...] = ()
    capacity: Mapping[str, int] = field(default_factory=dict)
    busy: Mapping[str, int] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()

    @property
    def sites(self) -> tuple[Site, ...]:
        """Every site that takes jobs and of whose grid something is known, by name."""
        known = {
            site.name: site
            for job in self.jobs
            for site in job.evidence.sites
            if site.enabled and site.zone in job.evidence.outlook
        }
        return tuple(known[name] for name in sorted(known))

    @property
    def outlook(self) -> dict[str, IntensitySeries]:
        """What is expected of the zones of those sites."""
        zones = {site.zone for site in self.sites}
        return {
            zone: series
            for job in self.jobs
            for zone, series in job.evidence.outlook.items()
            if zone in zones
        }


def read_queue(
    client: SyncPrefectClient, now: datetime, limit: int, *, world: World | None = None
) -> WaitingQueue:
    """Read every waiting run that the policy will be asked about, and change nothing.

    Those are runs of deployments on a pool that starts the gate, and of decorated flows. The grid and the ledger are
    asked once for all of them, as decisions ask.

    Args:
        client: A client of the server.
        now: UTC.
        limit: At most so many, those that are started first.
        world: What is known of this moment already.

    Raises:
        SetupError: A policy block, or something that it names, is missing.
    """
    world = world or World(client, now)
    deployments = {deployment.id: deployment for deployment in _consulting(client)}
    jobs: list[WaitingJob] = []
    left_out: list[str] = []
    beyond = 0
    capacity: dict[str, int] = {}
    busy: dict[str, int] = {}
    for run in _waiting(client, list(deployments)):
        if len(jobs) >= limit:
            beyond += 1
            continue
        assert run.deployment_id is not None  # noqa: S101  Such runs were asked for.
        deployment = deployments[run.deployment_id]
        try:
            evidence = evidence_for(run, deployment, None, world)
        except CarbonPolicyError as error:
            left_out.append(f"{run.name}: {error}")
            continue
        directory = world.directory(policy_block_name(run, deployment, world.settings))
        for site in evidence.sites:
            _count(site, directory, capacity, busy)
        jobs.append(_job(run, f"{world.flow_name(run.flow_id)}/{deployment.name}", evidence, now))
    jobs.sort(key=lambda job: (job.due_at, job.run_id))
    if beyond:
        left_out.append(f"{beyond:,} more wait, beyond the first {limit:,}.")
    return WaitingQueue(now, tuple(jobs), capacity, busy, tuple(left_out))


def _consulting(client: SyncPrefectClient) -> Iterator[DeploymentResponse]:
    """The deployments about whose runs the policy is asked."""
    gates = {pool.name for pool in client.read_work_pools(limit=200) if starts_gate(pool)}
    for deployment in all_deployments(client):
        said = deployment.job_variables or {}
        if PLACED not in said and (deployment.work_pool_name in gates or DECLARED in said):
            yield deployment


def _waiting(client: SyncPrefectClient, deployments: list[Any]) -> Iterator[FlowRun]:
    """Their runs that wait, the first to start first."""
    if not deployments:
        return
    wanted = FlowRunFilter(
        deployment_id=FlowRunFilterDeploymentId(any_=deployments),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
    )
    for run in all_runs(client, sort=FlowRunSort.NEXT_SCHEDULED_START_TIME_ASC, flow_run_filter=wanted):
        if PLACED not in (run.job_variables or {}) and LABEL_CHILD not in run.labels:
            yield run


def _job(run: FlowRun, deployment: str, evidence: Evidence, now: datetime) -> WaitingJob:
    due_at = parse_moment(submitted_at_of(run, now))
    starts_at = parse_moment(run.next_scheduled_start_time or due_at)
    return WaitingJob(str(run.id), run.name, deployment, due_at, starts_at, evidence)


def _count(site: Site, directory: Directory, capacity: dict[str, int], busy: dict[str, int]) -> None:
    pool, free = directory.pools.get(site.work_pool), directory.free(site)
    limits = [site.capacity, pool.concurrency_limit if pool else None]
    known = [limit for limit in limits if limit is not None]
    if known:
        capacity[site.name] = min(known)
        busy[site.name] = max(0, min(known) - free) if free is not None else 0


def as_problem(queue: WaitingQueue, *, with_capacity: bool = True) -> FleetProblem | None:
    """The queue in slots of a quarter of an hour from now on; `None` where there is nothing to plan, or to plan by.

    The slots end where the first outlook ends: a plan needs all zones. A job whose deadline lies beyond is planned
    within them; one that they have no room for is left out. A job that may not wait is planned at once, on the site
    where it would go without us.

    Args:
        queue: What waits.
        with_capacity: Hold the sites' capacities; else there is room for all everywhere.
    """
    outlook, sites = queue.outlook, queue.sites
    if not queue.jobs or not sites:
        return None
    end = min(series.end for series in outlook.values())
    slots = int((end - queue.now) // STEP)
    if slots < 1:
        return None
    fleet = tuple(
        _site(site, outlook[site.zone], queue, slots, with_capacity=with_capacity) for site in sites
    )
    names = {site.name for site in fleet}
    jobs = [_fleet_job(job, names, queue.now, outlook) for job in queue.jobs]
    jobs = [
        job for job in jobs if job.first_slot + min(job.duration_slots.values(), default=slots + 1) <= slots
    ]
    weight = queue.jobs[0].evidence.settings.price_weight_gco2_per_unit
    return FleetProblem(STEP, queue.now, fleet, tuple(jobs), gco2_per_money=weight)


def _site(
    site: Site, series: IntensitySeries, queue: WaitingQueue, slots: int, *, with_capacity: bool
) -> FleetSite:
    edges_s = (queue.now - series.start).total_seconds() + np.arange(slots + 1) * STEP.total_seconds()
    bounds_s = np.arange(len(series.cumulative_gh_per_kwh)) * series.step.total_seconds()
    integral = np.interp(edges_s, bounds_s, np.asarray(series.cumulative_gh_per_kwh))
    capacity = None
    if with_capacity and site.name in queue.capacity:
        capacity = np.full(slots, queue.capacity[site.name], dtype=np.int64)
        capacity[: int(_HELD_FOR / STEP)] -= queue.busy.get(site.name, 0)
    return FleetSite(
        name=site.name,
        gco2_per_kwh=np.diff(integral) / (STEP.total_seconds() / 3600),
        capacity=capacity,
        price_per_kwh=site.price_per_kwh or 0.0,
        price_per_hour=site.price_per_hour or 0.0,
        pue=site.pue,
        power_w=site.power_w,
        ceiling=partial(_ceiling, site) if with_capacity and site.dirty_capacity is not None else None,
    )


def _ceiling(site: Site, gco2_per_kwh: float) -> int:
    limit = site.ceiling(gco2_per_kwh)
    return _NO_LIMIT if limit is None else limit


def _fleet_job(
    job: WaitingJob, known: set[str], now: datetime, outlook: Mapping[str, IntensitySeries]
) -> FleetJob:
    evidence, spec = job.evidence, job.evidence.spec
    reference = reference_site(evidence)
    chosen = eligible_sites(evidence) if job.may_wait else [reference] if reference else []
    loads = {site.name: (site, load_on(evidence, site)) for site in chosen if site.name in known}
    took = {name: max(1, -(-load.duration // STEP)) for name, (_, load) in loads.items()}
    begin = max(now, job.due_at)
    opens, closes = (
        _stretch(job, [load for _, load in loads.values()], begin) if job.may_wait else (begin, None)
    )
    first = -int(-(opens - now) // STEP)
    shortest = min(took.values(), default=1)
    # A deadline that the slots would miss by rounding, and the job keeps, is the slots' to bend.
    deadline = first + shortest if closes is None else max(int((closes - now) // STEP), first + shortest)
    hours = STEP.total_seconds() / 3600
    return FleetJob(
        name=job.run_id,
        urgency=spec.urgency,
        first_slot=first,
        deadline_slot=deadline,
        duration_slots=took,
        interruptible=spec.interruptible and job.may_wait,
        # The mean over all of its slots: the energy is right where the last is used in part.
        power_kw={
            name: load.energy_kwh / site.pue / (took[name] * hours) for name, (site, load) in loads.items()
        },
        transfer_gco2={
            name: _transfer_gco2(outlook[site.zone], load, begin) for name, (site, load) in loads.items()
        },
        restart_slots=(spec.stop_cost + spec.restart_cost) / STEP,
    )


def _stretch(job: WaitingJob, loads: Sequence[Load], begin: datetime) -> tuple[datetime, datetime | None]:
    """From when to when it may run, so that it ends in time nine times in ten; of several stretches the first."""
    window = job.evidence.spec.window(job.due_at)
    opens, ends = [], []
    for load in loads:
        intervals = window.start_intervals(begin, load.duration_high)
        if intervals:
            opens.append(intervals[0][0])
            ends.append(intervals[0][1] + load.duration)
    return (min(opens), min(ends)) if opens else (begin, None)


def _transfer_gco2(series: IntensitySeries, load: Load, at: datetime) -> float:
    """The grams of moving its data there, at the site's intensity of the moment from which it may run."""
    return load.transfer_kwh * series.at(min(max(at, series.start), series.end - series.step))
