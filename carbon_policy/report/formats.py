"""The report as JSON, as a spreadsheet, and as a table in the terminal."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from typing import Any

from rich import box
from rich.console import Group as Stack
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from carbon_policy.accounting.sci import sci_gco2_per_unit
from carbon_policy.domain.ledger import LedgerEntry, SlotGrams
from carbon_policy.domain.units import format_energy, format_grams, sign
from carbon_policy.report.summary import Group, Summary, deployment_of
from carbon_policy.report.wording import (
    energy_origin,
    forecast_sentence,
    format_wait,
    headline,
    placement,
    unhappy_end,
)

JSON_SCHEMA = "carbon-policy-report/2"
"""Named in the JSON; raised when a field changes its meaning."""

_STYLES = {1: "", 0: "", -1: "bold red"}

_Column = tuple[str, Callable[[LedgerEntry], object]]


def _sci(gco2: float | None, quantity: float | None) -> float | None:
    """Operational only: what making the hardware emitted is not known here."""
    return sci_gco2_per_unit(gco2, quantity) if gco2 is not None and quantity else None


_COLUMNS: tuple[_Column, ...] = (
    ("job_run_id", lambda e: e.job_run_id),
    ("gate_run_id", lambda e: e.gate_run_id),
    ("run_name", lambda e: e.run_name),
    ("flow", lambda e: e.flow),
    ("deployment", lambda e: e.deployment),
    ("site", lambda e: e.site),
    ("tier", lambda e: e.tier),
    ("zone", lambda e: e.zone),
    ("state", lambda e: e.state),
    ("reason", lambda e: e.reason),
    ("sentence", lambda e: e.sentence),
    ("submitted_at_utc", lambda e: e.submitted_at.isoformat()),
    ("started_at_utc", lambda e: e.started_at.isoformat()),
    ("ended_at_utc", lambda e: e.ended_at.isoformat()),
    ("wait_s", lambda e: e.wait_s),
    ("deferrals", lambda e: e.deferrals),
    ("energy_kwh", lambda e: e.energy_kwh),
    ("measured_kwh", lambda e: e.measured_kwh),
    ("estimated_kwh", lambda e: e.estimated_kwh),
    ("energy_methods", lambda e: e.energy_methods),
    ("pue", lambda e: e.pue),
    ("mean_gco2_per_kwh", lambda e: _mean_gco2_per_kwh(e.slots)),
    ("gco2", lambda e: e.gco2),
    ("counterfactual_energy_kwh", lambda e: e.counterfactual_energy_kwh),
    ("counterfactual_mean_gco2_per_kwh", lambda e: _mean_gco2_per_kwh(e.counterfactual_slots)),
    ("counterfactual_gco2", lambda e: e.counterfactual_gco2),
    ("saved_gco2", lambda e: e.saved_gco2),
    ("predicted_gco2", lambda e: e.predicted_gco2),
    ("predicted_saving_gco2", lambda e: e.predicted_saving_gco2),
    ("signal", lambda e: e.signal),
    ("factors", lambda e: e.factors),
    ("intensity_source", lambda e: e.intensity_source),
    ("simulated", lambda e: e.simulated),
    ("preliminary", lambda e: e.preliminary),
    ("energy_note", lambda e: e.energy_note),
    ("notes", lambda e: " | ".join(e.notes)),
    ("running_s", lambda e: e.running_s),
    ("quantity", lambda e: e.quantity),
    ("functional_unit", lambda e: e.functional_unit),
    ("gco2_per_unit", lambda e: _sci(e.gco2, e.quantity)),
    ("cost", lambda e: e.cost),
    ("tags", lambda e: " | ".join(e.tags)),
)


def to_json(entries: Sequence[LedgerEntry], summary: Summary) -> str:
    """The summary and every entry with its slots, so that each gram can be worked out again."""
    report = {
        "schema": JSON_SCHEMA,
        "summary": summary.model_dump(mode="json"),
        "entries": [_entry_json(entry) for entry in entries],
    }
    return json.dumps(report, indent=2, ensure_ascii=False) + "\n"


def to_csv(entries: Sequence[LedgerEntry]) -> str:
    """One row a job, units in the names; `energy_kwh` x `pue` x `mean_gco2_per_kwh` is `gco2`.

    Lines end as RFC 4180 says, with CR LF: write it to a file that is opened with `newline=""`.
    """
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(name for name, _ in _COLUMNS)
    writer.writerows([_cell(read(entry)) for _, read in _COLUMNS] for entry in entries)
    return buffer.getvalue()


def to_table(entries: Sequence[LedgerEntry], summary: Summary) -> RenderableType:
    """For a rich console of 80 columns or more: the jobs, each group's result, and what to know of them."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, expand=True)
    table.add_column("Job", overflow="fold", ratio=1)
    table.add_column("Decision", no_wrap=True)
    for name in ("Waited", "Energy", "gCO2e", "At once\non fast", "Saved"):
        table.add_column(name, justify="right", no_wrap=True)
    for entry in entries:
        table.add_row(*_cells(entry))
    notes = (Text(note, style="yellow") for note in summary.notes)
    return Stack(table, *(_result(group) for group in summary.groups), *notes)


def _entry_json(entry: LedgerEntry) -> dict[str, Any]:
    fields = entry.model_dump(mode="json", exclude={"decision_json"})
    for name, slots in (("slots", entry.slots), ("counterfactual_slots", entry.counterfactual_slots)):
        fields[name] = [{**slot.model_dump(mode="json"), "gco2": slot.gco2} for slot in slots]
    return {
        **fields,
        "saved_gco2": entry.saved_gco2,
        "wait_s": entry.wait_s,
        "decision": _parsed(entry.decision_json),
    }


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _mean_gco2_per_kwh(slots: Sequence[SlotGrams]) -> float | None:
    """The intensity that the energy met: weighted by energy, gCO2e/kWh."""
    energy_kwh = sum(slot.energy_kwh for slot in slots)
    return sum(slot.gco2 for slot in slots) / energy_kwh if energy_kwh > 0 else None


def _cell(value: object) -> object:
    """A cell that no spreadsheet takes for a formula; numbers stay numbers."""
    if isinstance(value, str) and (value.lstrip()[:1] in tuple("=+-@") or value[:1] in tuple("\t\r\n")):
        return f"'{value}"
    return value


def _cells(entry: LedgerEntry) -> list[Text]:
    # Text, not str: a job named [red] is a name and no markup.
    decided, end = _two_lines(placement(entry), entry.reason), unhappy_end(entry)
    if end:
        decided.append(f"\n{end}", style="bold red")
    return [
        _two_lines(entry.run_name or entry.flow, deployment_of(entry)),
        decided,
        Text(format_wait(entry.wait_s)),
        _two_lines(format_energy(entry.energy_kwh), energy_origin(entry.energy_kwh, entry.measured_kwh)),
        Text(format_grams(entry.gco2)),
        Text(format_grams(entry.counterfactual_gco2)),
        Text(format_grams(entry.saved_gco2), style=_STYLES[sign(entry.saved_gco2)]),
    ]


def _two_lines(first: str, second: str) -> Text:
    return Text.assemble(first, "\n", (second, "dim"))


def _result(group: Group) -> RenderableType:
    totals = group.totals
    text = Text(headline(group), style=_STYLES[sign(totals.saved_gco2)] or "bold")
    details = [
        f"{group.label[0].upper()}{group.label[1:]}; {', '.join(group.sources) or 'no source named'}.",
        f"Energy {format_energy(totals.energy_kwh)}: {format_energy(totals.measured_kwh)} measured,"
        f" {format_energy(totals.estimated_kwh)} estimated.",
        f"Waited {format_wait(totals.wait_mean_s)} on average, {format_wait(totals.wait_max_s)} at most.",
        forecast_sentence(group),
    ]
    text.append("".join(f"\n{line}" for line in details if line), style="not bold dim")
    return Padding(text, (1, 0, 0, 0))
