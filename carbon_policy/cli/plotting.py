"""Plots that commands write."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from carbon_policy.domain.errors import CarbonPolicyError, InvalidInputError

if TYPE_CHECKING:
    from carbon_policy.domain.ledger import LedgerEntry
    from carbon_policy.domain.signal import IntensitySeries
    from carbon_policy.report.plot import PlottedJob


def check_plot(path: Path | None) -> None:
    """Refuse a file that no plot can be written to, before any work is done for it.

    Raises:
        InvalidInputError: It is neither a PNG nor a page.
    """
    if path is not None and path.suffix.lower() not in (".png", ".html"):
        raise InvalidInputError(f"A plot is a .png or a .html file, and {path.name} is neither.")


def write_plot(path: Path, series: IntensitySeries, jobs: Sequence[PlottedJob], title: str) -> Path:
    """Draw intensity and jobs, in the format that the file's name says.

    Raises:
        SetupError: What draws it is not installed.
    """
    from carbon_policy.report.plot import day_plot_html, day_plot_png

    if path.suffix.lower() == ".png":
        return day_plot_png(path, series, jobs, title)
    page = day_plot_html(series, jobs, title, full_page=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    return path


def jobs_on_their_grid(entries: Sequence[LedgerEntry]) -> tuple[IntensitySeries, list[PlottedJob]] | None:
    """The jobs of the zone that has most of them, and the intensity that they were decided on.

    Of many outlooks it is the one that covers most of their time; `None` where none was kept.
    """
    from carbon_policy.report.plot import plotted_jobs

    zones = Counter(entry.zone for entry in entries)
    if not zones:
        return None
    zone = zones.most_common(1)[0][0]
    jobs = [entry for entry in entries if entry.zone == zone]
    start, end = min(job.submitted_at for job in jobs), max(job.ended_at for job in jobs)

    def overlap_s(series: IntensitySeries) -> float:
        return (min(series.end, end) - max(series.start, start)).total_seconds()

    series = max(_outlooks(jobs, zone), key=overlap_s, default=None)
    if series is None or overlap_s(series) <= 0:
        return None
    return series.between(start, end), plotted_jobs(jobs)


def _outlooks(entries: Sequence[LedgerEntry], zone: str) -> Iterator[IntensitySeries]:
    from carbon_policy.domain.decision import Decision

    for entry in entries:
        try:
            outlook = Decision.model_validate_json(entry.decision_json).evidence.outlook
        except (ValueError, CarbonPolicyError):
            continue
        if zone in outlook:
            yield outlook[zone]
