"""Sentences, a plot and tables as one page that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader
from markupsafe import Markup


@dataclass(frozen=True)
class Table:
    """A table of text.

    Attributes:
        title: Above it.
        head: Names of the columns.
        rows: Cells, as many as there are columns.
        text_columns: So many columns from the left are text; the others are numbers, and stand at the right.
        best: Index of the row that is set off, if any.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    text_columns: int = 1
    best: int | None = None


@dataclass(frozen=True)
class Page:
    """A page.

    Attributes:
        title: Its heading.
        lead: What it is, in a sentence or two.
        figures: Numbers that are set large, each with what it is.
        tables: In order.
        notes: What a reader must know.
        simulated: The grid is made up, and the page says so.
    """

    title: str
    lead: str
    figures: Sequence[tuple[str, str]]
    tables: Sequence[Table]
    notes: Sequence[str] = ()
    simulated: bool = False


def write_page(path: Path, page: Page, plot_html: str | None) -> Path:
    """Write it; its folder is made. Every text is escaped.

    Args:
        path: Of the file.
        page: What it says.
        plot_html: A plot to embed as it is; it must be trusted.
    """
    plot = Markup(plot_html) if plot_html else None  # noqa: S704
    path.parent.mkdir(parents=True, exist_ok=True)
    template = escaping_templates().get_template("tables.html.j2")
    path.write_text(template.render(page=page, plot=plot), encoding="utf-8")
    return path


def escaping_templates() -> Environment:
    """This package's templates; every text in them is escaped."""
    return Environment(
        loader=PackageLoader("carbon_policy.report"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
