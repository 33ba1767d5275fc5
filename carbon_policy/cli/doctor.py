"""`carbon-policy doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prefect.client.orchestration import SyncPrefectClient
    from rich.table import Table

    from carbon_policy.cli.checks.finding import Finding

EXAMPLES = ("carbon-policy doctor", "carbon-policy doctor --live")


def doctor(
    live: Annotated[
        bool, typer.Option("--live", help="Call the grid sources that are on the network, too.")
    ] = False,
) -> None:
    """Check the whole installation, and say how to mend what is wrong.

    With --live, each source is called once for each of the team's zones, and what came back is shown.

    Where no policy can be read, it is each source that takes no account, for one of its zones.

    Exits with 1 if anything fails; warnings are for you to judge.
    """
    from collections import Counter

    from carbon_policy.cli.checks.finding import Level
    from carbon_policy.cli.console import out, working

    with working("Looking ..."):
        findings = list(_findings(live))
    counts = Counter(finding.level for finding in findings)
    console = out()
    console.print(_table(findings))
    console.print(", ".join(f"{counts[level]} {level}" for level in Level), style="bold")
    raise typer.Exit(1 if counts[Level.FAIL] else 0)


def _findings(live: bool) -> Iterator[Finding]:
    from carbon_policy.cli.checks.finding import Finding, Level, guarded
    from carbon_policy.cli.checks.local import check_ledger, check_versions
    from carbon_policy.cli.server import NoServerError, connected

    yield from guarded("versions", check_versions)
    yield from guarded("ledger", check_ledger)
    try:
        with connected() as client:
            yield from _server_findings(client, live)
    except NoServerError as error:
        says, _, mend = str(error).partition(". ")
        yield Finding(Level.FAIL, "server", says, mend)
        yield from _without_a_team(live)


def _without_a_team(live: bool) -> Iterator[Finding]:
    from functools import partial

    from carbon_policy.cli.checks.finding import guarded
    from carbon_policy.cli.checks.grid import check_keyless
    from carbon_policy.cli.checks.history import check_history

    yield from guarded("grid", partial(check_keyless, live=live))
    yield from guarded("history", partial(check_history, ()))


def _server_findings(client: SyncPrefectClient, live: bool) -> Iterator[Finding]:
    from functools import partial

    from carbon_policy.cli.checks import pools, runs, server
    from carbon_policy.cli.checks.docker import check_docker
    from carbon_policy.cli.checks.finding import Finding, Level, guarded
    from carbon_policy.cli.checks.grid import check_grid
    from carbon_policy.cli.checks.history import check_history
    from carbon_policy.domain.errors import CarbonPolicyError
    from carbon_policy.orchestration.directory import read_directory
    from carbon_policy.orchestration.settings import CarbonSettings
    from carbon_policy.outlook.chains import of_its_own_world

    for what, check in (
        ("server", server.check_api),
        ("clock", server.check_clock),
        ("block types", server.check_block_types),
        ("runs", runs.check_overdue),
        ("runs", runs.check_stranded),
        ("runs", runs.check_ends),
        ("placed jobs", runs.check_crashes),
        ("pool carbon", pools.check_carbon_pool),
    ):
        yield from guarded(what, partial(check, client))
    block = CarbonSettings().policy_block
    try:
        directory = read_directory(client, block)
    except CarbonPolicyError as error:
        yield Finding(Level.FAIL, f"policy {block}", str(error))
        yield from _without_a_team(live)
        return
    yield from guarded("sites", partial(pools.check_sites, client, directory))
    zones = list(dict.fromkeys(site.zone for site in directory.sites))
    asked = partial(check_grid, zones, directory.sources, live=live, keyed=directory.keyed)
    yield from guarded("grid", asked)
    if of_its_own_world(directory.sources):
        says = "not needed, as the policy pins recordings or simulations only"
        yield Finding(Level.OK, "history", says)
    else:
        yield from guarded("history", partial(check_history, zones))
    yield from guarded("docker", partial(check_docker, list(directory.pools.values())))


def _table(findings: list[Finding]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from carbon_policy.cli.checks.finding import Level

    styles = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "bold red"}
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("", no_wrap=True)
    table.add_column("Check", no_wrap=True)
    table.add_column("Found", overflow="fold")
    for finding in findings:
        says = Text(finding.says)
        if finding.mend:
            says.append(f"\n→ {finding.mend}", style="cyan")
        table.add_row(Text(finding.level.value, style=styles[finding.level]), finding.what, says)
    return table
