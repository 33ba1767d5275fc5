"""`carbon-policy apply`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from carbon_policy.cli.choices import Infrastructure

if TYPE_CHECKING:
    from rich.text import Text

    from carbon_policy.provision.plan import Change, FieldChange, Plan

EXAMPLES = (
    "carbon-policy apply --dry-run",
    "carbon-policy apply",
    "carbon-policy apply my-project --infrastructure process",
)

_LONGEST_VALUE = 60


def apply(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            exists=True,
            file_okay=False,
            help="The project's folder, with blocks/ and deployments/.",
        ),
    ] = Path("."),
    infrastructure: Annotated[
        Infrastructure, typer.Option(help="What sites run jobs in; auto takes Docker where it answers.")
    ] = Infrastructure.AUTO,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would change.")] = False,
) -> None:
    """Make the server what the project's files say: work pools, blocks and deployments.

    What is in step already is left alone, so it may be run as often as one likes.
    """
    import asyncio

    from rich.text import Text

    from carbon_policy.cli.console import out, working
    from carbon_policy.provision.apply import apply as provision
    from carbon_policy.provision.files import Infrastructure as Form

    form = None if infrastructure is Infrastructure.AUTO else Form(infrastructure.value)
    with working("Comparing the files with the server ..."):
        plan = asyncio.run(provision(path, form, dry_run=dry_run))
    console = out()
    for change in plan.changes:
        console.print(_change_text(change))
        for field in change.fields:
            console.print(_field_text(field))
    console.print(_summary(plan), style="bold")
    console.print(plan.why, style="dim")
    for change in plan.changes:
        for line in change.by_hand:
            console.print(Text(line, style="yellow"))
    for line in plan.warnings:
        console.print(Text(line, style="yellow"), soft_wrap=True)  # It holds commands to be copied.
    if not plan.applied:
        if plan.pending:
            console.print("Nothing was changed: without --dry-run it will be.")
        return
    for line in _next_steps(plan):
        console.print(line)


def _change_text(change: Change) -> Text:
    from rich.text import Text

    from carbon_policy.provision.plan import Action

    mark, style = {
        Action.CREATE: ("+", "green"),
        Action.UPDATE: ("~", "yellow"),
        Action.UNCHANGED: ("=", "dim"),
    }[change.action]
    return Text(f"{mark} {change.action:<9}  {change.kind:<10}  {change.name}", style=style)


def _field_text(field: FieldChange) -> Text:
    from rich.text import Text

    text = Text("    ")
    text.append(field.name, style="cyan")
    text.append(f": {_value(field.old)} -> {_value(field.new)}")
    return text


def _value(value: Any) -> str:
    text = "(none)" if value is None else str(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"


def _summary(plan: Plan) -> str:
    from collections import Counter

    from carbon_policy.provision.plan import Action

    counts = Counter(change.action for change in plan.changes)
    words = (
        {Action.CREATE: "created", Action.UPDATE: "updated"}
        if plan.applied
        else {Action.CREATE: "to create", Action.UPDATE: "to update"}
    )
    parts = [f"{counts[action]} {word}" for action, word in words.items()]
    return f"{', '.join(parts)}, {counts[Action.UNCHANGED]} unchanged."


def _next_steps(plan: Plan) -> list[str]:
    """The workers that are still to be started."""
    from carbon_policy.cli.server import connected, online_workers
    from carbon_policy.provision.plan import Kind

    pools = [change.name for change in plan.changes if change.kind is Kind.WORK_POOL and not change.by_hand]
    with connected() as client:
        idle = [pool for pool in pools if not online_workers(client, pool)]
    steps = [f"  prefect worker start --pool {pool}" for pool in idle]
    if steps:
        steps = [
            "Next: start a worker for each of these pools, each in a terminal or service of its own:",
            *steps,
        ]
    return [*steps, "carbon-policy doctor checks the whole."]
