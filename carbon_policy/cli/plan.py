"""`carbon-policy plan`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = (
    "carbon-policy plan",
    "carbon-policy plan --html queue.html",
    "carbon-policy plan --json | jq '.totals'",
)


def plan(
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", dir_okay=False, help="Write it as a page, too.")
    ] = None,
    limit: Annotated[
        int, typer.Option(metavar="N", min=1, help="Plan at most so many runs, those that start first.")
    ] = 1000,
    as_json: Annotated[bool, typer.Option("--json", help="Print the plan as data.")] = False,
) -> None:
    """Show the waiting queue on the forecast, planned together: what each job costs by waiting or going.

    It shows, too, what the sites' limits cost, and what has to give way where not all can keep their deadlines.
    It changes nothing: replan moves runs with policy fleet to such a plan, and each other run is decided for itself.
    """
    import json
    from datetime import UTC, datetime

    from carbon_policy.cli.console import out, warn, working
    from carbon_policy.cli.plan_shown import as_document, shown_plan
    from carbon_policy.cli.plan_view import plan_view
    from carbon_policy.cli.server import connected
    from carbon_policy.orchestration.queue import read_queue

    with connected() as client, working("Reading the queue and the forecast ..."):
        queue = read_queue(client, datetime.now(UTC), limit)
    with working("Planning ..."):
        shown = shown_plan(queue)
    for remark in shown.remarks:
        warn(remark)
    if html is not None:
        from carbon_policy.cli.console import err
        from carbon_policy.cli.plan_page import as_page, as_plot
        from carbon_policy.report.schedule import schedule_html
        from carbon_policy.report.schedule_page import write_page

        drawn = schedule_html(as_plot(shown)) if shown.sites else None
        err().print(f"The page is {write_page(html, as_page(shown), drawn)}.")
    if as_json:
        typer.echo(json.dumps(as_document(shown), indent=2, ensure_ascii=False))
        return
    console = out()
    console.print(plan_view(shown, console.width))
