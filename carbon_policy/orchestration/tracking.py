"""Running the user's code under the energy tracker, and leaving on the server what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import FlowRun

from carbon_policy.domain.decision import Decision
from carbon_policy.domain.energy import EnergyReading
from carbon_policy.energy.estimate import estimate_from_site
from carbon_policy.energy.tracker import EnergyTracker
from carbon_policy.orchestration.emissions import emissions_markdown, entry_of
from carbon_policy.orchestration.names import GATE_RUN, LABEL_ENERGY_FAILURE, TAG_PLACED
from carbon_policy.orchestration.records import (
    add_labels,
    artifact_key,
    leave_artifact,
    quietly,
    read_decision,
    read_energy,
    record_energy,
)
from carbon_policy.orchestration.settings import CarbonSettings


@contextmanager
def tracked(
    run: FlowRun, flow_name: str, deployment: str | None, decision: Callable[[], Decision | None]
) -> Iterator[None]:
    """Measure what happens inside, and record it under the run, however it ends.

    Args:
        run: The run that this process is running.
        flow_name: Name of its flow.
        deployment: Name of the user's deployment; `None` for a direct call.
        decision: Gives, once the job is done, why it ran here and now; where it gives `None`, the decision is
            looked up at the run that placed this one.
    """
    settings = CarbonSettings()
    tracker = EnergyTracker(measure_every_s=settings.measure_every_s)
    started_at = datetime.now(UTC)
    try:
        with tracker:
            yield
    finally:
        ended_at = datetime.now(UTC)
        quietly(
            "record the run's emissions",
            lambda: _leave(run, flow_name, deployment, decision(), tracker, (started_at, ended_at)),
        )


def _leave(
    run: FlowRun,
    flow_name: str,
    deployment: str | None,
    decision: Decision | None,
    tracker: EnergyTracker,
    span: tuple[datetime, datetime],
) -> None:
    with get_client(sync_client=True) as client:
        if TAG_PLACED not in run.tags:
            quietly(
                "tag the run", lambda: client.update_flow_run(run.id, tags=sorted({*run.tags, TAG_PLACED}))
            )
        reading, failure = tracker.reading, tracker.failure
        if reading is None:
            # The tracker has logged it; here it is kept for the ledger.
            add_labels(client, run.id, {LABEL_ENERGY_FAILURE: str(failure)[:500]})
        else:
            record_energy(client, run, reading, flow_name, deployment)
        gate_run = (run.job_variables or {}).get(GATE_RUN)
        if decision is None and gate_run:
            decision = read_decision(client, gate_run)
        quietly(
            "leave the emissions artifact",
            lambda: _leave_emissions(client, run, flow_name, deployment, decision, reading, failure, span),
        )


def _leave_emissions(
    client: SyncPrefectClient,
    run: FlowRun,
    flow_name: str,
    deployment: str | None,
    decision: Decision | None,
    reading: EnergyReading | None,
    failure: str | None,
    span: tuple[datetime, datetime],
) -> None:
    """A first account, on the outlook that the decision was made from; the ledger's collector replaces it."""
    if decision is None:
        return
    site = next(site for site in decision.evidence.sites if site.name == decision.site)
    # Those of earlier attempts, and of the slices before this one, too.
    readings = read_energy(client, run.id)
    if reading is None:
        readings.append(estimate_from_site(site, *span, f"not measured: {failure}"))
    else:
        # Finding the sensors comes before the job; it is not the job's time.
        span = (reading.started_at, reading.ended_at)
        readings = readings or [reading]
    entry = entry_of(
        run=run,
        flow=flow_name,
        deployment=deployment,
        decision=decision,
        readings=readings,
        actual={},
        state="RUNNING",
        span=span,
    )
    leave_artifact(
        client, run, artifact_key("emissions", flow_name, deployment), "markdown", emissions_markdown(entry)
    )
