"""`carbon-policy backtest`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = (
    "carbon-policy backtest de.csv",
    "carbon-policy backtest zones.csv.gz --test-from 2023-01-01 --plot skill.png",
    "carbon-policy backtest zones.parquet --zone DE --zone FR --json",
    "carbon-policy backtest --store aws:eu-central-1 --refit 4w",
)


def backtest(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", dir_okay=False, help="Recorded intensity: .csv, .csv.gz or .parquet."),
    ] = None,
    zone: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ZONE", help="Only this zone of the file; may be repeated. Without, all of them."
        ),
    ] = None,
    store: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ZONE", help="The stored history of this zone, instead of a file; may be repeated."
        ),
    ] = None,
    test_from: Annotated[
        str | None,
        typer.Option(
            metavar="DATE", help="First day that is forecast, UTC; if not said, the last third, up to a year."
        ),
    ] = None,
    refit: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION", help="Fit anew so often inside the test, such as 4w; if not said, never."
        ),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", dir_okay=False, help="Draw the scores, as .png or .html.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all scores as data.")] = False,
    time_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="The file's column of times.")
    ] = None,
    zone_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="The file's column of zones.")
    ] = None,
    value_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="The file's column of g/kWh.")
    ] = None,
    assume_utc: Annotated[
        bool, typer.Option("--assume-utc", help="Times without an offset are UTC.")
    ] = False,
    allow_zero: Annotated[
        bool, typer.Option("--allow-zero", help="0 g/kWh is a value, and no hole.")
    ] = False,
) -> None:
    """Say how good our forecasts would have been on a history of yours, and what following them would have saved.

    A model is fitted to what comes before the test; each forecast then knows only its own past.

    The naive forecasts stand beside it. Savings are shares of what perfect foresight would have saved.
    """
    import json

    from carbon_policy.cli.backtest_shown import as_document, as_plot, scored
    from carbon_policy.cli.backtest_view import backtest_view
    from carbon_policy.cli.console import err, out, warn
    from carbon_policy.cli.plotting import check_plot
    from carbon_policy.cli.traces import of_file, of_store
    from carbon_policy.cli.words import day_or_moment
    from carbon_policy.domain.errors import InvalidInputError
    from carbon_policy.domain.times import parse_duration
    from carbon_policy.grid.trace_columns import TraceLayout

    check_plot(plot)
    if (file is None) == (not store):
        raise InvalidInputError(
            "Name a file with history, or --store ZONE for what is stored; one of the two."
        )
    layout = TraceLayout(
        time_column=time_column,
        zone_column=zone_column,
        value_column=value_column,
        assume_utc=assume_utc,
        allow_zero=allow_zero,
    )
    histories = of_file(file, zone or [], layout) if file is not None else of_store(store or [])
    refit_every = parse_duration(refit) if refit else None
    done = scored(histories, None if test_from is None else day_or_moment(test_from), refit_every)
    for remark in done.remarks:
        warn(remark)
    if plot is not None:
        from carbon_policy.report.skill import write_skill

        err().print(f"The plot is {write_skill(plot, as_plot(done))}.")
    if as_json:
        typer.echo(json.dumps(as_document(done), indent=2, ensure_ascii=False))
        return
    console = out()
    console.print(backtest_view(done))
