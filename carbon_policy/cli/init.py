"""`carbon-policy init`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = ("carbon-policy init", "carbon-policy init my-project", "carbon-policy init --force")


def init(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", file_okay=False, help="The project's folder; made if need be.")
    ] = Path("."),
    force: Annotated[
        bool, typer.Option("--force", help="Replace files that are there and differ from the starter's.")
    ] = False,
) -> None:
    """Write the starter files: jobs in flows/, policies in blocks/, work pools in deployments/.

    Files that are there are left as they are.
    """
    from rich.table import Table

    from carbon_policy.cli.console import out
    from carbon_policy.domain.errors import SetupError
    from carbon_policy.provision.starter import Outcome, write_starter

    styles = {Outcome.WROTE: "green", Outcome.REPLACED: "yellow", Outcome.SKIPPED: "dim"}
    try:
        files = write_starter(directory, force=force)
    except OSError as error:
        raise SetupError(f"The starter files cannot be written to {directory}: {error}.") from error
    table = Table.grid(padding=(0, 2))
    for file in files:
        table.add_row(file.outcome.value, file.path.as_posix(), style=styles[file.outcome])
    console = out()
    console.print(table)
    written = sum(file.outcome is not Outcome.SKIPPED for file in files)
    console.print(
        f"{written} files written to {directory}, {len(files) - written} left as they are.", style="bold"
    )
    where = "" if directory == Path(".") else f" {directory}"
    console.print("Next: say in blocks/sites.yaml where your sites are and what they draw; then")
    console.print(f"  carbon-policy apply{where}")
