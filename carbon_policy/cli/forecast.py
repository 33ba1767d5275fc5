"""`carbon-policy forecast`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = (
    "carbon-policy forecast DE",
    "carbon-policy forecast aws:eu-west-1 --window 8h --top 1",
    "carbon-policy forecast GB --hours 24 --table --source carbon-neso-grid/gb",
    "carbon-policy forecast DE --plot forecast.html",
    "carbon-policy forecast DE --json | jq '.windows[0].start'",
)


def forecast(
    zone: Annotated[
        str,
        typer.Argument(
            metavar="ZONE",
            help="Electricity Maps' key, such as DE, GB or US-CAL-CISO; or a cloud's region, as aws:eu-west-1.",
        ),
    ],
    hours: Annotated[float, typer.Option(metavar="N", min=0.01, help="How far ahead to show.")] = 96,
    window: Annotated[
        str, typer.Option(metavar="DURATION", help="How long a job takes whose greenest starts are sought.")
    ] = "4h",
    top: Annotated[int, typer.Option(metavar="N", min=0, help="How many windows to show.")] = 3,
    table: Annotated[bool, typer.Option("--table", help="Print each hour, too.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the series, its band, windows and provenance.")
    ] = False,
    source: Annotated[
        str | None,
        typer.Option(
            metavar="SLUG/NAME",
            help="Ask this grid source block; without, those of the policy block, in order.",
        ),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", dir_okay=False, help="Draw it, as .png or .html.")
    ] = None,
) -> None:
    """Show the carbon intensity that a decision would expect, how sure it is, who says so, and when to run."""
    import json
    from datetime import UTC, datetime, timedelta

    from carbon_policy.cli.console import err, out, warn, working
    from carbon_policy.cli.forecast_shown import ShownForecast, as_document, as_plot
    from carbon_policy.cli.forecast_view import forecast_view
    from carbon_policy.cli.grid import resolved, team_grid
    from carbon_policy.cli.plotting import check_plot
    from carbon_policy.domain.times import parse_duration

    check_plot(plot)
    length = parse_duration(window)
    now = datetime.now(UTC)
    # A source that was named may serve a zone that no table knows; it says so itself if it does not.
    (key,) = resolved([zone], lenient=source is not None)
    with working("Asking the grid ..."), team_grid(source) as grid:
        expectation = grid.expected(key, now)
    shown = ShownForecast.of(zone, key, expectation, now, timedelta(hours=hours), length, top)
    for remark in shown.remarks:
        warn(remark)
    if plot is not None:
        from carbon_policy.report.curve import write_curve

        err().print(f"The plot is {write_curve(plot, as_plot(shown))}.")
    if as_json:
        typer.echo(json.dumps(as_document(shown), indent=2, ensure_ascii=False))
        return
    console = out()
    console.print(forecast_view(shown, console.width, table=table))
