"""The rolling re-plan: runs that wait are decided again when the outlook changes, and moved where that pays.

A run is moved by one change of its state, and never taken from anybody. Workers take runs that are due within seconds,
so one that is due soon is left to its own gate; any other is changed only if it is as it was (`waits.py`). A move is no
deferral: no process was started for it, and `max_deferrals` limits how often one is. Runs with the policy `fleet` are
planned together first (`orchestration/fleet.py`), and then moved as all others are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import httpx
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateName,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound

from carbon_policy.domain.decision import Action, Decision, Plan, ReasonCode
from carbon_policy.domain.decision_id import decision_id
from carbon_policy.domain.errors import CarbonPolicyError
from carbon_policy.domain.job import PolicyName
from carbon_policy.orchestration.fleet import Place, joint_places
from carbon_policy.orchestration.names import (
    DECLARED,
    LABEL_CHECKPOINT,
    LABEL_DEFERRALS,
    LABEL_DEFERRED_UNTIL,
    LABEL_PLAN,
    PLACED,
    WAITING,
)
from carbon_policy.orchestration.policy_task import decide_for
from carbon_policy.orchestration.records import Outlooks, add_labels, plan_of, quietly, read_plan
from carbon_policy.orchestration.runs import all_runs
from carbon_policy.orchestration.variables import policy_block_name
from carbon_policy.orchestration.waits import Wait, put_to_wait, wait_of
from carbon_policy.orchestration.world import World
from carbon_policy.policies.options import option_at

DUE_SOON = timedelta(minutes=2)
"""A run that is due within this is left alone: a worker may take it at any moment, and its gate decides anyway.

Workers look 10 s ahead, unless a team sets `PREFECT_WORKER_PREFETCH_SECONDS` to more.
"""

JUST_DECIDED = timedelta(seconds=30)
"""A wait that is younger is left alone: the process that deferred the run may still be ending."""

_WRITERS, _AHEAD = 4, 32

_SAME = timedelta(seconds=30)
"""A plan that is moved by less is the same plan."""

_PLAN_STANDS = (
    ReasonCode.KEPT_PLAN,
    # Nothing better is known than what was known when the plan was made.
    ReasonCode.NO_SIGNAL,
    ReasonCode.HORIZON_TOO_SHORT,
    # Of now, and not of the time for which it is planned.
    ReasonCode.NO_SITE,
    # The wait itself was allowed.
    ReasonCode.DEFERRAL_CAP,
)


class Outcome(StrEnum):
    """What became of a waiting run."""

    MOVED = "moved"
    STARTED = "started"
    KEPT = "kept"
    LEFT_ALONE = "left-alone"
    FAILED = "failed"


@dataclass(frozen=True)
class Replanned:
    """A waiting run that was decided again.

    Attributes:
        run_id: Its id.
        name: Its name.
        outcome: What became of it; in a dry run what would.
        was: When it was to be started, UTC.
        start: When it is now, UTC.
        saving_gco2: Expected grams saved by the change, as both look now; `None` where that is not known.
        sentence: Why, for people.
    """

    run_id: str
    name: str
    outcome: Outcome
    was: datetime
    start: datetime
    saving_gco2: float | None
    sentence: str


@dataclass(frozen=True)
class Report:
    """What a re-plan came to.

    Attributes:
        runs: Every waiting run that was looked at.
        seconds: How long it took.
        dry_run: Nothing was changed.
        policies: The names of the policy blocks by which was decided.
        jointly: Some were planned together.
    """

    runs: tuple[Replanned, ...]
    seconds: float
    dry_run: bool
    policies: frozenset[str] = frozenset()
    jointly: bool = False

    def count(self, outcome: Outcome) -> int:
        """How many runs came to this."""
        return sum(run.outcome is outcome for run in self.runs)

    @property
    def sentence(self) -> str:
        """For people."""
        if not self.runs:
            return "No run is waiting."
        said = ", ".join(f"{self.count(outcome)} {outcome}" for outcome in Outcome if self.count(outcome))
        each_ms = 1000 * self.seconds / len(self.runs)
        would = " Nothing was changed: a dry run." if self.dry_run else ""
        return f"{len(self.runs)} waiting: {said}; {self.seconds:.1f} s, {each_ms:.0f} ms a run.{would}"


def replan(
    client: SyncPrefectClient,
    now: datetime,
    *,
    zones: Collection[str] | None = None,
    dry_run: bool = False,
    pool: str | None = None,
    still: Callable[[], bool] = lambda: True,
    tell: Callable[[FlowRun, datetime, Decision], None] = lambda *_: None,
) -> Report:
    """Decide every waiting run again, and move those whose plan changes.

    The policy says whether a change is worth it; what the plan would lose by an outage or a missing signal is no
    reason to change it. The grid and the ledger are asked once for all runs.

    Args:
        client: A client of the server.
        now: UTC.
        zones: Only runs that have a site in one of these; all, if not said.
        dry_run: Say what would be done, and change nothing.
        pool: Only runs of this work pool; of all, if not said.
        still: Asked before each run; once it says no, the rest is left as it is.
        tell: Told of each run that was moved, from when, and by which decision; from several threads.
    """
    began = time.monotonic()
    world = World(client, now)
    # Held first: a run that is moved must not be met again on a later page.
    waiting = list(waiting_runs(client, pool))
    movable = [run for run in waiting if _may_move(world, run, zones)]
    places = joint_places(client, world, lambda: waiting, movable)
    context, outlooks = copy_context(), Outlooks(client)
    done: list[Replanned | Future[Replanned]] = []
    with ThreadPoolExecutor(_WRITERS, thread_name_prefix="carbon-replan") as writers:
        for run in waiting:
            if not still():
                break
            moment = now + timedelta(seconds=time.monotonic() - began)
            one = _Again(client, world, run, moment, dry_run, places.get(str(run.id)))
            found = one.replanned(zones)
            if isinstance(found, _Change):
                outlooks.leave(found.decision)
                # While the server writes one, the next is decided; but no more than a few are held.
                if len(done) >= _AHEAD and isinstance(before := done[-_AHEAD], Future):
                    before.result()
                done.append(writers.submit(context.copy().run, one.moved, found, tell))
            elif found is not None:
                done.append(found)
        runs = tuple(one.result() if isinstance(one, Future) else one for one in done)
    seconds = time.monotonic() - began
    return Report(runs, seconds, dry_run, frozenset(world.policies), world.plans_jointly)


def waiting_runs(client: SyncPrefectClient, pool: str | None = None) -> Iterator[FlowRun]:
    """The runs that wait to be placed, by a start that was planned; the first to start come first.

    Args:
        client: A client of the server.
        pool: Only runs of this work pool; of all, if not said.
    """
    state = FlowRunFilterState(name=FlowRunFilterStateName(any_=list(WAITING)))
    for run in all_runs(
        client,
        sort=FlowRunSort.NEXT_SCHEDULED_START_TIME_ASC,
        flow_run_filter=FlowRunFilter(state=state),
        work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool])) if pool else None,
    ):
        # A job that was placed and then stopped half way asks for itself when it goes on.
        waits_to_be_placed = LABEL_CHECKPOINT not in run.labels and PLACED not in (run.job_variables or {})
        if waits_to_be_placed and wait_of(run) and run.deployment_id and run.next_scheduled_start_time:
            yield run


def _may_move(world: World, run: FlowRun, zones: Collection[str] | None) -> bool:
    try:
        return _left_because(run, world.now) is None and (zones is None or _concerns(world, run, zones))
    except (ObjectNotFound, CarbonPolicyError, httpx.HTTPError):
        return False


def _left_because(run: FlowRun, moment: datetime) -> str | None:
    """Why a run is left alone whatever is planned, for people; `None` where it is not."""
    start: datetime | None = run.next_scheduled_start_time
    state = run.state
    if start is None or start - moment < DUE_SOON:
        return "It is due soon, and is decided then."
    if state is not None and moment - state.timestamp < JUST_DECIDED:
        return "It was decided just now."
    return None


def _concerns(world: World, run: FlowRun, zones: Collection[str]) -> bool:
    deployment = world.deployment(run.deployment_id) if run.deployment_id else None
    directory = world.directory(policy_block_name(run, deployment, world.settings))
    return any(site.zone in zones for site in directory.sites)


@dataclass(frozen=True)
class _Change:
    """A change that is to be made to a waiting run."""

    decision: Decision
    outcome: Outcome
    start: datetime
    saving_gco2: float | None


class _Again:
    """One waiting run, decided again; one of the fleet's with its place in the joint plan, or why it has none."""

    def __init__(
        self,
        client: SyncPrefectClient,
        world: World,
        run: FlowRun,
        moment: datetime,
        dry_run: bool,
        place: Place | None,
    ) -> None:
        assert run.next_scheduled_start_time is not None  # noqa: S101  Such runs alone wait.
        assert run.deployment_id is not None  # noqa: S101
        self._client, self._world, self._run, self._moment, self._dry = client, world, run, moment, dry_run
        self._deployment_id, self._place = run.deployment_id, place
        self._was: datetime = run.next_scheduled_start_time

    def replanned(self, zones: Collection[str] | None) -> Replanned | _Change | None:
        """What is to become of it; `None` where it has nothing to do with the zones."""
        try:
            if zones is not None and not _concerns(self._world, self._run, zones):
                return None
            why = _left_because(self._run, self._moment)
            if why is None and isinstance(self._place, str):
                why = self._place
            return self._decided() if why is None else self._left_alone(why)
        except ObjectNotFound:
            return self._left_alone("It was deleted.")
        except (
            Exception
        ) as error:  # One that cannot be decided holds up no other; its gate will say so as well.
            return self._is(Outcome.FAILED, self._was, None, str(error) or type(error).__name__)

    def _decided(self) -> Replanned | _Change:
        deployment = self._world.deployment(self._deployment_id)
        if not deployment.work_pool_name and DECLARED not in (deployment.job_variables or {}):
            return self._left_alone("Only the process that serves it knows what its decorator says.")
        before = read_plan(self._client, self._run, self._was)
        plan = self._place if isinstance(self._place, Plan) else before
        decision = decide_for(
            self._client, self._run, deployment, None, self._world.now, world=self._world, plan=plan
        )
        start = self._start(decision, before)
        if start is None:
            return self._is(Outcome.KEPT, self._was, None, decision.sentence)
        outcome = Outcome.STARTED if decision.action is Action.RUN else Outcome.MOVED
        saving = _saving(decision, before)
        if self._dry:
            return self._is(outcome, start, saving, decision.sentence)
        return _Change(decision, outcome, start, saving)

    def moved(self, change: _Change, tell: Callable[[FlowRun, datetime, Decision], None]) -> Replanned:
        """Make the change, and say what became of it."""
        try:
            why = self._move(change.decision, change.start)
        except (CarbonPolicyError, httpx.HTTPError) as error:
            return self._is(Outcome.FAILED, self._was, None, str(error) or type(error).__name__)
        if why is not None:
            return self._left_alone(why)
        tell(self._run, self._was, change.decision)
        return self._is(change.outcome, change.start, change.saving_gco2, change.decision.sentence)

    def _start(self, decision: Decision, before: Plan | None) -> datetime | None:
        """When the run is to be started by what was decided now, UTC; `None` where the plan stands."""
        if decision.reason in _PLAN_STANDS:
            return None
        if decision.action is Action.RUN:
            return self._moment
        if decision.action is not Action.DEFER or decision.ask_again_at is None:
            # To skip it, or to fail it, is for its gate, when its time has come.
            return None
        if abs(decision.ask_again_at - self._was) < _SAME and _is_place(decision, before):
            return None
        return decision.ask_again_at

    def _move(self, decision: Decision, start: datetime) -> str | None:
        """Move the run by one change of state; why not, where somebody else was there first."""
        message = (
            f"{decision.reason}: {decision.sentence} (It was to start at {self._was:%Y-%m-%d %H:%M} UTC.)"
        )
        wait = wait_of(self._run) or Wait()
        moved = wait.model_copy(
            update={
                "until": start,
                "plan": plan_of(decision) or wait.plan,
                "decision": decision_id(decision),
            }
        )
        if not put_to_wait(self._client, self._run, start, message, moved, decision):
            return "It was changed by somebody else just then."
        if LABEL_DEFERRALS in self._run.labels:
            # A gate in a process put it to wait, and the next one will read its labels: its state will be another.
            plan = {LABEL_PLAN: moved.plan.model_dump_json()} if moved.plan is not None else {}
            labels = {LABEL_DEFERRED_UNTIL: start.isoformat(), **plan}
            quietly("write down the new time", lambda: add_labels(self._client, self._run.id, labels))
        return None

    def _left_alone(self, why: str) -> Replanned:
        return self._is(Outcome.LEFT_ALONE, self._was, None, why)

    def _is(self, outcome: Outcome, start: datetime, saving: float | None, sentence: str) -> Replanned:
        return Replanned(
            str(self._run.id), self._run.name, outcome, self._was, start, saving, " ".join(sentence.split())
        )


def _is_place(decision: Decision, before: Plan | None) -> bool:
    """Whether the run knows already by whom it was planned, and where: at its start it is placed by that."""
    if decision.reason is not ReasonCode.FLEET_LATER:
        return True
    return before is not None and (before.by, before.site) == (PolicyName.FLEET, decision.site)


def _saving(decision: Decision, plan: Plan | None) -> float | None:
    """The grams that a change saves, both starts on the outlook as it is now."""
    chosen = decision.chosen
    if plan is None or chosen is None or chosen.gco2 is None:
        return None
    site = next((site for site in decision.evidence.sites if site.name == plan.site), None)
    stayed = option_at(decision.evidence, site, plan.start).gco2 if site is not None else None
    return None if stayed is None else stayed - chosen.gco2
