"""`carbon-policy simulate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from carbon_policy.cli.simulate_rules import Knowledge, Rule

EXAMPLES = (
    "carbon-policy simulate --jobs jobs.csv --trace grid.csv.gz --zone DE",
    "carbon-policy simulate --jobs jobs.csv --trace grid.csv --policy ours --policy gaia-carbon-time --max-wait 12h",
    "carbon-policy simulate --jobs jobs.csv --trace grid.csv --interruptible --forecast perfect --png saved.png",
    "carbon-policy simulate --jobs jobs.csv --trace grid.csv --from 2023-06-01 --json | jq '.policies[0]'",
)


def simulate(
    jobs: Annotated[
        Path, typer.Option(metavar="FILE", dir_okay=False, help="The jobs: .csv, .csv.gz or .parquet.")
    ],
    trace: Annotated[
        Path,
        typer.Option(metavar="FILE", dir_okay=False, help="Recorded intensity: .csv, .csv.gz or .parquet."),
    ],
    zone: Annotated[
        str | None, typer.Option(metavar="ZONE", help="Of the trace, where it holds several.")
    ] = None,
    policy: Annotated[
        list[Rule] | None,
        typer.Option(help="Try this one; may be repeated. Without, all that fit."),
    ] = None,
    interruptible: Annotated[
        bool, typer.Option("--interruptible", help="Jobs may stop and go on: try such policies, too.")
    ] = False,
    forecast: Annotated[
        Knowledge,
        typer.Option(help="What policies know: our own forecasts, yesterday again, or all that comes."),
    ] = Knowledge.OWN,
    max_wait: Annotated[
        str, typer.Option(metavar="DURATION", help="How long a start may wait, where the file says nothing.")
    ] = "24h",
    wait_cost: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="SHARE",
            help="Of a job's grams at once, that an hour of waiting must save (ours only).",
        ),
    ] = 0.0,
    watts_per_cpu: Annotated[
        float, typer.Option(min=0, metavar="W", help="Of jobs whose power the file does not say.")
    ] = 10.0,
    begin: Annotated[
        str | None,
        typer.Option("--from", metavar="DATE", help="When arrivals in seconds count from, UTC."),
    ] = None,
    slot: Annotated[
        str, typer.Option(metavar="DURATION", help="Times are brought up to slots of this length.")
    ] = "5m",
    png: Annotated[
        Path | None, typer.Option(metavar="FILE", dir_okay=False, help="Draw savings against waits.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", dir_okay=False, help="Write it as a page, too.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcomes as data.")] = False,
    assume_utc: Annotated[
        bool, typer.Option("--assume-utc", help="The trace's times without an offset are UTC.")
    ] = False,
    allow_zero: Annotated[
        bool, typer.Option("--allow-zero", help="0 g/kWh in the trace is a value, and no hole.")
    ] = False,
) -> None:
    """Try policies on jobs of yours and a grid as it was: grams, savings, waits, and how close to the best possible.

    The jobs file has a column [bold]arrival_time[/bold] (seconds since --from) or [bold]submitted_at[/bold] (a
    moment with its zone), and [bold]length[/bold] (seconds) or [bold]duration[/bold] (45m). It may have
    [bold]power_w[/bold] or [bold]cpus[/bold], and [bold]max_wait[/bold] (6h) or [bold]finish_by[/bold] (a moment).

    Forecasts are made from the part of the trace before each moment: leave nine weeks of it before the first job.
    """
    import json

    from carbon_policy.cli.console import err, out, warn, working
    from carbon_policy.cli.simulate_jobs import read_jobs
    from carbon_policy.cli.simulate_rules import INTERRUPTING
    from carbon_policy.cli.simulate_shown import as_document, as_page, as_plot, simulated, simulated_view
    from carbon_policy.cli.simulate_world import build
    from carbon_policy.cli.words import day_or_moment
    from carbon_policy.domain.times import parse_duration
    from carbon_policy.grid.trace_columns import TraceLayout
    from carbon_policy.grid.trace_file import load_trace

    _check(png, ".png")
    _check(html, ".html")
    chosen = policy or [rule for rule in Rule if interruptible or rule not in INTERRUPTING]
    with working("Reading the jobs and the trace ..."):
        series = load_trace(trace, zone, TraceLayout(assume_utc=assume_utc, allow_zero=allow_zero))
        read = read_jobs(jobs, watts_per_cpu)
    with working("Forecasting ..."):
        built = build(
            read,
            series,
            begin=None if begin is None else day_or_moment(begin),
            slot=parse_duration(slot),
            max_wait=parse_duration(max_wait),
            knowledge=forecast,
        )
    shown = simulated(built, series, chosen, wait_cost)
    for finding in series.findings:
        warn(finding.sentence)
    if png is not None:
        from carbon_policy.report.replayed import write_replay_png

        err().print(f"The plot is {write_replay_png(png, as_plot(shown))}.")
    if html is not None:
        from carbon_policy.report.schedule_page import write_page

        err().print(f"The page is {write_page(html, as_page(shown), None)}.")
    if as_json:
        typer.echo(json.dumps(as_document(shown), indent=2, ensure_ascii=False))
        return
    out().print(simulated_view(shown))


def _check(path: Path | None, suffix: str) -> None:
    from carbon_policy.domain.errors import InvalidInputError

    if path is not None and path.suffix.lower() != suffix:
        raise InvalidInputError(f"{path.name} must end in {suffix}.")
