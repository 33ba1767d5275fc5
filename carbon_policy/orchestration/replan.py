"""The rolling re-plan: runs that wait are decided again when the outlook changes, and moved where that pays.

A run is moved by one change of its state, and never taken from anybody. Workers take runs that are due within seconds,
so one that is due soon is left to its own gate; of any other the state is compared just before, and what came between
is found just after in the run's history: then the run is given back as it was. A move is no deferral: no process was
started for it, and `max_deferrals` limits how often one is. Runs with the policy `fleet` are planned together first
(`orchestration/fleet.py`), and then moved as all others are.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import httpx
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas import OrchestrationResult
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateName
from prefect.client.schemas.objects import FlowRun, State
from prefect.client.schemas.responses import SetStateStatus
from prefect.exceptions import ObjectNotFound

from carbon_policy.domain.decision import Action, Decision, Plan, ReasonCode
from carbon_policy.domain.errors import CarbonPolicyError
from carbon_policy.domain.job import PolicyName
from carbon_policy.orchestration.deferral import deferred_state
from carbon_policy.orchestration.fleet import Place, joint_places
from carbon_policy.orchestration.names import (
    DECLARED,
    DEFERRED,
    LABEL_CHECKPOINT,
    LABEL_DEFERRALS,
    LABEL_DEFERRED_UNTIL,
    PLACED,
)
from carbon_policy.orchestration.policy_task import decide_for
from carbon_policy.orchestration.records import add_labels, quietly, read_plan, record_decision
from carbon_policy.orchestration.runs import all_runs
from carbon_policy.orchestration.variables import policy_block_name
from carbon_policy.orchestration.world import World
from carbon_policy.policies.options import option_at

DUE_SOON = timedelta(minutes=2)
"""A run that is due within this is left alone: a worker may take it at any moment, and its gate decides anyway.

Workers look 10 s ahead, unless a team sets `PREFECT_WORKER_PREFETCH_SECONDS` to more.
"""

JUST_DECIDED = timedelta(seconds=30)
"""A wait that is younger is left alone: the process that deferred the run may still be ending."""

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
    """

    runs: tuple[Replanned, ...]
    seconds: float
    dry_run: bool

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
) -> Report:
    """Decide every waiting run again, and move those whose plan changes.

    The policy says whether a change is worth it; what the plan would lose by an outage or a missing signal is no
    reason to change it. The grid and the ledger are asked once for all runs.

    Args:
        client: A client of the server.
        now: UTC.
        zones: Only runs that have a site in one of these; all, if not said.
        dry_run: Say what would be done, and change nothing.
    """
    began = time.monotonic()
    world = World(client, now)
    done = []
    # Held first: a run that is moved must not be met again on a later page.
    waiting = list(_waiting(client))
    movable = [run for run in waiting if _may_move(world, run, zones)]
    places = joint_places(client, world, waiting, movable)
    for run in waiting:
        moment = now + timedelta(seconds=time.monotonic() - began)
        one = _Again(client, world, run, moment, dry_run, places.get(str(run.id)))
        found = one.replanned(zones)
        if found is not None:
            done.append(found)
    return Report(tuple(done), time.monotonic() - began, dry_run)


def _waiting(client: SyncPrefectClient) -> Iterator[FlowRun]:
    state = FlowRunFilterState(name=FlowRunFilterStateName(any_=[DEFERRED]))
    for run in all_runs(client, flow_run_filter=FlowRunFilter(state=state)):
        # A job that was placed and then stopped half way asks for itself when it goes on.
        waits_to_be_placed = LABEL_CHECKPOINT not in run.labels and PLACED not in (run.job_variables or {})
        if (
            waits_to_be_placed
            and LABEL_DEFERRALS in run.labels
            and run.deployment_id
            and run.next_scheduled_start_time
        ):
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

    def replanned(self, zones: Collection[str] | None) -> Replanned | None:
        """What became of it; `None` where it has nothing to do with the zones."""
        try:
            if zones is not None and not _concerns(self._world, self._run, zones):
                return None
            why = _left_because(self._run, self._moment)
            if why is None and isinstance(self._place, str):
                why = self._place
            return self._decided() if why is None else self._left_alone(why)
        except ObjectNotFound:
            return self._left_alone("It was deleted.")
        except (CarbonPolicyError, httpx.HTTPError) as error:
            # One that cannot be decided is no reason to leave the others; its gate will say so as well.
            return self._is(Outcome.FAILED, self._was, None, str(error))

    def _decided(self) -> Replanned:
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
        why = self._move(decision, start)
        if why is not None:
            return self._left_alone(why)
        self._record(decision, start, deployment.name)
        return self._is(outcome, start, saving, decision.sentence)

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
        expected = self._run.state
        current = self._client.read_flow_run(self._run.id)
        if expected is None or current.state is None or current.state.id != expected.id:
            return f"It is {current.state_name} by now."
        message = (
            f"{decision.reason}: {decision.sentence} (It was to start at {self._was:%Y-%m-%d %H:%M} UTC.)"
        )
        answer: OrchestrationResult[Any] = self._client.set_flow_run_state(
            self._run.id, deferred_state(start, message)
        )
        if answer.status is not SetStateStatus.ACCEPT or answer.state is None:
            return "The server did not accept the change."
        between = _came_between(self._client.read_flow_run_states(self._run.id), expected, answer.state)
        if between is None:
            return None
        self._client.set_flow_run_state(self._run.id, between, force=True)
        return f"It became {between.name} just then, and was given back."

    def _record(self, decision: Decision, start: datetime, deployment: str) -> None:
        """Leave the new plan with the run. What its wait says comes first: a lost wait is found by it."""
        quietly(
            "write down the new time",
            lambda: add_labels(self._client, self._run.id, {LABEL_DEFERRED_UNTIL: start.isoformat()}),
        )
        flow = self._world.flow_name(self._run.flow_id)
        record_decision(self._client, self._run, decision, flow, deployment)

    def _left_alone(self, why: str) -> Replanned:
        return self._is(Outcome.LEFT_ALONE, self._was, None, why)

    def _is(self, outcome: Outcome, start: datetime, saving: float | None, sentence: str) -> Replanned:
        return Replanned(
            str(self._run.id), self._run.name, outcome, self._was, start, saving, " ".join(sentence.split())
        )


def _came_between(states: Iterable[State[Any]], expected: State[Any], ours: State[Any]) -> State[Any] | None:
    """What a run had become between the look at it and our change; `None` where nothing came between."""
    before = [state for state in states if state.id != ours.id and state.timestamp <= ours.timestamp]
    last = max(before, key=lambda state: state.timestamp, default=expected)
    return None if last.id == expected.id else last


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
