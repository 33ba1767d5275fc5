"""What a run leaves on the Prefect server: labels, tags, artifacts, an event.

They are read back by the ledger, so that a container needs no database. Nothing here may fail a job: whatever
goes wrong is logged with its cause.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import partial
from itertools import count
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import ArtifactCreate
from prefect.client.schemas.objects import FlowRun
from prefect.events import emit_event
from prefect.utilities.urls import url_for

from carbon_policy.domain.chain import ChainStep
from carbon_policy.domain.decision import Action, Decision, Option, Plan
from carbon_policy.domain.energy import EnergyReading
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.domain.times import format_duration
from carbon_policy.domain.units import format_energy, format_grams
from carbon_policy.orchestration.grounds import grounds_of
from carbon_policy.orchestration.names import LABEL_PLAN
from carbon_policy.orchestration.waits import wait_of

logger = logging.getLogger("prefect.carbon_policy")

DECISION_TYPE = "carbon-decision"
ENERGY_TYPE = "carbon-energy"
OUTLOOK_TYPE = "carbon-outlook"

_PAGE = 50
"""Artifacts asked for at once."""


def quietly(what: str, action: Callable[[], Any]) -> Any:
    """Do something that must never fail a job; a failure is logged, and `None` comes back."""
    try:
        return action()
    except Exception as error:
        logger.warning("carbon-policy could not %s: %s: %s", what, type(error).__name__, error)
        return None


def artifact_key(kind: str, flow: str, deployment: str | None) -> str:
    """The stable key of one kind of artifact of one deployment: the UI shows its versions run by run."""
    parts = f"carbon-{kind}-{flow}-{deployment or 'direct'}".lower()
    return re.sub(r"[^a-z0-9]+", "-", parts).strip("-")


def leave_artifact(
    client: SyncPrefectClient, run: FlowRun, key: str, kind: str, data: Any, description: str = ""
) -> None:
    """Create an artifact under a run."""
    client.create_artifact(
        ArtifactCreate(key=key, type=kind, data=data, description=description, flow_run_id=run.id)
    )


def record_decision(
    client: SyncPrefectClient, run: FlowRun, decision: Decision, flow: str, deployment: str | None
) -> None:
    """Leave a decision under the run that asked for it: for machines, for people, and as an event.

    The plan of a run that is to wait is a label as well: a re-plan of many runs reads it with the run itself.
    """
    plan = plan_of(decision)
    if plan is not None:
        quietly("keep the plan", lambda: add_labels(client, run.id, {LABEL_PLAN: plan.model_dump_json()}))
    leave_decision(client, run, decision, flow, deployment, "decision", DECISION_TYPE)


def leave_decision(
    client: SyncPrefectClient,
    run: FlowRun,
    decision: Decision,
    flow: str,
    deployment: str | None,
    kind: str,
    artifact_type: str,
) -> None:
    """Leave a decision under a run: two artifacts, for machines and for people, and an event.

    Args:
        client: A client of the server.
        run: The run.
        decision: What was decided.
        flow: Name of its flow.
        deployment: Name of the user's deployment; `None` for a direct call.
        kind: What it is a decision about; names the event and the artifacts' keys.
        artifact_type: Of the artifact for machines.
    """
    quietly(
        f"record the {kind}",
        lambda: leave_artifact(
            client,
            run,
            artifact_key(f"{kind}-data", flow, deployment),
            artifact_type,
            json.dumps(decision.model_dump(mode="json")),
        ),
    )
    quietly(
        f"record the {kind} for people",
        lambda: leave_artifact(
            client,
            run,
            artifact_key(kind, flow, deployment),
            "markdown",
            decision_markdown(decision),
            decision.sentence,
        ),
    )
    quietly(
        f"emit the {kind}",
        lambda: emit_event(
            event=f"carbon-policy.{kind}",
            resource={
                "prefect.resource.id": f"prefect.flow-run.{run.id}",
                "prefect.resource.name": run.name,
                "carbon-policy.action": decision.action.value,
                "carbon-policy.reason": decision.reason.value,
            },
            payload={
                "sentence": decision.sentence,
                "site": decision.site,
                "start": decision.start.isoformat(),
                "predicted_saving_gco2": decision.predicted_saving_gco2,
            },
        ),
    )


class Outlooks:
    """Leaves outlooks on the server, each once, for all the decisions that name it by its fingerprint.

    Args:
        client: A client of the server.
    """

    def __init__(self, client: SyncPrefectClient) -> None:
        self._client = client
        self._left: dict[str, str] = {}

    def leave(self, decision: Decision) -> list[IntensitySeries]:
        """Leave those that a decision was made from; returns the ones that are new since the last."""
        new = [
            series
            for zone, series in decision.evidence.outlook.items()
            if self._left.get(zone) != series.fingerprint
        ]
        for series in new:
            self._left[series.zone] = series.fingerprint
            quietly("keep the outlook", partial(self._create, series))
        return new

    def _create(self, series: IntensitySeries) -> None:
        self._client.create_artifact(
            ArtifactCreate(
                key=artifact_key("outlook", series.zone, series.signal.value),
                type=OUTLOOK_TYPE,
                data=series.model_dump_json(),
                description=f"{series.source}, id {series.fingerprint}",
            )
        )


def emit_outlook_change(zone: str, why: str, step: ChainStep | None) -> None:
    """Tell automations that plans for a zone would change."""
    quietly(
        "emit the change of the outlook",
        lambda: emit_event(
            event="carbon-policy.outlook-changed",
            resource={
                "prefect.resource.id": f"carbon-policy.zone.{zone}",
                "prefect.resource.name": zone,
                "carbon-policy.step": step.value if step else "nothing",
            },
            payload={"why": why},
        ),
    )


def record_energy(
    client: SyncPrefectClient, run: FlowRun, reading: EnergyReading, flow: str, deployment: str | None
) -> None:
    """Leave a run's energy, for the ledger."""
    leave_artifact(
        client,
        run,
        artifact_key("energy-data", flow, deployment),
        ENERGY_TYPE,
        reading.model_dump_json(),
        f"{format_energy(reading.energy_kwh)} ({reading.methods})",
    )


def read_decision(client: SyncPrefectClient, run_id: Any) -> Decision | None:
    """The last decision that was left under a run; `None` where there is none that can be read."""
    data = next(_latest_data(client, run_id, DECISION_TYPE), None)
    return Decision.model_validate_json(data) if data is not None else None


def plan_of(decision: Decision) -> Plan | None:
    """What a decision plans for a run that is to wait; `None` where it does not wait, or for no site."""
    if decision.action is not Action.DEFER or decision.site is None:
        return None
    before = decision.evidence.plan
    stands = before is not None and (before.site, before.start) == (decision.site, decision.start)
    return Plan(
        site=decision.site,
        start=decision.start,
        decided_at=decision.evidence.now,
        by=before.by if before is not None and stands else None,
    )


def planned_of(run: FlowRun) -> Plan | None:
    """What was planned for a run, at the start to which it was moved last; `None` where it does not say."""
    wait = wait_of(run)
    if wait is None or wait.plan is None:
        return None
    return wait.plan.model_copy(update={"start": wait.until}) if wait.until else wait.plan


def read_plan(client: SyncPrefectClient, run: FlowRun, start: datetime) -> Plan | None:
    """What is planned for a waiting run; `None` where that cannot be told.

    Args:
        client: A client of the server.
        run: As the server has it.
        start: When the server will start it, UTC: it may have been moved since it was decided.
    """
    plan = planned_of(run)
    if plan is None:
        # It was deferred by a release that left no such label.
        decision = read_decision(client, run.id)
        plan = plan_of(decision) if decision is not None else None
    return plan.model_copy(update={"start": start}) if plan is not None else None


def read_energy(client: SyncPrefectClient, run_id: Any) -> list[EnergyReading]:
    """The energy that was left under a run, one reading for each attempt, the oldest first."""
    return [
        EnergyReading.model_validate_json(item)
        for item in reversed([*_latest_data(client, run_id, ENERGY_TYPE)])
    ]


def _latest_data(client: SyncPrefectClient, run_id: Any, kind: str) -> Iterator[str]:
    """All artifacts of a kind, the newest first; another page is asked for only when it is needed."""
    for offset in count(0, _PAGE):
        page = client.request(
            "POST",
            "/artifacts/filter",
            json={
                "artifacts": {"flow_run_id": {"any_": [str(run_id)]}, "type": {"any_": [kind]}},
                "sort": "CREATED_DESC",
                "limit": _PAGE,
                "offset": offset,
            },
        ).json()
        yield from (_as_text(item["data"]) for item in page)
        if len(page) < _PAGE:
            return


def _as_text(data: Any) -> str:
    return data if isinstance(data, str) else json.dumps(data)


def link_to(run: FlowRun) -> str:
    """The page of a run in the Prefect UI, or its id where the UI's address is not known."""
    return url_for(run) or f"flow run {run.id}"


def decision_markdown(decision: Decision) -> str:
    """A decision for people: the sentence, the alternatives, the settings with their sources, the evidence."""
    evidence = decision.evidence
    rows = [*decision.alternatives]
    if decision.counterfactual is not None and not any(_same(decision.counterfactual, row) for row in rows):
        rows.append(decision.counterfactual)
    lines = [
        f"### {decision.sentence}",
        "",
        f"Decided {_clock(evidence.now)}; the run was due {_clock(evidence.submitted_at)}; reason `{decision.reason}`.",
        "",
        "| | site | start (UTC) | takes | energy | expected |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        taken = decision.chosen is not None and _same(row, decision.chosen)
        mark = "**chosen**" if taken else "at once on fast" if _same(row, decision.counterfactual) else ""
        grams = format_grams(row.gco2) if row.gco2 is not None else "unknown"
        lines.append(
            f"| {mark} | {row.site} ({row.tier}) | {_clock(row.start)} | {format_duration(row.finish - row.start)}"
            f" | {format_energy(row.energy_kwh)} | {grams} |"
        )
    lines += ["", *(f"- {ground.kind}: {ground.sentence}" for ground in grounds_of(decision))]
    lines += ["", "| setting | value | from |", "|---|---|---|"]
    lines += [f"| {name} | {value} | {source} |" for name, value, source in settings_rows(decision)]
    lines += [
        "",
        *(_source_line(zone, decision) for zone in evidence.outlook),
        *(f"- {n}" for n in evidence.remarks),
    ]
    return "\n".join(lines)


def settings_rows(decision: Decision, *, only_set: bool = True) -> list[tuple[str, str, str]]:
    """Name, value and source of each setting of the job."""
    spec, sources = decision.evidence.spec, decision.evidence.sources
    rows = []
    for name in type(spec).model_fields:
        value = getattr(spec, name)
        source = sources.get(name, "default")
        if only_set and source == "default":
            continue
        shown = format_duration(value) if hasattr(value, "total_seconds") else str(value)
        rows.append((name, shown, source))
    return rows


def _source_line(zone: str, decision: Decision) -> str:
    series = decision.evidence.outlook[zone]
    simulated = "**simulated**, " if series.simulated else ""
    issued = f", issued {_clock(series.issued_at)}" if series.issued_at else ""
    return (
        f"- {zone}: {simulated}{series.source}, {series.signal} intensity, {series.factors} factors{issued},"
        f" to {_clock(series.end)}, id `{series.fingerprint}`"
    )


def _same(left: Option | None, right: Option | None) -> bool:
    return left is not None and right is not None and (left.site, left.start) == (right.site, right.start)


def _clock(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def add_labels(client: SyncPrefectClient, run_id: Any, labels: Mapping[str, Any]) -> None:
    """Patch labels into a run; those already there stay."""
    client.update_flow_run_labels(run_id, dict(labels))
