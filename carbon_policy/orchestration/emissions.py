"""From a run, its decision and its energy to one entry of the ledger, and to a page for people."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from prefect.client.schemas.objects import FlowRun

from carbon_policy.accounting.counterfactual import counterfactual
from carbon_policy.accounting.grams import slot_grams, total_gco2
from carbon_policy.domain.decision import Decision
from carbon_policy.domain.energy import EnergyReading
from carbon_policy.domain.errors import HorizonError
from carbon_policy.domain.job import JobSpec
from carbon_policy.domain.ledger import LedgerEntry, SlotGrams
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.domain.site import Site
from carbon_policy.domain.times import format_duration
from carbon_policy.domain.units import format_energy, format_grams
from carbon_policy.estimation.parameters import plain_parameters
from carbon_policy.grid.sanity import differing
from carbon_policy.orchestration.names import GATE_RUN, TAG_PLACED, TAG_TWIN
from carbon_policy.policies.needs import reference_site
from carbon_policy.report.wording import unhappy_end


def entry_of(
    *,
    run: FlowRun,
    flow: str,
    deployment: str | None,
    decision: Decision,
    readings: Sequence[EnergyReading],
    actual: Mapping[str, IntensitySeries],
    state: str,
    span: tuple[datetime, datetime],
    notes: Sequence[str] = (),
) -> LedgerEntry:
    """One entry of the ledger.

    Args:
        run: The run that ran the user's code.
        flow: Name of its flow.
        deployment: Name of the user's deployment; `None` for a direct call.
        decision: Why it ran there and then.
        readings: Its energy, one reading an attempt; at least one.
        actual: Zone to actual intensity; where a zone is missing the decision's outlook stands in. That is
            labelled preliminary, as are actual intensities that their source calls estimates.
        state: The run's final state type.
        span: Start and end of the user's code, UTC.
        notes: Anything else that a reader must know.
    """
    evidence = decision.evidence
    site = next(site for site in evidence.sites if site.name == decision.site)
    reference = reference_site(evidence) or site
    reading = merged(readings)
    running_s = sum((one.ended_at - one.started_at).total_seconds() for one in readings)
    share = _uninterrupted(evidence.spec, len(readings), running_s)
    series, preliminary = _series_for(site, actual, decision)
    slots = _slots_or_none(reading, series, site)
    other, other_preliminary = _series_for(reference, actual, decision)
    there = None
    if other is not None and series is not None and differing(other.labels, series.labels):
        notes = (
            *notes,
            f"No counterfactual: {reference.zone}'s intensities are {other.labels}, {site.zone}'s {series.labels};"
            " the two do not make a saving.",
        )
    elif other is not None:
        try:
            there = counterfactual(reading, site, reference, evidence.submitted_at, other, share)
        except HorizonError:
            there = None
    if there is not None and share < 1:
        notes = (
            *notes,
            f"The counterfactual is of {share:.0%} of the running time and energy: the rest went into"
            f" {len(readings) - 1} stops and restarts, which there would not have been at once on {reference.name}.",
        )
    # A run that started early is over before what it is compared with, and is looked at again when that is known.
    awaited = there is None and reference.zone not in actual and span[0] < evidence.submitted_at
    source = series or other
    return LedgerEntry(
        job_run_id=str(run.id),
        gate_run_id=(run.job_variables or {}).get(GATE_RUN) or (str(run.id) if run.deployment_id else None),
        run_name=run.name,
        flow=flow,
        deployment=deployment,
        site=site.name,
        tier=site.tier,
        zone=site.zone,
        reason=decision.reason.value,
        sentence=decision.sentence,
        decision_json=decision.model_dump_json(),
        state=state,
        submitted_at=evidence.submitted_at,
        started_at=span[0],
        ended_at=span[1],
        deferrals=evidence.deferrals,
        energy_kwh=reading.energy_kwh,
        measured_kwh=reading.measured_kwh,
        estimated_kwh=reading.estimated_kwh,
        energy_methods=reading.methods,
        energy_note=reading.note,
        pue=site.pue,
        gco2=total_gco2(slots) if slots is not None else None,
        slots=slots or (),
        counterfactual_energy_kwh=there[0] if there else None,
        counterfactual_gco2=total_gco2(there[1]) if there else None,
        counterfactual_slots=there[1] if there else (),
        intensity_source=source.source if source else "",
        signal=source.signal.value if source else "average",
        factors=source.factors.value if source else "life-cycle",
        simulated=source.simulated if source else False,
        predicted_gco2=decision.chosen.gco2 if decision.chosen else None,
        predicted_saving_gco2=decision.predicted_saving_gco2,
        preliminary=(slots is not None and preliminary)
        or (there is not None and other_preliminary)
        or awaited,
        notes=tuple(notes),
        tags=tuple(sorted({*run.tags} - {TAG_PLACED, TAG_TWIN})),
        parameters=plain_parameters(run.parameters),
        quantity=evidence.spec.quantity,
        functional_unit=evidence.spec.functional_unit,
        cost=site.cost(reading.energy_kwh * site.pue, running_s / 3600),
        running_s=running_s,
    )


def _uninterrupted(spec: JobSpec, stretches: int, running_s: float) -> float:
    """The share of the running time that was not spent on stops and restarts, by what was declared of them."""
    if not spec.interruptible or stretches < 2 or running_s <= 0:
        return 1.0
    lost_s = (stretches - 1) * (spec.stop_cost + spec.restart_cost).total_seconds()
    return max(0.0, 1 - lost_s / running_s)


def merged(readings: Sequence[EnergyReading]) -> EnergyReading:
    """The energy of all attempts of one run as one reading."""
    if len(readings) == 1:
        return readings[0]
    return EnergyReading(
        started_at=min(reading.started_at for reading in readings),
        ended_at=max(reading.ended_at for reading in readings),
        parts=tuple(part for reading in readings for part in reading.parts),
        segments=tuple(segment for reading in readings for segment in reading.segments),
        tool=readings[0].tool,
        note=f"{len(readings)} attempts, summed. "
        + " ".join(dict.fromkeys(r.note for r in readings if r.note)),
    )


def _series_for(
    site: Site, actual: Mapping[str, IntensitySeries], decision: Decision
) -> tuple[IntensitySeries | None, bool]:
    """The intensities to account with, and whether they may still change: a forecast, or the source's estimates."""
    if site.zone in actual:
        return actual[site.zone], any(actual[site.zone].estimated)
    return decision.evidence.outlook.get(site.zone), True


def _slots_or_none(
    reading: EnergyReading, series: IntensitySeries | None, site: Site
) -> tuple[SlotGrams, ...] | None:
    if series is None:
        return None
    try:
        return slot_grams(reading.segments, series, site.pue)
    except HorizonError:
        return None


def emissions_markdown(entry: LedgerEntry) -> str:
    """One run's account for people: headline, how the energy was obtained, and the factors slot by slot."""
    saved = entry.saved_gco2
    if entry.gco2 is None:
        headline = "Emissions are not known yet: no intensity is known for the time of the run."
    elif saved is None:
        headline = f"Emitted {format_grams(entry.gco2)}."
    else:
        word = "saved" if saved >= 0 else "cost"
        headline = (
            f"Emitted {format_grams(entry.gco2)}; at once on fast it would have been"
            f" {format_grams(entry.counterfactual_gco2 or 0)}: {word} {format_grams(abs(saved))}."
        )
    end = unhappy_end(entry)
    simulated = " **The grid is simulated: no claim may be built on these grams.**" if entry.simulated else ""
    lines = [
        f"### {headline}{simulated}",
        "",
        f"{entry.sentence}",
        "",
        "| | |",
        "|---|---|",
        f"| Site | {entry.site} ({entry.tier}), zone {entry.zone} |",
        f"| Reason | `{entry.reason}`, deferred {entry.deferrals} times |",
        *((f"| End | {end}: the job did not complete |",) if end else ()),
        _wait_row(entry.wait_s),
        f"| Energy | {format_energy(entry.energy_kwh)}: {format_energy(entry.measured_kwh)} measured,"
        f" {format_energy(entry.estimated_kwh)} estimated ({entry.energy_methods}) |",
        f"| PUE | {entry.pue:g} |",
        f"| Intensity | {entry.intensity_source}, {entry.signal}, {entry.factors} factors |",
    ]
    if entry.energy_note:
        lines.append(f"| About the energy | {entry.energy_note} |")
    if entry.preliminary:
        lines.append(
            "| Preliminary | The actual intensities are not known yet, or are their source's estimates. |"
        )
    lines += [f"| Note | {note} |" for note in entry.notes]
    if entry.slots:
        lines += ["", "| from (UTC) | to | kWh with PUE | g/kWh | g |", "|---|---|---|---|---|"]
        lines += [
            f"| {slot.start:%m-%d %H:%M:%S} | {slot.end:%H:%M:%S} | {slot.energy_kwh:.9f}"
            f" | {slot.gco2_per_kwh:.1f} | {slot.gco2:.6f} |"
            for slot in entry.slots
        ]
    return "\n".join(lines)


def _wait_row(wait_s: float) -> str:
    if wait_s < 0:
        return f"| Started early | {format_duration(timedelta(seconds=-wait_s))} before it was due |"
    return f"| Waited | {format_duration(timedelta(seconds=wait_s))} |"


def emissions_table(entry: LedgerEntry) -> str:
    """The factors of a run's grams as the JSON of a Prefect table: a row a slot, for it and its counterfactual."""
    rows = [
        {
            "what": what,
            "from (UTC)": slot.start.isoformat(timespec="seconds"),
            "to (UTC)": slot.end.isoformat(timespec="seconds"),
            "kWh with PUE": slot.energy_kwh,
            "g/kWh": slot.gco2_per_kwh,
            "gCO2e": slot.gco2,
        }
        for what, slots in (("this run", entry.slots), ("at once on fast", entry.counterfactual_slots))
        for slot in slots
    ]
    return json.dumps(rows)
