"""A decision as a person reads it in a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from carbon_policy.cli.chart import Mark, intensity_chart
from carbon_policy.domain.chain import ChainStep
from carbon_policy.domain.decision import Action, Decision, Option
from carbon_policy.domain.finding import Finding
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.domain.times import format_duration
from carbon_policy.domain.units import format_energy, format_grams, sign
from carbon_policy.orchestration.grounds import Ground, grounds_of
from carbon_policy.orchestration.records import settings_rows
from carbon_policy.policies.load import run_time
from carbon_policy.policies.needs import reference_site

_WIDEST_CHART = 110
_DAY = timedelta(days=1)

_STEPS = {
    ChainStep.PINNED: "a source that the policy names.",
    ChainStep.KEYLESS: "the zone's live source that takes no account.",
    ChainStep.KEYED: "a source with an account, whose block stands on the server.",
    ChainStep.LAST_GOOD: "no live source answers, so the last forecast that one gave is taken.",
    ChainStep.OWN_FORECAST: "no live source answers, so we forecast from the zone's stored history.",
    ChainStep.YEARLY_MEAN: "nothing of the hours is known, only the zone's mean over a year.",
}

_STYLES = {Action.RUN: "green", Action.DEFER: "cyan", Action.SKIP: "yellow", Action.FAIL: "red"}


def decision_view(decision: Decision, deployment: str, placed_by: str | None, width: int) -> RenderableType:
    """A decision with its alternatives, its outlook and its settings.

    Args:
        decision: Of a run that is only imagined.
        deployment: `flow/deployment`.
        placed_by: What would ask for this decision; `None` where nothing would.
        width: Columns of the terminal.
    """
    return Group(
        *_headline(decision, deployment, placed_by),
        _options(decision),
        *map(_ground_line, grounds_of(decision)),
        *_outlook(decision, min(width, _WIDEST_CHART)),
        _settings(decision),
        *(Text(f"note: {note}", style="yellow") for note in decision.evidence.notes),
        *map(finding_line, decision.evidence.findings),
    )


def source_line(series: IntensitySeries, fingerprint: str | None = None) -> Text:
    """Where intensities come from: zone, source, labels, issue time, horizon and id.

    Args:
        series: Of one zone.
        fingerprint: Of the whole that the series is a part of; its own, if not said.
    """
    text = Text(f"{series.zone}: ", style="bold")
    if series.simulated:
        text.append("SIMULATED, so that no claim may be built on it; ", style="bold yellow")
    issued = f", issued {_moment(series.issued_at)}" if series.issued_at else ""
    text.append(
        f"{series.source}, {series.signal} signal, {series.factors} factors{issued}, to {_moment(series.end)},"
        f" id {fingerprint or series.fingerprint}",
        style="not bold",
    )
    return text


def step_line(step: ChainStep) -> Text:
    """Where in the fallback chain an outlook was found."""
    worse = step in (ChainStep.LAST_GOOD, ChainStep.OWN_FORECAST, ChainStep.YEARLY_MEAN)
    return Text(f"  found at step {step}: {_STEPS[step]}", style="yellow" if worse else "dim")


def finding_line(finding: Finding, of: str = "") -> Text:
    """What was amiss, what was done about it, and of whose answer.

    Args:
        finding: Of a source's answer.
        of: The zone, where there are several.
    """
    return Text.assemble(
        (f"{of}: " if of else "", "yellow"),
        (f"{finding.kind}, {finding.treatment}: ", "bold yellow"),
        (f"{finding.source}: {finding.sentence}", "yellow"),
    )


def _headline(decision: Decision, deployment: str, placed_by: str | None) -> Iterator[Text]:
    style = _STYLES[decision.action]
    yield Text.assemble((f"{decision.action.value.upper()} ", f"bold {style}"), (decision.sentence, "bold"))
    by = f", placed by {placed_by}" if placed_by else ""
    yield Text(
        f"{deployment}{by}; as of {_moment(decision.evidence.now)} UTC; reason {decision.reason}", style="dim"
    )
    saving = decision.predicted_saving_gco2
    if sign(saving) and saving is not None:
        word = "less" if saving > 0 else "more"
        yield Text(f"Expected: {format_grams(abs(saving))} {word} than at once on fast.")
    if placed_by is None:
        yield Text(
            "Nobody asks for this decision at present: the deployment is not on the carbon work pool, and no"
            " decorator was recorded with it.",
            style="yellow",
        )


def _ground_line(ground: Ground) -> Text:
    return Text.assemble((f"{ground.kind}: ", "bold"), (ground.sentence, "not bold"))


def _options(decision: Decision) -> Table:
    rows = _rows(decision)
    priced = any(option.cost is not None for option in rows)
    kinds = {site.name: site.kind for site in decision.evidence.sites}
    table = Table(box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("Site")
    table.add_column("Start (UTC)", no_wrap=True)
    table.add_column("Finish, takes", no_wrap=True)
    table.add_column("Energy", justify="right", no_wrap=True)
    table.add_column("Expected", justify="right", no_wrap=True)
    if priced:
        table.add_column("Money", justify="right", no_wrap=True)
    table.add_column("Note")
    for option in rows:
        table.add_row(
            _site(option, kinds.get(option.site)),
            _moment(option.start),
            _finish(option),
            format_energy(option.energy_kwh),
            "unknown" if option.gco2 is None else format_grams(option.gco2),
            *([_money(option)] if priced else []),
            ", ".join(_notes(option, decision)),
            style="bold green" if _same(option, decision.chosen) else "",
        )
    return table


def _site(option: Option, kind: str | None) -> str:
    """Its name, with its tier and what it is where the name does not say so."""
    more = [word for word in (option.tier, kind) if word and word != option.site]
    return f"{option.site} ({', '.join(more)})" if more else option.site


def _rows(decision: Decision) -> list[Option]:
    """The alternatives, the greenest first, with the counterfactual and what was chosen among them."""
    rows = list(decision.alternatives)
    for option in (decision.chosen, decision.counterfactual):
        if option is not None and not any(_same(option, row) for row in rows):
            rows.append(option)
    return rows


def _notes(option: Option, decision: Decision) -> Iterator[str]:
    if _same(option, decision.chosen):
        yield "chosen"
    if _same(option, decision.counterfactual):
        yield "at once on fast"
    if decision.would_have is not None and _same(option, decision.would_have.chosen):
        yield "would be chosen"
    if option.slices:
        yield f"in {len(option.slices)} slices"
    if option.note:
        yield option.note


def _money(option: Option) -> str:
    return "–" if option.cost is None else f"{option.cost:.4g}"


def _outlook(decision: Decision, width: int) -> Iterator[RenderableType]:
    """The outlook of the zone that was chosen, with the window; then where each zone's comes from."""
    evidence, chosen = decision.evidence, decision.chosen
    zones = {site.name: site.zone for site in evidence.sites}
    reference = reference_site(evidence)
    zone = zones.get(chosen.site) if chosen else reference.zone if reference else None
    series = evidence.outlook.get(zone or "")
    if series is not None and series.start <= evidence.now < series.end:
        marks = [Mark(chosen.start, chosen.finish, f"{chosen.site}, {_clocks(chosen)}")] if chosen else []
        yield Text(f"Carbon intensity of {zone}, gCO2e/kWh; times are UTC", style="bold")
        yield intensity_chart(series, evidence.now, _chart_end(decision, series), width, marks)
    for known in evidence.outlook.values():
        yield source_line(known)
        if known.zone in evidence.steps:
            yield step_line(evidence.steps[known.zone])


def _chart_end(decision: Decision, series: IntensitySeries) -> datetime:
    """As far as the job may be put off, which is all that was looked at; a day where it may not."""
    evidence, reference = decision.evidence, reference_site(decision.evidence)
    takes = run_time(evidence, reference) if reference else evidence.spec.duration
    latest = evidence.spec.window(evidence.submitted_at).latest_start_for(takes)
    end = latest + takes if latest else evidence.now + _DAY
    return min(series.end, max(end, decision.chosen.finish if decision.chosen else end))


def _settings(decision: Decision) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("Setting", "Value", "From"):
        table.add_column(name, overflow="fold")
    for name, value, source in settings_rows(decision, only_set=False):
        shown = {"None": "–", "()": "any"}.get(value, value)
        table.add_row(name, shown, source, style="dim" if source == "default" else "")
    return table


def _same(left: Option, right: Option | None) -> bool:
    return right is not None and (left.site, left.start) == (right.site, right.start)


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"


def _clocks(option: Option) -> str:
    seconds = ":%S" if (option.finish - option.start).total_seconds() < 120 else ""
    shape = f"%H:%M{seconds}"
    return f"{option.start:{shape}} to {option.finish:{shape}}"


def _finish(option: Option) -> str:
    return f"{option.finish:%H:%M}, {format_duration(option.finish - option.start)}"
