"""`carbon-policy replan`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from carbon_policy.orchestration.replan import Report

EXAMPLES = (
    "carbon-policy replan --dry-run",
    "carbon-policy replan",
    "carbon-policy replan DE FR --json | jq '.runs[] | {name, outcome, start}'",
)

JSON_SCHEMA = "carbon-policy-replan/1"
"""Named in the JSON; raised when a field changes its meaning."""


def replan(
    zone: Annotated[
        list[str] | None,
        typer.Argument(metavar="ZONE", help="Only runs with a site in these zones; without, all that wait."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be moved, and change nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was done as data.")] = False,
) -> None:
    """Decide the runs that wait again, and move those whose plan changes.

    Exits with 1 where a run could not be decided.
    """
    import json
    from datetime import UTC, datetime

    from carbon_policy.cli.console import out, working
    from carbon_policy.cli.grid import resolved
    from carbon_policy.cli.server import connected
    from carbon_policy.orchestration.replan import Outcome
    from carbon_policy.orchestration.replan import replan as plan_again

    zones = resolved(zone) if zone else None
    with connected() as client, working("Deciding again ..."):
        report = plan_again(client, datetime.now(UTC), zones=zones, dry_run=dry_run)
    if as_json:
        typer.echo(json.dumps(_as_data(report), indent=2, ensure_ascii=False))
    else:
        console = out()
        if report.runs:
            console.print(_table(report))
        console.print(report.sentence)
    raise typer.Exit(1 if report.count(Outcome.FAILED) else 0)


def _table(report: Report) -> Table:
    from rich import box
    from rich.table import Table

    from carbon_policy.domain.units import format_grams
    from carbon_policy.orchestration.replan import Outcome

    styles = {Outcome.MOVED: "cyan", Outcome.STARTED: "green", Outcome.FAILED: "red"}
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("Run", no_wrap=True)
    table.add_column("Outcome", no_wrap=True)
    table.add_column("Was (UTC)", no_wrap=True)
    table.add_column("Is (UTC)", no_wrap=True)
    table.add_column("Saves", justify="right", no_wrap=True)
    table.add_column("Why", overflow="fold")
    for run in report.runs:
        table.add_row(
            run.name,
            run.outcome,
            f"{run.was:%Y-%m-%d %H:%M}",
            f"{run.start:%Y-%m-%d %H:%M}",
            format_grams(run.saving_gco2) if run.saving_gco2 is not None else "–",
            run.sentence,
            style=styles.get(run.outcome, ""),
        )
    return table


def _as_data(report: Report) -> dict[str, Any]:
    return {
        "schema": JSON_SCHEMA,
        "dry_run": report.dry_run,
        "seconds": round(report.seconds, 3),
        "runs": [
            {
                "run_id": run.run_id,
                "name": run.name,
                "outcome": run.outcome,
                "was": run.was.isoformat(),
                "start": run.start.isoformat(),
                "saving_gco2": run.saving_gco2,
                "sentence": run.sentence,
            }
            for run in report.runs
        ],
    }
