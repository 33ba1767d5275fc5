"""`carbon-policy history`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from datetime import datetime

    from carbon_policy.cli.history_shown import ShownHistory

EXAMPLES = (
    "carbon-policy history DE",
    "carbon-policy history aws:eu-central-1 --days 30 --csv de.csv",
    "carbon-policy history GB --from 2026-11-01T00:00:00Z --to 2026-11-08T00:00:00Z --plot gb.html",
    "carbon-policy history FR --ask --source carbon-electricity-maps-grid/team",
)


def history(
    zone: Annotated[
        str, typer.Argument(metavar="ZONE", help="A zone, or a cloud's region, as aws:eu-west-1.")
    ],
    days: Annotated[float, typer.Option(metavar="N", min=0.01, help="How far back to look.")] = 7,
    begin: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="From this time on, with its zone.")
    ] = None,
    end: Annotated[
        str | None,
        typer.Option("--to", metavar="TIME", help="Up to this time, with its zone; now, if not said."),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Only this source's values, as `carbon-policy zones` names it; with --ask, a block's slug/name.",
        ),
    ] = None,
    ask: Annotated[bool, typer.Option("--ask", help="Ask the sources, and not the store.")] = False,
    csv: Annotated[
        Path | None,
        typer.Option(metavar="FILE", dir_okay=False, help="Write the slots there; .gz packs them."),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", dir_okay=False, help="Draw it, as .png or .html.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print slots, gaps and revisions as data.")] = False,
) -> None:
    """Show what was measured of a zone: day by day, with its gaps, its estimates and what was revised."""
    import json
    from datetime import UTC, datetime, timedelta

    from carbon_policy.cli.console import err, out, warn
    from carbon_policy.cli.grid import resolved
    from carbon_policy.cli.history_shown import as_document, as_plot, write_csv
    from carbon_policy.cli.history_view import history_view
    from carbon_policy.cli.plotting import check_plot
    from carbon_policy.domain.errors import InvalidInputError
    from carbon_policy.domain.times import parse_moment

    check_plot(plot)
    until = parse_moment(end) if end else datetime.now(UTC)
    since = parse_moment(begin) if begin else until - timedelta(days=days)
    if since >= until:
        raise InvalidInputError(f"There is no time from {since} to {until}; let --to be later than --from.")
    (key,) = resolved([zone], lenient=source is not None)
    shown = _asked(key, since, until, source) if ask else _stored(key, since, until, source)
    for remark in shown.remarks:
        warn(remark)
    if csv is not None:
        err().print(f"{write_csv(shown, csv)} are in {csv}.")
    if plot is not None:
        from carbon_policy.report.curve import write_curve

        err().print(f"The plot is {write_curve(plot, as_plot(shown))}.")
    if as_json:
        typer.echo(json.dumps(as_document(shown), indent=2, ensure_ascii=False))
        return
    console = out()
    console.print(history_view(shown, console.width))


def _stored(zone: str, start: datetime, end: datetime, source: str | None) -> ShownHistory:
    from carbon_policy.cli.grid import opened_history
    from carbon_policy.cli.history_shown import of_store

    with opened_history() as kept:
        return of_store(kept, zone, start, end, source)


def _asked(zone: str, start: datetime, end: datetime, source: str | None) -> ShownHistory:
    from carbon_policy.cli.console import working
    from carbon_policy.cli.grid import team_grid
    from carbon_policy.cli.history_shown import of_answer

    with working("Asking the grid ..."), team_grid(source) as grid:
        return of_answer(grid.actuals(zone, start, end), zone, start, end)
