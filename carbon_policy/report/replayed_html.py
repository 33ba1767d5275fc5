"""The plot of a replay for a browser, by plotly; imported only where one is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from carbon_policy.report.plotly_page import as_part, dress, mark_simulated
from carbon_policy.report.replayed import ReplayPlot


def draw_replay_html(plot: ReplayPlot) -> str:
    """A part of a page; nothing is fetched. Names are escaped: plotly reads some HTML."""
    figure = make_subplots(
        rows=1,
        cols=2,
        shared_yaxes=True,
        horizontal_spacing=0.08,
        subplot_titles=["Saved, % of what was emitted", "Mean wait, h"],
    )
    saved = [policy.saved_percent for policy in plot.policies]
    waits_h = [policy.wait_h for policy in plot.policies]
    for column, values, unit in ((1, saved, " %"), (2, waits_h, " h")):
        figure.add_bar(
            orientation="h",
            x=values,
            y=[escape(policy.name) for policy in plot.policies],
            marker={"color": [policy.colour for policy in plot.policies]},
            texttemplate=f"%{{x:.1f}}{unit}",
            textposition="outside",
            cliponaxis=False,
            hovertemplate=f"%{{y}}: %{{x:.1f}}{unit}<extra></extra>",
            row=1,
            col=column,
        )
        figure.update_xaxes(range=_span(values), ticksuffix=unit, row=1, col=column)
    _dress(figure, plot)
    return as_part(figure, "carbon-replay")


def _dress(figure: go.Figure, plot: ReplayPlot) -> None:
    dress(figure, height=360, showlegend=False, margin={"l": 20, "r": 40, "t": 60, "b": 60})
    figure.update_yaxes(autorange="reversed", automargin=True)
    if plot.simulated:
        mark_simulated(figure, size=64)


def _span(values: Sequence[float]) -> list[float]:
    """From nought, or the lowest, to the highest, with room for the numbers beside the bars."""
    low, high = min([0.0, *values]), max([0.5, *values])
    room = (high - low) * 0.2
    return [low - room if low < 0 else 0.0, high + room]
