"""`carbon-policy report`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from carbon_policy.domain.ledger import LedgerEntry
    from carbon_policy.orchestration.collect import Collected
    from carbon_policy.store.ledger import Ledger

EXAMPLES = (
    "carbon-policy report",
    "carbon-policy report --since 7d --deployment nightly",
    "carbon-policy report --format csv > jobs.csv",
    "carbon-policy report --format html --output report.html",
    "carbon-policy report --since 2026-11-01T00:00:00Z --plot jobs.png",
)

_MOST_LEFT_OUT = 5


class Format(StrEnum):
    """How the report is written."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    HTML = "html"


def report(
    format: Annotated[
        Format, typer.Option(help="How to write it; html is one page with its plot.")
    ] = Format.TABLE,
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", dir_okay=False, help="Write it there, not to stdout.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Only jobs that started then or later; a time with its zone, or 7d ago."
        ),
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only jobs that started before; written as --since.")
    ] = None,
    deployment: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only this deployment's; a name, or flow/name.")
    ] = None,
    flow: Annotated[str | None, typer.Option(metavar="NAME", help="Only this flow's.")] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", dir_okay=False, help="Draw the jobs too, as .png or .html.")
    ] = None,
    no_collect: Annotated[
        bool, typer.Option("--no-collect", help="Report what the ledger has, without asking the server.")
    ] = False,
) -> None:
    """Report what ran, where, when and why, what it emitted, and what that saved.

    First the ledger is brought up to what the server knows.
    """
    from datetime import UTC, datetime

    from carbon_policy.cli.plotting import check_plot
    from carbon_policy.orchestration.settings import CarbonSettings
    from carbon_policy.store.ledger import Ledger

    check_plot(plot)
    now = datetime.now(UTC)
    begin, end = _moment(since, now), _moment(until, now)
    wanted_flow, _, wanted = (deployment or "").rpartition("/")
    with Ledger(CarbonSettings().ledger_address()) as ledger:
        if not no_collect:
            _collect(ledger)
        entries = ledger.entries(
            since=begin,
            until=end,
            deployment=wanted or None,
            flow=flow or wanted_flow or None,
        )
    if plot is not None:
        _plot(plot, entries)
    _write(entries, format, output)


def _moment(text: str | None, now: datetime) -> datetime | None:
    """A time with its zone, or so long ago."""
    from carbon_policy.domain.errors import InvalidInputError
    from carbon_policy.domain.times import parse_duration, parse_moment

    if text is None:
        return None
    try:
        return now - parse_duration(text.removesuffix("ago").strip())
    except InvalidInputError:
        return parse_moment(text)


def _collect(ledger: Ledger) -> None:
    from carbon_policy.cli.console import warn, working
    from carbon_policy.cli.server import NoServerError, connected
    from carbon_policy.orchestration.collect import collect
    from carbon_policy.orchestration.settings import CarbonSettings

    try:
        with connected() as client, working("Collecting from the server ..."):
            result = collect(client, ledger, CarbonSettings().policy_block)
    except NoServerError as error:
        warn(f"{error} This is what the ledger had already.")
        return
    _say(result)


def _say(result: Collected) -> None:
    from collections import Counter

    from carbon_policy.cli.console import err, warn

    err().print(f"Collected: {len(result.recorded)} recorded, {result.settled} settled before.", style="dim")
    for why, count in Counter(result.unsettled.values()).items():
        warn(f"{count} {'job is' if count == 1 else 'jobs are'} not settled: {why}")
    if result.left_out:
        warn(f"{len(result.left_out)} runs were left out.")
    for run_id, why in list(result.left_out.items())[:_MOST_LEFT_OUT]:
        err().print(f"  {run_id}: {why}", style="dim")


def _write(entries: Sequence[LedgerEntry], form: Format, output: Path | None) -> None:
    from carbon_policy.cli.console import err, out
    from carbon_policy.report.formats import to_csv, to_json, to_table
    from carbon_policy.report.html import to_html
    from carbon_policy.report.summary import summarise

    summary = summarise(entries)
    if form is Format.TABLE:
        content = to_table(entries, summary) if entries else "No jobs are in the ledger for this report yet."
        if output is None:
            out().print(content)
            return
        console = out()
        with console.capture() as capture:
            console.print(content)
        text = capture.get()
    elif form is Format.HTML:
        text = to_html(entries, summary, _embedded_plot(entries))
    else:
        text = to_json(entries, summary) if form is Format.JSON else to_csv(entries)
    if output is None:
        typer.echo(text, nl=False)
        return
    output.parent.mkdir(parents=True, exist_ok=True)
    # The lines end as the format says.
    output.write_text(text, encoding="utf-8", newline="")
    err().print(f"The report is {output}.")


def _plot(path: Path, entries: Sequence[LedgerEntry]) -> None:
    from carbon_policy.cli.console import err, warn
    from carbon_policy.cli.plotting import jobs_on_their_grid, write_plot

    drawn = jobs_on_their_grid(entries)
    if drawn is None:
        warn("There is nothing to plot: no job's decision holds the intensity that it saw.")
        return
    series, jobs = drawn
    if len(jobs) < len(entries):
        warn(
            f"The plot is of {series.zone}: {len(entries) - len(jobs)} of {len(entries)} jobs ran elsewhere."
        )
    err().print(f"The plot is {write_plot(path, series, jobs, f'Jobs on the grid of {series.zone}')}.")


def _embedded_plot(entries: Sequence[LedgerEntry]) -> str | None:
    """The plot for the page; a page without one says the same in numbers."""
    from carbon_policy.cli.plotting import jobs_on_their_grid
    from carbon_policy.domain.errors import SetupError
    from carbon_policy.report.plot import day_plot_html

    drawn = jobs_on_their_grid(entries)
    if drawn is None:
        return None
    try:
        return day_plot_html(*drawn, f"Jobs on the grid of {drawn[0].zone}")
    except SetupError:
        return None
