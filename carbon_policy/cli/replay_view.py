"""A replay as a person reads it in a terminal, and as a page."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from carbon_policy.cli.replay_shown import (
    DEPLOYMENT_HEAD,
    RESULT_HEAD,
    ShownReplay,
    assumptions,
    deployment_rows,
    headline,
    percent,
    result_rows,
)
from carbon_policy.cli.replay_worlds import AS_IT_WAS, ORACLE, OURS
from carbon_policy.domain.units import format_energy, format_grams
from carbon_policy.report.replayed import ReplayedPolicy, ReplayPlot
from carbon_policy.report.schedule_page import Page, Table


def replay_view(shown: ShownReplay) -> RenderableType:
    """The policies, the deployments that would have saved most, and what was assumed."""
    simulated = [Text("SIMULATED: this grid is made up, and so are the grams.", style="bold yellow")]
    return Group(
        *(simulated if shown.simulated else ()),
        _table(RESULT_HEAD, result_rows(shown), 2, _ours(shown)),
        _table(DEPLOYMENT_HEAD, deployment_rows(shown), 1),
        Text(headline(shown), style="bold"),
        *(Text(sentence, style="dim") for sentence in assumptions(shown)),
    )


def _table(
    head: Sequence[str], rows: Sequence[Sequence[str]], text_columns: int, best: int | None = None
) -> RichTable:
    table = RichTable(box=box.SIMPLE_HEAD)
    for number, name in enumerate(head):
        is_text = number < text_columns
        table.add_column(name, justify="left" if is_text else "right", no_wrap=not is_text or number == 0)
    for number, row in enumerate(rows):
        table.add_row(*row, style="bold green" if number == best else "")
    return table


def _ours(shown: ShownReplay) -> int:
    return [one.policy for one in shown.results].index(OURS)


def as_plot(shown: ShownReplay) -> ReplayPlot:
    """The plot of it."""
    return ReplayPlot(
        policies=[
            ReplayedPolicy(one.policy, 100 * shown.saved_share(one), one.mean_wait_h, one.policy == OURS)
            for one in shown.results
            if one.policy != AS_IT_WAS
        ],
        simulated=shown.simulated,
    )


def as_page(shown: ShownReplay) -> Page:
    """The page of it."""
    ours, best = shown.result(OURS), shown.result(ORACLE)
    period = f"{shown.wanted.since:%Y-%m-%d} to {shown.wanted.until:%Y-%m-%d}"
    return Page(
        title="What these runs would have saved",
        lead=f"Runs of {period} (UTC), replayed on the grid as it was. Nothing was changed. {headline(shown)}",
        figures=[
            (format_grams(shown.saved_gco2(ours)), f"saved by ours, {percent(shown.saved_share(ours))}"),
            (
                format_grams(shown.saved_gco2(best)),
                f"by perfect knowledge, {percent(shown.saved_share(best))}",
            ),
            (format_grams(shown.result(AS_IT_WAS).total_gco2), "emitted as it was"),
            (format_energy(shown.energy_kwh), "estimated, PUE included"),
            (f"{len(shown.runs):,}", "runs replayed"),
        ],
        tables=[
            Table("Policies", RESULT_HEAD, result_rows(shown), text_columns=2, best=_ours(shown)),
            Table("Deployments", DEPLOYMENT_HEAD, deployment_rows(shown)),
        ],
        notes=assumptions(shown),
        simulated=shown.simulated,
    )
