"""What all plots for a browser share: look, watermark, and a page that fetches nothing."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import plotly.graph_objects as go

from carbon_policy.report.plotted import INK, SOFT, WATERMARK_COLOUR

_LOOK = {
    "template": "plotly_white",
    "font": {"family": "system-ui, Segoe UI, Roboto, Helvetica, Arial, sans-serif", "color": INK},
}


def dress(figure: go.Figure, title: str | None = None, **layout: Any) -> None:
    """Give it the look of all; `layout` is its own."""
    if title is not None:
        layout["title"] = {
            "text": escape(title), "x": 0.01, "y": 0.98, "yanchor": "top", "font": {"size": 18, "color": INK},
        }  # fmt: skip
    figure.update_layout(**_LOOK, **layout)


def put_below(figure: go.Figure, lines: Sequence[str], shift_px: int) -> None:
    """Sentences under the axes, so many pixels down."""
    figure.add_annotation(
        text="<br>".join(map(escape, lines)), x=0, xref="paper", xanchor="left", y=0, yref="paper",
        yanchor="top", yshift=-shift_px, align="left", showarrow=False, font={"size": 11, "color": SOFT},
    )  # fmt: skip


def mark_simulated(figure: go.Figure, axis: str = "paper", *, size: int = 72) -> None:
    """Say across an axis, or all of it, that its grid is made up."""
    figure.add_annotation(
        text="<b>SIMULATED</b>", x=0.5, xref="paper", y=0.5, yref=axis, showarrow=False,
        font={"size": size, "color": WATERMARK_COLOUR}, opacity=0.4,
    )  # fmt: skip


def as_part(figure: go.Figure, div_id: str) -> str:
    """A part of a page, its JavaScript inlined; nothing is fetched."""
    return _html(figure, div_id, full_html=False)


def as_page(figure: go.Figure, div_id: str, title: str) -> str:
    """A page of its own, its JavaScript inlined; nothing is fetched."""
    page = _html(figure, div_id, full_html=True)
    return page.replace("<head>", f"<head><title>{escape(title)}</title>", 1)


def _html(figure: go.Figure, div_id: str, *, full_html: bool) -> str:
    page: str = figure.to_html(
        full_html=full_html,
        include_plotlyjs=True,
        div_id=div_id,
        config={"displayModeBar": False, "responsive": True},
    )
    return page
