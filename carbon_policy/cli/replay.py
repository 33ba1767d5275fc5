"""`carbon-policy replay`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from carbon_policy.domain.job import Urgency

if TYPE_CHECKING:
    from collections.abc import Sequence

    from prefect.client.orchestration import SyncPrefectClient

    from carbon_policy.domain.site import Site
    from carbon_policy.orchestration.directory import Directory
    from carbon_policy.orchestration.settings import CarbonSettings

EXAMPLES = (
    "carbon-policy replay --days 30",
    "carbon-policy replay --deployment train/nightly --finish-within 24h --html replay.html",
    "carbon-policy replay --power-w 350 --zone DE --trace history.csv.gz",
    "carbon-policy replay --json | jq '.policies[] | {policy, saved_share}'",
)


def replay(
    days: Annotated[float, typer.Option(metavar="N", min=0.01, help="Runs of the last so many days.")] = 30,
    deployment: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only this deployment's; a name, or flow/name.")
    ] = None,
    flow: Annotated[str | None, typer.Option(metavar="NAME", help="Only this flow's.")] = None,
    tag: Annotated[
        list[str] | None, typer.Option(metavar="TAG", help="Only runs with this tag; may be repeated.")
    ] = None,
    limit: Annotated[
        int, typer.Option(metavar="N", min=1, help="At most so many runs, the newest.")
    ] = 10_000,
    finish_within: Annotated[
        str, typer.Option(metavar="DURATION", help="The window of runs that say nothing of it.")
    ] = "12h",
    urgency: Annotated[Urgency, typer.Option(help="Of runs that say nothing of it.")] = Urgency.FLEXIBLE,
    power_w: Annotated[
        float | None,
        typer.Option(
            metavar="W", min=0.001, help="What a job draws, instead of its site's figure; without PUE."
        ),
    ] = None,
    zone: Annotated[
        str | None,
        typer.Option(metavar="ZONE", help="Where all of them ran, instead of the zones of their sites."),
    ] = None,
    trace: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", dir_okay=False, help="The grid as it was from a recording (.csv, .parquet)."
        ),
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", dir_okay=False, help="Write it as a page, too.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as data.")] = False,
) -> None:
    """Show what each policy would have saved on your own past runs, on the grid as it was.

    The runs are read from the Prefect server, and nothing is changed there. No carbon policy needs to be set up:
    without one, say --zone and --power-w.
    """
    import json
    from datetime import UTC, datetime, timedelta

    from carbon_policy.cli.console import err, out, warn, working
    from carbon_policy.cli.grid import resolved
    from carbon_policy.cli.replay_shown import as_document, shown_replay
    from carbon_policy.cli.replay_view import as_page, as_plot, replay_view
    from carbon_policy.cli.server import connected
    from carbon_policy.domain.times import parse_duration
    from carbon_policy.orchestration.past_runs import Assumptions, Wanted, read_past_runs
    from carbon_policy.orchestration.settings import CarbonSettings
    from carbon_policy.outlook.view import grid_view

    zone = None if zone is None else resolved([zone], lenient=True)[0]
    window, now, settings = parse_duration(finish_within), datetime.now(UTC), CarbonSettings()
    wanted = Wanted(now - timedelta(days=days), now, deployment, flow, tuple(tag or ()), limit)
    with connected() as client:
        directory = _directory(client, settings.policy_block)
        sites = _as_given(directory.sites if directory else (), power_w, zone)
        assumed = Assumptions(_assumed_site(sites, settings, power_w, zone), window, urgency)
        with working("Reading runs ..."):
            found = read_past_runs(client, wanted, sites, directory.policy if directory else None, assumed)
        pinned, keyed = (directory.sources, directory.keyed) if directory else ((), None)
        with grid_view(settings.history_address, pinned, keyed) as grid:
            shown = shown_replay(
                found, wanted, assumed, power_given=power_w is not None, grid=grid, trace=trace
            )
    for remark in shown.remarks:
        warn(remark)
    if html is not None:
        from carbon_policy.report.replayed import replay_html
        from carbon_policy.report.schedule_page import write_page

        err().print(f"The page is {write_page(html, as_page(shown), replay_html(as_plot(shown)))}.")
    if as_json:
        typer.echo(json.dumps(as_document(shown), indent=2, ensure_ascii=False))
        return
    out().print(replay_view(shown))


def _directory(client: SyncPrefectClient, block: str) -> Directory | None:
    """The team's choices; none where it has not made any, as before anything is switched on."""
    from carbon_policy.domain.errors import SetupError
    from carbon_policy.orchestration.directory import read_directory

    try:
        return read_directory(client, block)
    except SetupError:
        return None


def _as_given(sites: Sequence[Site], power_w: float | None, zone: str | None) -> list[Site]:
    """The sites, with what was said on the command line in the place of their own figures."""
    given = {"power_w": power_w, "zone": zone}
    said = {name: value for name, value in given.items() if value is not None}
    return [site.model_copy(update=said) for site in sites]


def _assumed_site(
    sites: Sequence[Site], settings: CarbonSettings, power_w: float | None, zone: str | None
) -> Site | None:
    """Where a run ran whose work pool belongs to no site: known only where zone and power were given."""
    if (zone or settings.zone) is None or (power_w is None and sites):
        return None
    here = settings.this_machine().model_copy(update={"name": "assumed"})
    return _as_given([here], power_w, zone)[0]
