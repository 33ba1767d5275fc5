"""The report as one page that needs nothing else: it can be mailed, printed and kept."""

from __future__ import annotations

from collections.abc import Sequence

from jinja2 import Environment
from markupsafe import Markup

from carbon_policy.domain.ledger import LedgerEntry
from carbon_policy.domain.units import format_energy, format_grams, format_percent, sign
from carbon_policy.report.evidence import evidence_of
from carbon_policy.report.schedule_page import escaping_templates
from carbon_policy.report.summary import Summary, deployment_of
from carbon_policy.report.wording import (
    energy_origin,
    forecast_sentence,
    format_moment,
    format_wait,
    headline,
    placement,
    unhappy_end,
)


def to_html(entries: Sequence[LedgerEntry], summary: Summary, plot_html: str | None = None) -> str:
    """The page. Every text in the entries is escaped.

    Args:
        entries: In the order of the page.
        summary: Of these entries.
        plot_html: A plot to embed as it is, such as `day_plot_html` makes; it must be trusted.
    """
    return (
        _environment()
        .get_template("report.html.j2")
        .render(entries=entries, summary=summary, plot=Markup(plot_html) if plot_html else None)  # noqa: S704
    )


def _environment() -> Environment:
    environment = escaping_templates()
    environment.filters |= {
        "energy": format_energy,
        "grams": format_grams,
        "moment": format_moment,
        "percent": format_percent,
        "wait": format_wait,
    }
    environment.globals |= {
        "deployment_of": deployment_of,
        "energy_origin": energy_origin,
        "evidence_of": evidence_of,
        "forecast_sentence": forecast_sentence,
        "headline": headline,
        "placement": placement,
        "unhappy_end": unhappy_end,
        "tone": lambda saved_gco2: ("", "good", "bad")[sign(saved_gco2)],
    }
    return environment
