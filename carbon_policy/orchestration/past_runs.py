"""A team's past flow runs as jobs that can be replayed: when they were due, how long they ran, and on what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterStartTime, FlowRunFilterTags
from prefect.client.schemas.objects import TERMINAL_STATES, FlowRun, StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound

from carbon_policy.domain.errors import CarbonPolicyError
from carbon_policy.domain.job import JobSpec, Urgency
from carbon_policy.domain.site import Site
from carbon_policy.domain.times import parse_moment
from carbon_policy.orchestration.blocks import CarbonPolicy
from carbon_policy.orchestration.deferral import submitted_at_of
from carbon_policy.orchestration.names import (
    LABEL_CHILD,
    LABEL_DEFERRALS,
    LABEL_PARENT,
    LABEL_USER_DEPLOYMENT,
    TAG_PLACED,
)
from carbon_policy.orchestration.runs import all_runs
from carbon_policy.orchestration.settings import CarbonSettings
from carbon_policy.orchestration.variables import resolve_spec

SHORTEST = timedelta(seconds=1)
"""A run that took less computed nothing that could be moved."""

Read = Callable[[int], None]
"""Told how many runs were read so far."""


@dataclass(frozen=True)
class PastRun:
    """A run that completed.

    Attributes:
        run_id: Of the flow run.
        name: Of the flow run.
        deployment: `flow/deployment`; the flow's name for a run without one.
        submitted_at: When it was due, UTC.
        started_at: When its code began, UTC.
        duration: For how long its code ran.
        site: Where it ran: the site of its work pool, or what was assumed.
        spec: What is said of it; its `expected_duration` is what it took, at speed 1.
        assumed: Its flexibility was assumed, as nobody said it.
    """

    run_id: str
    name: str
    deployment: str
    submitted_at: datetime
    started_at: datetime
    duration: timedelta
    site: Site
    spec: JobSpec
    assumed: bool

    @property
    def ended_at(self) -> datetime:
        """When its code ended, UTC."""
        return self.started_at + self.duration


@dataclass(frozen=True)
class Assumptions:
    """What is taken where nobody said anything.

    Attributes:
        site: Where a run ran whose work pool belongs to no site; `None` to leave such runs out.
        finish_within: The flexibility window of a job that names none.
        urgency: Of a job that names none.
    """

    site: Site | None
    finish_within: timedelta
    urgency: Urgency = Urgency.FLEXIBLE


@dataclass(frozen=True)
class Wanted:
    """Which runs.

    Attributes:
        since: Started then or later, UTC.
        until: Started before, UTC.
        deployment: `flow/name` or a name.
        flow: A flow's name.
        tags: It has all of them.
        limit: At most so many, the newest.
    """

    since: datetime
    until: datetime
    deployment: str | None = None
    flow: str | None = None
    tags: Sequence[str] = ()
    limit: int = 10_000


@dataclass
class PastRuns:
    """What the server has.

    Attributes:
        runs: In the order of their submission.
        left_out: Why runs were left out, and how many for each reason.
    """

    runs: list[PastRun] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def read_past_runs(
    client: SyncPrefectClient,
    wanted: Wanted,
    sites: Sequence[Site],
    policy: CarbonPolicy | None,
    assumed: Assumptions,
    progress: Read = lambda _: None,
) -> PastRuns:
    """Read what a team has run, and change nothing.

    Args:
        client: A client of the server.
        wanted: Which runs.
        sites: The team's; empty where it has set up none yet.
        policy: Its policy block, if it has one.
        assumed: What is taken where nobody said anything.
        progress: Told how many runs were read.
    """
    reader = _Reader(client, {site.work_pool: site for site in sites}, policy, assumed)
    found = PastRuns()
    for number, run in enumerate(_started(client, wanted), start=1):
        progress(number)
        deployment, flow = reader.deployment(run), reader.flow_name(run.flow_id)
        if not _is_wanted(wanted, run, flow, deployment.name if deployment else None):
            continue
        if len(found.runs) >= wanted.limit:
            found.left_out[f"beyond the newest {wanted.limit:,}"] += 1
            continue
        try:
            found.runs.append(reader.past_run(run, flow, deployment))
        except _LeftOut as why:
            found.left_out[str(why)] += 1
    found.runs.sort(key=lambda run: (run.submitted_at, run.run_id))
    return found


_NEVER = datetime.max.replace(tzinfo=UTC)


class _LeftOut(CarbonPolicyError):
    """It cannot be replayed."""


def _started(client: SyncPrefectClient, wanted: Wanted) -> Iterator[FlowRun]:
    """The runs that began in the period, the newest first."""
    return all_runs(
        client,
        sort=FlowRunSort.START_TIME_DESC,
        flow_run_filter=FlowRunFilter(
            start_time=FlowRunFilterStartTime(after_=wanted.since, before_=wanted.until),
            tags=FlowRunFilterTags(all_=list(wanted.tags)) if wanted.tags else None,
        ),
    )


def _is_wanted(wanted: Wanted, run: FlowRun, flow: str, deployment: str | None) -> bool:
    if wanted.flow is not None and flow != wanted.flow:
        return False
    if wanted.deployment is None:
        return True
    # A placed run is of a twin; the deployment that the team knows is in a label.
    name = str(run.labels.get(LABEL_USER_DEPLOYMENT, deployment))
    return wanted.deployment in (name, f"{flow}/{name}")


class _Reader:
    """From a run to a job, with what was read for one run kept for the next."""

    def __init__(
        self,
        client: SyncPrefectClient,
        by_pool: Mapping[str, Site],
        policy: CarbonPolicy | None,
        assumed: Assumptions,
    ) -> None:
        self._client = client
        self._by_pool = by_pool
        self._policy = policy
        self._assumed = assumed
        self._settings = CarbonSettings()
        self._deployments: dict[UUID, DeploymentResponse | None] = {}
        self._flows: dict[UUID, str] = {}

    def deployment(self, run: FlowRun) -> DeploymentResponse | None:
        """The run's deployment; `None` where it had none, or it was deleted since."""
        if run.deployment_id is None:
            return None
        if run.deployment_id not in self._deployments:
            try:
                self._deployments[run.deployment_id] = self._client.read_deployment(run.deployment_id)
            except ObjectNotFound:
                self._deployments[run.deployment_id] = None
        return self._deployments[run.deployment_id]

    def flow_name(self, flow_id: UUID) -> str:
        """The flow's name."""
        if flow_id not in self._flows:
            self._flows[flow_id] = str(self._client.read_flow(flow_id).name)
        return self._flows[flow_id]

    def past_run(self, run: FlowRun, flow: str, deployment: DeploymentResponse | None) -> PastRun:
        """The job that a run was.

        Raises:
            _LeftOut: It cannot be replayed; the message says why.
        """
        started_at, duration = _span(run)
        site = self._site(run, deployment)
        asker = self._asker(run)
        said_of = deployment if asker is run else self.deployment(asker)
        spec, assumed = self._spec(asker, said_of, duration * site.speed)
        name = run.labels.get(LABEL_USER_DEPLOYMENT) or (deployment.name if deployment else None)
        return PastRun(
            run_id=str(run.id),
            name=run.name,
            deployment=f"{flow}/{name}" if name else flow,
            submitted_at=min(parse_moment(submitted_at_of(asker, _NEVER)), started_at),
            started_at=started_at,
            duration=duration,
            site=site,
            spec=spec,
            assumed=assumed,
        )

    def _asker(self, run: FlowRun) -> FlowRun:
        """The run that was due, and of whose job something is said: of a placed one, the one that placed it."""
        parent = run.labels.get(LABEL_PARENT)
        if parent is not None:
            with suppress(ObjectNotFound, ValueError):
                return self._client.read_flow_run(UUID(str(parent)))
        return run

    def _site(self, run: FlowRun, deployment: DeploymentResponse | None) -> Site:
        pool = run.work_pool_name or (deployment.work_pool_name if deployment else None)
        site = self._by_pool.get(pool or "") or self._assumed.site
        if site is None:
            raise _LeftOut("on a work pool that belongs to no site; say --power-w and --zone to take them in")
        return site

    def _spec(
        self, run: FlowRun, deployment: DeploymentResponse | None, duration: timedelta
    ) -> tuple[JobSpec, bool]:
        """What is said of a job with its real duration, and whether its flexibility had to be assumed."""
        said = deployment.job_variables if deployment else None
        try:
            spec = resolve_spec(run.job_variables, said, None, self._policy, self._settings).spec
        except CarbonPolicyError:
            raise _LeftOut("with job variables that are refused; carbon-policy explain says why") from None
        fields: dict[str, Any] = spec.model_dump(exclude={"expected_duration"}, exclude_none=True)
        assumed = not spec.has_window and spec.urgency is Urgency.NORMAL
        if assumed:
            fields |= {"urgency": self._assumed.urgency}
            if self._assumed.urgency is not Urgency.CRITICAL:
                fields |= {"finish_within": self._assumed.finish_within}
        if fields.get("finish_within") is not None:
            # What overran its window in truth had no room to wait.
            fields["finish_within"] = max(fields["finish_within"], duration)
        # Moments of another day say nothing of this one.
        for moment in ("start_by", "finish_by", "earliest_start"):
            fields.pop(moment, None)
        return JobSpec(**fields, expected_duration=duration), assumed


def _span(run: FlowRun) -> tuple[datetime, timedelta]:
    """When a run's code began, and how long it ran, its waits between attempts left out."""
    if run.state_type not in TERMINAL_STATES:
        raise _LeftOut("still under way")
    if LABEL_CHILD in run.labels:
        raise _LeftOut("gates, which placed a job that is counted itself")
    if run.state_type is not StateType.COMPLETED:
        raise _LeftOut("failed, crashed or cancelled")
    if run.deployment_id is None and run.parent_task_run_id is not None:
        raise _LeftOut("subflows, which are part of a run that is counted itself")
    if run.start_time is None or run.end_time is None:
        raise _LeftOut("without a start or an end")
    started_at, ended_at = parse_moment(run.start_time), parse_moment(run.end_time)
    duration = min(run.total_run_time or ended_at - started_at, ended_at - started_at)
    if duration < SHORTEST:
        raise _LeftOut("without a duration: they took less than a second")
    # The first start of a run that was deferred in place is that of its decision.
    waited = LABEL_DEFERRALS in run.labels and TAG_PLACED not in run.tags
    return (ended_at - duration if waited else started_at), duration
