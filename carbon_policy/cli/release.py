"""`carbon-policy release`."""

from __future__ import annotations

from typing import Annotated

import typer

EXAMPLES = (
    "carbon-policy release 0193b2c4-5d1e-7a10-9c55-1f0e6b7a2d11",
    'carbon-policy release wandering-otter --note "needed by noon"',
)


def release(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="The id of a waiting run, or its name if no other has it.")
    ],
    note: Annotated[str, typer.Option(metavar="TEXT", help="Why; it is kept with the run.")] = "",
) -> None:
    """Let a waiting run go now, whatever the grid says."""
    from datetime import UTC, datetime

    from carbon_policy.cli.console import out
    from carbon_policy.cli.lookup import find_waiting
    from carbon_policy.cli.server import connected
    from carbon_policy.orchestration import overdue

    with connected() as client:
        found = find_waiting(client, run)
        note = note or "by carbon-policy release"
        released = overdue.release(client, found.id, note, datetime.now(UTC))
    out().print(f"Released {released.name} ({released.id}): the next free worker of its pool starts it.")
