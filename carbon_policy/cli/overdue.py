"""`carbon-policy overdue`."""

from __future__ import annotations

from typing import Annotated

import typer

EXAMPLES = ("carbon-policy overdue", "carbon-policy overdue --fix")


def overdue(
    fix: Annotated[bool, typer.Option("--fix", help="Place them, or have them started again.")] = False,
) -> None:
    """List the runs that should have been started or placed by now, and were not.

    Exits with 1 while there are any.
    """
    from datetime import UTC, datetime

    from carbon_policy.cli.console import fail, out
    from carbon_policy.cli.server import connected
    from carbon_policy.domain.errors import CarbonPolicyError
    from carbon_policy.orchestration.overdue import find_overdue, re_place

    console, left = out(), 0
    with connected() as client:
        found = find_overdue(client, datetime.now(UTC))
        for item in found:
            console.print(item.sentence)
            if not fix:
                left += 1
                continue
            try:
                console.print(f"  {re_place(client, item, datetime.now(UTC))}", style="green")
            except CarbonPolicyError as error:
                # One that cannot be helped is no reason to leave the others.
                fail(str(error))
                left += 1
    if not found:
        console.print("No run is overdue.")
    elif left and not fix:
        console.print(f"{left} overdue. carbon-policy overdue --fix gets them going.", style="bold")
    raise typer.Exit(1 if left else 0)
