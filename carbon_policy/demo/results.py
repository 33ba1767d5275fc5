"""What the day came to: a table, the total, a report, and the day as a picture."""

from __future__ import annotations

from pathlib import Path

from prefect.client.orchestration import SyncPrefectClient
from rich.console import Console

from carbon_policy.demo.day import Day
from carbon_policy.demo.watch import Watched
from carbon_policy.domain.ledger import LedgerEntry
from carbon_policy.grid.replay import ReplayClock
from carbon_policy.orchestration.collect import collect
from carbon_policy.orchestration.names import DEFAULT_POLICY_BLOCK
from carbon_policy.report.formats import to_csv, to_json, to_table
from carbon_policy.report.html import to_html
from carbon_policy.report.plot import day_plot_html, day_plot_png, plotted_jobs
from carbon_policy.report.summary import summarise
from carbon_policy.store.ledger import Ledger

_LEDGER = "ledger.db"


def show_results(
    client: SyncPrefectClient,
    watched: list[Watched],
    day: Day,
    clock: ReplayClock,
    folder: Path,
    console: Console,
) -> bool:
    """Fill a ledger from the server, show it, and write the reports; whether a job was lost or failed.

    Args:
        client: A client of the demo's server.
        watched: The jobs as they were last seen.
        day: The replayed day.
        clock: Its clock.
        folder: Is made; the last demo's ledger in it is replaced.
        console: For people.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob(f"{_LEDGER}*"):
        old.unlink()
    with Ledger(f"sqlite:///{folder / _LEDGER}") as ledger:
        collected = collect(client, ledger, DEFAULT_POLICY_BLOCK)
        entries = ledger.entries()
    summary = summarise(entries)
    console.print(to_table(entries, summary))
    _write(entries, day, clock, folder)
    console.print(
        f"Report, ledger and plots are in {folder}/: report.html, day.png, day.html, report.json, report.csv."
    )
    bad = [item for item in watched if not item.ended or item.stage != "done"]
    for item in bad:
        console.print(f"[red]{item.job.name}: {item.stage}[/red]")
    for run_id, why in collected.left_out.items():
        console.print(f"[red]Run {run_id} is not in the ledger: {why}[/red]")
    return bool(bad or collected.left_out)


def _write(entries: list[LedgerEntry], day: Day, clock: ReplayClock, folder: Path) -> None:
    summary = summarise(entries)
    series = day.shown(clock.began_at)
    jobs = plotted_jobs(entries)
    title = f"{day.zone}, {clock.trace_start:%Y-%m-%d}: {len(entries)} AI jobs placed by carbon-policy"
    day_plot_png(folder / "day.png", series, jobs, title, clock.to_trace)
    (folder / "day.html").write_text(
        day_plot_html(series, jobs, title, clock.to_trace, full_page=True), encoding="utf-8"
    )
    plot = day_plot_html(series, jobs, title, clock.to_trace)
    (folder / "report.html").write_text(to_html(entries, summary, plot), encoding="utf-8")
    (folder / "report.json").write_text(to_json(entries, summary), encoding="utf-8")
    (folder / "report.csv").write_text(to_csv(entries), encoding="utf-8", newline="")
