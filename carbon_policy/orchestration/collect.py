"""Filling the ledger from what runs left on the Prefect server.

Idempotent: a run that is in the ledger with its actual intensities is not touched again; one that was recorded
on a forecast is recorded anew once the actual intensities are known. A job is settled on the kind of grid that it was
decided on, real or simulated, whatever the policy pins by then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from itertools import pairwise
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import TERMINAL_STATES, FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound

from carbon_policy.domain.decision import Decision
from carbon_policy.domain.energy import EnergyReading
from carbon_policy.domain.errors import CarbonPolicyError
from carbon_policy.domain.ledger import LedgerEntry
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.energy.estimate import estimate_from_site
from carbon_policy.grid.series import changed
from carbon_policy.orchestration.directory import Directory, read_directory
from carbon_policy.orchestration.emissions import emissions_markdown, emissions_table, entry_of
from carbon_policy.orchestration.evidence import weighs
from carbon_policy.orchestration.names import (
    DEFERRED,
    GATE_RUN,
    LABEL_CHECKPOINT,
    LABEL_ENERGY_FAILURE,
    LABEL_USER_DEPLOYMENT,
    TAG_PLACED,
)
from carbon_policy.orchestration.records import (
    artifact_key,
    leave_artifact,
    quietly,
    read_decision,
    read_energy,
)
from carbon_policy.orchestration.runs import all_runs
from carbon_policy.orchestration.settings import CarbonSettings
from carbon_policy.outlook.view import GridView, grid_view
from carbon_policy.policies.needs import reference_site
from carbon_policy.store.ledger import Ledger

SETTLES_AFTER = timedelta(days=7)
"""Sources revise their estimates for a day or two; some never measure at all."""


@dataclass
class Collected:
    """What one pass over the server came to.

    Attributes:
        recorded: Ids of runs that were added to the ledger, or recorded anew.
        settled: How many were in the ledger already, with actual intensities.
        left_out: Id of a run to why it could not be recorded.
        unsettled: Id of a run to why the intensities that the sources gave do not settle it.
    """

    recorded: list[str] = field(default_factory=list)
    settled: int = 0
    left_out: dict[str, str] = field(default_factory=dict)
    unsettled: dict[str, str] = field(default_factory=dict)


def collect(
    client: SyncPrefectClient, ledger: Ledger, policy_block: str, now: datetime | None = None
) -> Collected:
    """Bring the ledger up to what the server knows.

    Args:
        client: A client of the server.
        ledger: Is filled.
        policy_block: Names the grid sources that know the actual intensities.
        now: UTC; the clock's, if not given.
    """
    now = now or datetime.now(UTC)
    directory = _directory(client, policy_block)
    settled = {entry.job_run_id for entry in ledger.entries() if entry.settled}
    result = Collected()

    @cache
    def flow_name(flow_id: Any) -> str:
        return client.read_flow(flow_id).name

    @cache
    def deployment_name(deployment_id: Any) -> str | None:
        try:
            return client.read_deployment(deployment_id).name
        except ObjectNotFound:
            return None

    pinned, keyed = (directory.sources, directory.keyed) if directory else ((), None)
    with grid_view(CarbonSettings().history_address, pinned, keyed) as grid:
        for run in _ended_runs(client):
            if str(run.id) in settled:
                result.settled += 1
                continue
            try:
                flow, deployment = flow_name(run.flow_id), _deployment(run, deployment_name)
                entry, unsuited = _entry(client, run, flow, deployment, grid, now)
            except (CarbonPolicyError, ValueError) as error:
                result.left_out[str(run.id)] = str(error)
                continue
            if unsuited:
                result.unsettled[str(run.id)] = unsuited
            outcome = ledger.record([entry])
            if outcome.added or outcome.updated:
                result.recorded.append(str(run.id))
                quietly("leave the run's account", partial(_leave, client, run, entry))
    return result


def _directory(client: SyncPrefectClient, policy_block: str) -> Directory | None:
    """A team's choices; `None` where it has no policy block, as for direct calls alone."""
    try:
        return read_directory(client, policy_block)
    except CarbonPolicyError:
        return None


def _ended_runs(client: SyncPrefectClient) -> Iterator[FlowRun]:
    return all_runs(
        client,
        sort=FlowRunSort.START_TIME_ASC,
        flow_run_filter=FlowRunFilter(
            tags=FlowRunFilterTags(all_=[TAG_PLACED]),
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=sorted(TERMINAL_STATES))),
        ),
    )


def _deployment(run: FlowRun, name_of: Callable[[Any], str | None]) -> str | None:
    """The user's deployment: a placed run says it, and one that ran where it stood is a run of it."""
    if LABEL_USER_DEPLOYMENT in run.labels:
        return str(run.labels[LABEL_USER_DEPLOYMENT])
    return name_of(run.deployment_id) if run.deployment_id is not None else None


def _entry(
    client: SyncPrefectClient,
    run: FlowRun,
    flow: str,
    deployment: str | None,
    grid: GridView,
    now: datetime,
) -> tuple[LedgerEntry, str]:
    """The run's entry, and why the intensities that the sources gave do not settle it; empty where they may."""
    gate_run = (run.job_variables or {}).get(GATE_RUN, run.id)
    decision = read_decision(client, gate_run)
    if decision is None:
        raise CarbonPolicyError("No decision was left for it; its artifacts may have been deleted.")
    if run.start_time is None or run.end_time is None:
        raise CarbonPolicyError(f"It never started, and is {run.state_name}.")
    readings = _readings(client, run, decision)
    span = (readings[0].started_at, max(one.ended_at for one in readings))
    ran_for = sum((one.ended_at - one.started_at for one in readings), timedelta(0))
    actual, unsuited = _actual(decision, span, ran_for, grid, now)
    entry = entry_of(
        run=run,
        flow=flow,
        deployment=deployment,
        decision=decision,
        readings=readings,
        actual=actual,
        state=run.state_type.value if run.state_type else "UNKNOWN",
        span=span,
        notes=(f"Not settled: {unsuited}",) if unsuited else (),
    )
    return entry, unsuited


def _readings(client: SyncPrefectClient, run: FlowRun, decision: Decision) -> list[EnergyReading]:
    """The energy of each stretch in which the user's code ran, in order; estimated where none was left."""
    readings = read_energy(client, run.id)
    if not readings or len(readings) < run.run_count:
        gaps = [
            (start, end)
            for start, end in _stretches(client, run, decision, readings)
            if not _any_within(readings, start, end)
        ]
        alone = len(gaps) == 1 and not readings
        readings += [_estimate(run, decision, start, end, alone=alone) for start, end in gaps]
    if not readings:
        raise CarbonPolicyError(f"Its job never ran, and it is {run.state_name}.")
    return sorted(readings, key=lambda reading: reading.started_at)


def _stretches(
    client: SyncPrefectClient, run: FlowRun, decision: Decision, readings: Sequence[EnergyReading]
) -> Iterator[tuple[datetime, datetime]]:
    """When the user's code ran, UTC: while the run was Running, less the passes that only deferred it."""
    states = sorted(client.read_flow_run_states(run.id), key=lambda state: state.timestamp)
    if not any(state.type is StateType.RUNNING for state in states) and not readings:
        assert run.start_time is not None  # noqa: S101  The caller checked.
        assert run.end_time is not None  # noqa: S101
        yield run.start_time.astimezone(UTC), run.end_time.astimezone(UTC)
    in_place = run.deployment_id is not None and GATE_RUN not in (run.job_variables or {})
    for state, following in pairwise(states):
        start, end = state.timestamp.astimezone(UTC), following.timestamp.astimezone(UTC)
        # The job itself is put back only at a checkpoint, and after its first one nothing decides about its place.
        only_decided = (
            in_place
            and following.name == DEFERRED
            and (LABEL_CHECKPOINT not in run.labels or end <= decision.evidence.now)
        )
        if state.type is StateType.RUNNING and start < end and not only_decided:
            yield start, end


def _any_within(readings: Sequence[EnergyReading], start: datetime, end: datetime) -> bool:
    return any(reading.started_at < end and reading.ended_at > start for reading in readings)


def _estimate(
    run: FlowRun, decision: Decision, start: datetime, end: datetime, *, alone: bool
) -> EnergyReading:
    """The energy of a stretch that left no reading; which one, is said where it is not `alone`."""
    site = next(site for site in decision.evidence.sites if site.name == decision.site)
    failure = run.labels.get(LABEL_ENERGY_FAILURE)
    if alone:
        why = f"not measured: {failure or 'the run left no reading, as without carbon_policy'}"
    else:
        # The label is of the run: which of its stretches it was is not known.
        tracker = f" (its tracker once failed: {failure})" if failure else ""
        why = f"not measured: {start:%Y-%m-%d %H:%M:%S} to {end:%H:%M:%S} left no reading{tracker}."
    return estimate_from_site(site, start, end, why)


def _actual(
    decision: Decision, span: tuple[datetime, datetime], ran_for: timedelta, grid: GridView, now: datetime
) -> tuple[dict[str, IntensitySeries], str]:
    """The actual intensities of the run's zone and of the reference's, where they are known in full.

    None where they are of another kind of grid than the decision's; then why, in a sentence, is the second part.

    The job at once on the reference may end after the run did, above all where the run started before it was due; what
    lies ahead nobody has measured, whatever a source may answer.
    What a source has called an estimate for `SETTLES_AFTER` is as good as it will get.
    """
    evidence = decision.evidence
    site = next(site for site in evidence.sites if site.name == decision.site)
    reference = reference_site(evidence) or site
    at_once_ends = evidence.submitted_at + ran_for * (site.speed / reference.speed)
    start, end = min(evidence.submitted_at, span[0]), max(span[1], at_once_ends)
    found: dict[str, IntensitySeries] = {}
    if end > now:
        return found, ""
    for zone in {site.zone, reference.zone}:
        answer = grid.actuals(zone, start, end)
        series = answer.series
        if series is None or not series.covers(start, end):
            continue
        unsuited = _of_another_grid(decision, series)
        if unsuited:
            return {}, unsuited
        if now - end > SETTLES_AFTER:
            series = changed(series, estimated=())
        found[zone] = series
    return found, ""


def _of_another_grid(decision: Decision, series: IntensitySeries) -> str:
    """Why these intensities do not account for this decision: one is of a real grid, one of a simulated; else empty.

    Made-up hours would hide what a job of the real grid emitted. Real ones would make a claim of a job that was only
    tried on a simulated grid. Nor could what either predicted be held against what came of it. A decision that asked
    no grid is of neither.
    """
    evidence = decision.evidence
    own = evidence.outlook.get(series.zone)
    seen = [own] if own is not None else list(evidence.outlook.values())
    if not seen and not weighs(evidence.spec, evidence.released):
        return ""
    # A simulated grid always answers, so a decision that asked and got nothing asked real sources.
    simulated = {one.simulated for one in seen} or {False}
    if series.simulated in simulated:
        return ""
    then, now = ("a real", "a simulated") if series.simulated else ("a simulated", "a real")
    sources = ", ".join(dict.fromkeys(one.source for one in seen)) or "no source answered"
    return (
        f"decided on {then} grid ({sources}), while the policy's sources now speak of {now} one ({series.source})."
        " A job is settled on the kind of grid that it was decided on: name such a source again."
    )


def _leave(client: SyncPrefectClient, run: FlowRun, entry: LedgerEntry) -> None:
    """The run's account on the server, for people: a new version under the same keys."""
    leave_artifact(
        client,
        run,
        artifact_key("emissions", entry.flow, entry.deployment),
        "markdown",
        emissions_markdown(entry),
    )
    leave_artifact(
        client,
        run,
        artifact_key("emissions-table", entry.flow, entry.deployment),
        "table",
        emissions_table(entry),
    )
