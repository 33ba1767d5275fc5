"""`carbon-policy backfill`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from datetime import datetime

    from rich.console import Console

    from carbon_policy.outlook.backfill import Backfilled

EXAMPLES = (
    "carbon-policy backfill DE",
    "carbon-policy backfill gcp:europe-west2 --days 90",
    "carbon-policy backfill FR --source carbon-electricity-maps-grid/team",
)

JSON_SCHEMA = "carbon-policy-backfill/1"
"""Named in the JSON; raised when a field changes its meaning."""

_MOST_PIECES = 6


def backfill(
    zone: Annotated[
        str, typer.Argument(metavar="ZONE", help="A zone, or a cloud's region, as aws:eu-west-1.")
    ],
    days: Annotated[float, typer.Option(metavar="N", min=0.01, help="How far back to fill.")] = 365,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was done as data.")] = False,
    source: Annotated[
        str | None,
        typer.Option(
            metavar="SLUG/NAME",
            help="Ask this grid source block; without, those of the policy block, in order.",
        ),
    ] = None,
) -> None:
    """Fetch what the store lacks of a zone's measured history, the oldest first.

    What is there already is not asked for: stopped, and begun again, it goes on where it was.

    Our own forecasts want a few weeks of history at least, and are at their best with a year or more.

    Exits with 1 where nothing at all is known.
    """
    import json
    from datetime import UTC, datetime, timedelta

    from carbon_policy.cli.console import out
    from carbon_policy.cli.grid import needed_history, resolved, team_grid
    from carbon_policy.cli.progress import share_of
    from carbon_policy.outlook.backfill import backfill as fill

    now = datetime.now(UTC)
    # On the hour, which every source's slots begin on: else each piece would end within a slot.
    start = (now - timedelta(days=days)).replace(minute=0, second=0, microsecond=0)
    (key,) = resolved([zone], lenient=source is not None)
    with team_grid(source) as grid:
        history = needed_history(grid)
        with share_of(f"Filling {key}") as progress:
            done = fill(key, start, now, grid.live(key), history, now, progress)
        nothing = bool(done.unknown) and history.measured(key, start, now) is None
    if as_json:
        typer.echo(json.dumps(_as_data(key, done), indent=2, ensure_ascii=False))
    else:
        _show(key, done, out())
    raise typer.Exit(1 if nothing else 0)


def _as_data(zone: str, done: Backfilled) -> dict[str, object]:
    from carbon_policy.cli.words import iso

    return {
        "schema": JSON_SCHEMA,
        "zone": zone,
        "added": done.added,
        "updated": done.updated,
        "unknown": [{"start": iso(start), "end": iso(end)} for start, end in _joined(done)],
        "findings": [finding.model_dump(mode="json") for finding in done.findings],
    }


def _joined(done: Backfilled) -> list[tuple[datetime, datetime]]:
    """What no source knew, pieces that touch as one."""
    joined: list[tuple[datetime, datetime]] = []
    for start, end in done.unknown:
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def _show(zone: str, done: Backfilled, console: Console) -> None:
    from carbon_policy.cli.explained import finding_line
    from carbon_policy.cli.words import counted, moment

    if not (done.added or done.updated or done.unknown):
        console.print(f"{zone}: nothing was missing.")
        return
    updated = f", {done.updated:,} updated" if done.updated else ""
    console.print(f"{zone}: {counted(done.added, 'slot')} added{updated}.", style="bold")
    unknown = _joined(done)
    for start, end in unknown[:_MOST_PIECES]:
        console.print(f"No source knew anything of {moment(start)} to {moment(end)}.", style="yellow")
    if len(unknown) > _MOST_PIECES:
        console.print(f"Nor of {counted(len(unknown) - _MOST_PIECES, 'other piece')}.", style="yellow")
    for finding in done.findings:
        console.print(finding_line(finding))
    if unknown and not done.findings and not done.added:
        console.print(
            f"→ No live source serves {zone} without an account: save a block of one that does, and name it"
            " with --source.",
            style="cyan",
        )
    if done.added:
        console.print(f"→ carbon-policy refresh {zone}", style="cyan")
