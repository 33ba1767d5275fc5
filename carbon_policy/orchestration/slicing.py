"""When an interruptible run stops: what its plan says, and asking the policy anew while it runs.

The plan is the decision by which the run stands where it stands, and the slice that a later answer put in its place.
At the end of a slice the policy is asked as at the start, with the share that is done, and for this site alone: the
state is here, and so is the code. Only an answer to defer stops a run; any other lets it go on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import FlowRun

from carbon_policy.domain.decision import Decision, ReasonCode, Slice
from carbon_policy.domain.job import JobSpec, Mode, Urgency
from carbon_policy.orchestration.deferral import deferrals_of
from carbon_policy.orchestration.names import (
    GATE_RUN,
    LABEL_DEFERRALS,
    LABEL_PROGRESS,
    LABEL_RELEASED,
    LABEL_SLICE,
    LABEL_USER_DEPLOYMENT,
    PLACED,
)
from carbon_policy.orchestration.policy_task import decide_for
from carbon_policy.orchestration.records import add_labels, leave_decision, read_decision

SLICE_TYPE = "carbon-slice-decision"
"""Artifact of an answer that a run got while it ran. The ledger accounts by the decision that placed the run."""

ASKED_AT_MOST_EVERY = timedelta(seconds=10)
_MOST_GUESSED = 0.95
# A policy knows a running job by its progress.
_BEGUN = 1e-6
# A worker may start a run a little before its time.
_EARLY = timedelta(seconds=30)


@dataclass(frozen=True)
class Standing:
    """By what a run stands where it stands.

    Attributes:
        decision: The one that placed it.
        site: Name of its site.
        slices: What is planned of it, in order; empty to run to its end.
    """

    decision: Decision
    site: str
    slices: tuple[Slice, ...]

    @property
    def spec(self) -> JobSpec:
        """What is said of the job."""
        return self.decision.evidence.spec

    @property
    def may_stop(self) -> bool:
        """Whether the policy could ever answer that it is to wait."""
        spec = self.spec
        return spec.interruptible and spec.mode is Mode.ON and spec.urgency is not Urgency.CRITICAL


def standing_of(client: SyncPrefectClient, run: FlowRun) -> Standing | None:
    """What is planned of a run; `None` where nobody decided about it."""
    variables = run.job_variables or {}
    decision = read_decision(client, variables.get(GATE_RUN, run.id))
    site = variables.get(PLACED) or (decision.site if decision else None)
    if decision is None or site is None:
        return None
    label = run.labels.get(LABEL_SLICE)
    return Standing(decision, str(site), decision.slices if label is None else _of_label(str(label)))


def next_question(
    slices: Sequence[Slice],
    spec: JobSpec,
    began_at: datetime,
    now: datetime,
) -> datetime | None:
    """When the policy is to be asked whether a run goes on, UTC; `None` where it runs to its end.

    Args:
        slices: What is planned, in order.
        spec: What is said of the job.
        began_at: When the run was last started, UTC.
        now: When the plan is looked at, UTC.
    """
    if not slices:
        return None
    earliest = began_at + spec.shortest_slice
    begun = [item for item in slices if item.start <= now + _EARLY]
    # A run that was started before its slice, by hand or after a crash, may have to wait for it.
    return max(earliest, begun[-1].finish - spec.stop_cost) if begun else earliest


def after_answer(decision: Decision, began_at: datetime) -> datetime | None:
    """`next_question` of a run that was told to go on."""
    evidence = decision.evidence
    soonest = evidence.now + ASKED_AT_MOST_EVERY
    if decision.reason is ReasonCode.NO_SIGNAL:
        return max(soonest, evidence.now + evidence.spec.shortest_slice)
    found = next_question(decision.slices, evidence.spec, began_at, evidence.now)
    return None if found is None else max(soonest, found)


def ask(
    client: SyncPrefectClient,
    run: FlowRun,
    standing: Standing,
    done: float | None,
    declared: Mapping[str, Any] | None,
    now: datetime,
) -> Decision:
    """Ask the policy about a run that has begun: to go on, or to wait, but on its site.

    Args:
        client: A client of the server.
        run: The run as the server has it.
        standing: What is planned of it.
        done: The share of its work that is saved, 0 to 1; `None` to judge it by its running time,
            against the time that the job takes at most nine times in ten.
        declared: The decorator's arguments, where its flow is decorated.
        now: UTC.

    Raises:
        CarbonPolicyError: The policy could not be asked.
    """
    gate_run = (run.job_variables or {}).get(GATE_RUN)
    # What is said of a placed job is said of the run that placed it.
    asker = client.read_flow_run(UUID(str(gate_run))) if gate_run else run
    deployment = client.read_deployment(asker.deployment_id) if asker.deployment_id else None
    share = _guessed(run, standing) if done is None else done
    labels = {**asker.labels, LABEL_PROGRESS: max(share, _BEGUN)}
    if gate_run:
        labels[LABEL_DEFERRALS] = deferrals_of(asker) + deferrals_of(run)
        labels[LABEL_RELEASED] = bool(asker.labels.get(LABEL_RELEASED) or run.labels.get(LABEL_RELEASED))
    subject = asker.model_copy(
        update={
            "job_variables": {**(asker.job_variables or {}), "allowed_sites": standing.site},
            "labels": labels,
        }
    )
    return decide_for(client, subject, deployment, declared or None, now)


def _guessed(run: FlowRun, standing: Standing) -> float:
    """The share that is done, of a job that does not say: by its running time, all its stretches together.

    It is judged against the time that the job takes at most nine times in ten, and not against what is expected. A
    policy takes what is left to be that share of both; so it keeps a deadline for all of the time that may be left,
    while the work that it plans for errs on the side of too much.
    """
    evidence = standing.decision.evidence
    estimate = evidence.estimates.get(standing.site)
    speed = next((site.speed for site in evidence.sites if site.name == standing.site), 1.0)
    takes = max(estimate.duration, estimate.duration_high) if estimate else standing.spec.duration / speed
    return min(_MOST_GUESSED, run.estimated_run_time / takes)


def note_answer(client: SyncPrefectClient, run: FlowRun, flow: str, decision: Decision) -> None:
    """Keep an answer with the run: its slice for the next start, and all of it for people and automations."""
    current = decision.slices[0] if decision.slices else None
    add_labels(client, run.id, {LABEL_SLICE: _as_label(current)})
    leave_decision(client, run, decision, flow, _deployment_of(client, run), "slice", SLICE_TYPE)


def _deployment_of(client: SyncPrefectClient, run: FlowRun) -> str | None:
    """The user's deployment: a placed run says it, and one that runs where it stood is a run of it."""
    label = run.labels.get(LABEL_USER_DEPLOYMENT)
    if label is not None:
        return str(label)
    return client.read_deployment(run.deployment_id).name if run.deployment_id else None


def _as_label(current: Slice | None) -> str:
    return f"{current.start.isoformat()}/{current.finish.isoformat()}" if current else ""


def _of_label(label: str) -> tuple[Slice, ...]:
    start, _, finish = label.partition("/")
    return (Slice.model_validate({"start": start, "finish": finish}),) if finish else ()
