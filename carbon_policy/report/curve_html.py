"""The plot of a curve for a browser, by plotly; imported only where one is drawn."""

from __future__ import annotations

from html import escape

import plotly.graph_objects as go

from carbon_policy.report.curve import CurvePlot, naive, steps_of
from carbon_policy.report.plotly_page import as_page, dress, mark_simulated, put_below
from carbon_policy.report.plotted import GOOD, INK, SOFT

_BAND_COLOURS = ("#cfe0ee", "#9dbfdb", "#6f9fc6")


def draw_curve_html(plot: CurvePlot) -> str:
    """A page with its JavaScript inlined; nothing is fetched. Names are escaped: plotly reads some HTML."""
    figure = go.Figure()
    _draw(figure, plot)
    _dress(figure, plot)
    return as_page(figure, "carbon-curve", plot.title)


def _draw(figure: go.Figure, plot: CurvePlot) -> None:
    for (name, low, high), colour in zip(plot.bands, _BAND_COLOURS, strict=False):
        edges, lower = steps_of(plot.first, low)
        upper = steps_of(plot.first, high)[1]
        line = {"shape": "hv", "width": 0}
        figure.add_scatter(x=edges, y=lower, mode="lines", line=line, hoverinfo="skip", showlegend=False)
        figure.add_scatter(
            x=edges,
            y=upper,
            mode="lines",
            line=line,
            fill="tonexty",
            fillcolor=colour,
            name=name,
            customdata=lower,
            hovertemplate=f"{name}: %{{customdata:.0f}} to %{{y:.0f}}<extra></extra>",
        )
    for number, piece in enumerate(plot.pieces):
        edges, values = steps_of(piece, piece.values_gco2_per_kwh)
        name = "expected" if piece.issued_at else "measured"
        figure.add_scatter(
            x=edges,
            y=values,
            mode="lines",
            line={"shape": "hv", "color": INK, "width": 1.8},
            name=name,
            showlegend=not number,
            hovertemplate=f"{name}: %{{y:.0f}} gCO2e/kWh<extra></extra>",
        )
    for start, end in plot.estimates():
        figure.add_vrect(x0=start, x1=end, fillcolor="#e69f00", opacity=0.18, line_width=0, layer="below")
    for window in plot.windows:
        start, end = naive(window.start), naive(window.end)
        figure.add_vrect(x0=start, x1=end, fillcolor="#2fa36b", opacity=0.25, line_width=0)
        figure.add_annotation(
            text=f"<b>{escape(window.label)}</b>", x=start + (end - start) / 2, y=1, yref="paper",
            yanchor="bottom", showarrow=False, font={"color": GOOD, "size": 13},
        )  # fmt: skip
    for change in plot.changes:
        figure.add_vline(x=change, line={"color": SOFT, "width": 1, "dash": "dash"})


def _dress(figure: go.Figure, plot: CurvePlot) -> None:
    footer = [*plot.footer, *_keys(plot)]
    dress(
        figure,
        plot.title,
        height=480 + 17 * len(footer),
        hovermode="x unified",
        legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 1.05, "yanchor": "bottom"},
        margin={"l": 70, "r": 30, "t": 95, "b": 75 + 17 * len(footer)},
    )
    figure.update_yaxes(title=escape(plot.intensity_label), range=[0, plot.top * 1.08])
    figure.update_xaxes(range=list(plot.span), tickformat="%H:%M\n%a %-d %b", hoverformat="%a %-d %b %H:%M")
    put_below(figure, footer, 52)
    if plot.first.simulated:
        mark_simulated(figure)


def _keys(plot: CurvePlot) -> list[str]:
    """What the legend cannot say: areas are no traces."""
    keys = []
    if plot.windows:
        keys.append("Green: the greenest windows, the best is 1.")
    if any(True for _ in plot.estimates()):
        keys.append("Orange: estimated by the source.")
    return keys
