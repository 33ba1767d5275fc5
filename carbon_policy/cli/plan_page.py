"""The planned queue as a plot and as a page."""

from __future__ import annotations

from datetime import timedelta

from carbon_policy.cli.plan_shown import ASSUMED, SITE_HEAD, ShownPlan, headline, site_cells, slices_text
from carbon_policy.domain.units import format_grams, format_percent
from carbon_policy.report.schedule import ScheduledJob, SchedulePlot
from carbon_policy.report.schedule_page import Page, Table


def as_plot(shown: ShownPlan) -> SchedulePlot:
    """The plot of it."""
    last = max((part.finish for one in shown.jobs for part in one.slices), default=shown.end)
    end = min(shown.end, max(last + timedelta(hours=3), shown.queue.now + timedelta(hours=24)))
    return SchedulePlot(
        title="Waiting jobs on the forecast",
        curves=[series.between(shown.queue.now, end) for _, series in sorted(shown.queue.outlook.items())],
        jobs=[
            ScheduledJob(
                name=one.job.name,
                due_at=one.job.due_at,
                stretches=[(part.start, part.finish) for part in one.slices],
                site=one.site or "",
                label=f"saves {format_grams(one.saved_gco2)}",
            )
            for one in shown.jobs
            if one.site
        ],
        # The reference first, as in a decision's evidence.
        sites=list(dict.fromkeys(site.name for job in shown.queue.jobs for site in job.evidence.sites)),
        start=shown.queue.now,
        end=end,
    )


def as_page(shown: ShownPlan) -> Page:
    """The page of it."""
    rows = [
        [
            one.job.name,
            one.job.deployment,
            one.job.evidence.spec.urgency.value,
            one.site or "no place",
            f"{one.job.due_at:%a %d %b %H:%M}",
            f"{one.start:%a %d %b %H:%M}" if one.start else "–",
            slices_text(one),
            format_grams(one.gco2),
            format_grams(one.at_once_gco2),
            format_grams(one.saved_gco2),
        ]
        for one in shown.jobs
    ]
    head = ["Run", "Deployment", "Urgency", "Site", "Due (UTC)", "Starts", "Runs", "Plan", "At once", "Saves"]
    tables = [Table("Jobs", head, rows, text_columns=4)]
    if shown.sites:
        tables.append(Table("Sites", SITE_HEAD, [site_cells(site) for site in shown.sites]))
    if shown.sacrificed:
        lost = [
            [one.job.name, one.job.evidence.spec.urgency.value, one.sacrificed] for one in shown.sacrificed
        ]
        tables.append(Table("What was sacrificed", ["Run", "What"], lost, text_columns=2))
    return Page(
        title="The waiting queue, planned together",
        lead=f"As of {shown.queue.now:%Y-%m-%d %H:%M} UTC. Nothing was changed. {headline(shown)}",
        figures=[
            (format_grams(shown.total("gco2")), "expected by this plan"),
            (format_grams(shown.total("at_once_gco2")), "if each job goes when it is due"),
            (format_percent(100 * shown.saved_share), "saved"),
            (format_grams(max(0.0, shown.capacity_gco2)), "cost of the sites' limits"),
            (str(len(shown.sacrificed)), "jobs that had to give something up"),
        ],
        tables=tables,
        notes=[*shown.remarks, ASSUMED],
        simulated=shown.simulated,
    )
