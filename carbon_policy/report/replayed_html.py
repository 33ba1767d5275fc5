"""The plot of a replay for a browser, by plotly; imported only where one is drawn."""

from __future__ import annotations

from html import escape

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from carbon_policy.report.plotted import GOOD, INK, WATERMARK_COLOUR
from carbon_policy.report.replayed import ReplayPlot

_FONT = "system-ui, Segoe UI, Roboto, Helvetica, Arial, sans-serif"
_OTHER = "#8a8f8c"


def draw_replay_html(plot: ReplayPlot) -> str:
    """A part of a page; nothing is fetched. Names are escaped: plotly reads some HTML."""
    figure = make_subplots(
        rows=1,
        cols=2,
        horizontal_spacing=0.1,
        subplot_titles=["Saved, % of what was emitted", "Saved, against the mean wait"],
    )
    names = [escape(policy.name) for policy in plot.policies]
    saved = [policy.saved_percent for policy in plot.policies]
    colours = [GOOD if policy.ours else _OTHER for policy in plot.policies]
    figure.add_bar(
        orientation="h",
        x=saved,
        y=names,
        marker={"color": colours},
        texttemplate="%{x:.1f} %",
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{y}: %{x:.1f} %<extra></extra>",
        row=1,
        col=1,
    )
    figure.add_scatter(
        x=[policy.wait_h for policy in plot.policies],
        y=saved,
        text=names,
        mode="markers+text",
        textposition="top center",
        cliponaxis=False,
        marker={"color": colours, "size": 11},
        hovertemplate="%{text}: %{y:.1f} % at %{x:.1f} h<extra></extra>",
        row=1,
        col=2,
    )
    _dress(figure, plot)
    page: str = figure.to_html(
        full_html=False,
        include_plotlyjs=True,
        div_id="carbon-replay",
        config={"displayModeBar": False, "responsive": True},
    )
    return page


def _dress(figure: go.Figure, plot: ReplayPlot) -> None:
    figure.update_layout(
        template="plotly_white",
        font={"family": _FONT, "color": INK},
        height=360,
        showlegend=False,
        margin={"l": 20, "r": 40, "t": 60, "b": 60},
    )
    highest = max([1.0, *(policy.saved_percent for policy in plot.policies)])
    lowest = min([0.0, *(policy.saved_percent for policy in plot.policies)])
    room = (highest - lowest) * 0.18
    span = [lowest - (room if lowest < 0 else 0), highest + room]
    longest = max([0.5, *(policy.wait_h for policy in plot.policies)])
    figure.update_xaxes(ticksuffix=" %", range=span, row=1, col=1)
    figure.update_yaxes(autorange="reversed", automargin=True, row=1, col=1)
    figure.update_xaxes(title="mean wait, h", range=[-0.12 * longest, 1.15 * longest], row=1, col=2)
    figure.update_yaxes(ticksuffix=" %", range=span, row=1, col=2)
    if plot.simulated:
        figure.add_annotation(
            text="<b>SIMULATED</b>", x=0.5, xref="paper", y=0.5, yref="paper", showarrow=False,
            font={"size": 64, "color": WATERMARK_COLOUR}, opacity=0.4,
        )  # fmt: skip
