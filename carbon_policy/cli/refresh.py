"""`carbon-policy refresh`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from datetime import datetime

    from rich.table import Table

    from carbon_policy.outlook.refresh import Refreshed

EXAMPLES = (
    "carbon-policy refresh",
    "carbon-policy refresh DE aws:eu-west-1",
    "carbon-policy refresh --json | jq '.zones[] | {zone, change}'",
)

JSON_SCHEMA = "carbon-policy-refresh/1"
"""Named in the JSON; raised when a field changes its meaning."""


def refresh(
    zone: Annotated[
        list[str] | None,
        typer.Argument(metavar="ZONE", help="Zones or cloud regions; without, those of the policy's sites."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was done as data.")] = False,
    source: Annotated[
        str | None,
        typer.Option(
            metavar="SLUG/NAME",
            help="Ask this grid source block; without, those of the policy block, in order.",
        ),
    ] = None,
) -> None:
    """Bring zones up to date: fetch what was measured, keep it, forecast, and say whether a plan would change.

    Exits with 1 where nothing at all could be fetched.
    """
    import json
    from datetime import UTC, datetime

    from carbon_policy.cli.console import out
    from carbon_policy.cli.explained import finding_line
    from carbon_policy.cli.grid import needed_history, resolved, team
    from carbon_policy.cli.progress import one_after_another
    from carbon_policy.domain.errors import InvalidInputError
    from carbon_policy.outlook.refresh import refresh as bring_up_to_date

    now = datetime.now(UTC)
    named = resolved(zone or [], lenient=source is not None)
    with team(source) as known:
        zones = named or list(known.zones)
        if not zones:
            raise InvalidInputError(
                "No policy could be read that says which zones; write carbon-policy refresh DE."
            )
        grid, history = known.grid, needed_history(known.grid)
        done: list[Refreshed] = []
        with one_after_another(len(zones)) as tell:
            for at, key in enumerate(zones):
                tell(at, f"Refreshing {key}")
                done.append(bring_up_to_date(key, now, grid.live(key), grid.whole(key), history))
    if as_json:
        typer.echo(json.dumps(_as_data(done), indent=2, ensure_ascii=False))
    else:
        console = out()
        console.print(_table(done, now))
        for one in done:
            for note in one.notes:
                console.print(f"{one.zone}: {note}", style="yellow")
            for finding in dict.fromkeys(one.findings):
                console.print(finding_line(finding, one.zone))
    raise typer.Exit(1 if all(_failed(one) for one in done) else 0)


def _failed(one: Refreshed) -> bool:
    """Whether no source answered: what is left then is what was known before."""
    from carbon_policy.domain.chain import ChainStep

    live = (ChainStep.PINNED, ChainStep.KEYLESS, ChainStep.KEYED)
    return not one.added and not one.own and one.expectation.outlook.step not in live


def _table(done: list[Refreshed], now: datetime) -> Table:
    from rich import box
    from rich.table import Table

    from carbon_policy.domain.times import format_duration

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("Zone", no_wrap=True)
    table.add_column("Measured", justify="right")
    table.add_column("Own forecast", no_wrap=True)
    table.add_column("Outlook", overflow="fold")
    table.add_column("g/kWh now", justify="right")
    table.add_column("Changed", overflow="fold")
    for one in done:
        series, step = one.expectation.outlook.series, one.expectation.outlook.step
        revised = f", {one.revised:,} revised" if one.revised else ""
        table.add_row(
            one.zone,
            f"{one.added:,} new{revised}",
            "made" if one.own else "none",
            f"{series.source} ({step}), {format_duration(series.end - now)} ahead" if series else "none",
            f"{series.at(now):.0f}" if series else "–",
            one.change or "no",
            style="cyan" if one.change else "",
        )
    return table


def _as_data(done: list[Refreshed]) -> dict[str, Any]:
    return {
        "schema": JSON_SCHEMA,
        "zones": [
            {
                "zone": one.zone,
                "added": one.added,
                "revised": one.revised,
                "own_forecast": one.own,
                "chain_step": one.expectation.outlook.step,
                "source": one.expectation.outlook.series.source if one.expectation.outlook.series else None,
                "outlook_end": (
                    one.expectation.outlook.series.end.isoformat() if one.expectation.outlook.series else None
                ),
                "change": one.change,
                "notes": one.notes,
                "findings": [finding.model_dump(mode="json") for finding in dict.fromkeys(one.findings)],
            }
            for one in done
        ],
    }
