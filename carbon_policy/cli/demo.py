"""`carbon-policy demo`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from carbon_policy.cli.choices import Infrastructure

EXAMPLES = (
    "carbon-policy demo",
    "carbon-policy demo --trace data/de-2023.csv --zone DE --day 2023-06-12",
    "carbon-policy demo --keep --infrastructure process",
)


def demo(
    trace: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            readable=True,
            help="Replay this CSV or Parquet file of a real grid; without, the grid is simulated.",
        ),
    ] = None,
    zone: Annotated[
        str, typer.Option(metavar="ZONE", help="The zone to replay, as Electricity Maps' key.")
    ] = "DE",
    day: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help="The day to replay, in UTC."),
    ] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the server and its UI running at the end, until Ctrl-C.")
    ] = False,
    output: Annotated[
        Path, typer.Option(metavar="DIR", file_okay=False, help="Where the report and the plots go.")
    ] = Path("demo-output"),
    infrastructure: Annotated[
        Infrastructure, typer.Option(help="What jobs run in; auto takes Docker where it answers.")
    ] = Infrastructure.AUTO,
    jobs: Annotated[int, typer.Option(metavar="N", min=1, max=200, help="How many jobs.")] = 12,
    seconds: Annotated[
        float, typer.Option(metavar="N", min=10, help="How long the 24 hours of the day take, in seconds.")
    ] = 90,
) -> None:
    """Show the whole story on this machine.

    A Prefect server of its own, three work pools, a dozen AI jobs, and a day of the grid that passes in seconds.
    Your own Prefect is not touched, and nothing is left behind but the report.
    """
    from carbon_policy.demo.options import DemoOptions
    from carbon_policy.demo.run import run_demo
    from carbon_policy.grid.zones import check_zone

    options = DemoOptions(
        trace=trace,
        # A trace may hold a zone that no table knows.
        zone=zone if trace else check_zone(zone),
        day=day.date() if day else None,
        keep=keep,
        output=output,
        infrastructure=infrastructure.value,
        jobs=jobs,
        day_seconds=seconds,
    )
    raise typer.Exit(run_demo(options))
