"""The plot of a plan for a browser, by plotly; imported only where one is drawn."""

from __future__ import annotations

from html import escape

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from carbon_policy.report.curve import naive, steps_of
from carbon_policy.report.plotly_page import as_part, dress, mark_simulated
from carbon_policy.report.plotted import INK, LONGEST_NAME, SOFT, WAITING_COLOUR
from carbon_policy.report.schedule import COLOURS, SchedulePlot

_CURVE_PX, _ROW_PX, _FRAME_PX = 230, 24, 190
_DASHES = ("solid", "dash", "dot", "dashdot")


def draw_schedule_html(plot: SchedulePlot) -> str:
    """A part of a page; nothing is fetched. Names are escaped: plotly reads some HTML."""
    rows_px = max(1, len(plot.shown)) * _ROW_PX + 20
    figure = make_subplots(
        rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.04, row_heights=[_CURVE_PX, rows_px]
    )
    _draw_curves(figure, plot)
    _draw_jobs(figure, plot)
    _dress(figure, plot, _CURVE_PX + rows_px + _FRAME_PX)
    return as_part(figure, "carbon-plan")


def _draw_curves(figure: go.Figure, plot: SchedulePlot) -> None:
    for number, series in enumerate(plot.curves):
        edges, values = steps_of(series, series.values_gco2_per_kwh)
        name = escape(series.zone)
        figure.add_scatter(
            x=edges,
            y=values,
            mode="lines",
            line={"shape": "hv", "color": INK, "width": 1.6, "dash": _DASHES[number % len(_DASHES)]},
            name=f"expected, {name}",
            hovertemplate=f"{name}, %{{x|%a %H:%M}}: %{{y:.0f}} gCO2e/kWh<extra></extra>",
            row=1,
            col=1,
        )


def _draw_jobs(figure: go.Figure, plot: SchedulePlot) -> None:
    rows = list(enumerate(plot.shown))
    waits = [(y, naive(job.due_at), naive(job.stretches[-1][0])) for y, job in rows if job.stretches]
    figure.add_scatter(
        x=[moment for _, due, start in waits for moment in (max(due, naive(plot.start)), start, None)],
        y=[place for y, _, _ in waits for place in (y, y, None)],
        mode="lines",
        line={"color": WAITING_COLOUR, "width": 1.5, "dash": "dot"},
        hoverinfo="skip",
        name="waits",
        row=2,
        col=1,
    )
    for number, site in enumerate(plot.sites):
        mine = [(y, job, *stretch) for y, job in rows if job.site == site for stretch in job.stretches]
        if not mine:
            continue
        figure.add_bar(
            orientation="h",
            base=[naive(start) for _, _, start, _ in mine],
            x=[(end - start).total_seconds() * 1000 for _, _, start, end in mine],
            y=[y for y, *_ in mine],
            width=0.62,
            marker={"color": COLOURS[number % len(COLOURS)]},
            customdata=[
                [escape(job.name), f"{start:%a %H:%M}", f"{end:%H:%M}", escape(job.label)]
                for _, job, start, end in mine
            ],
            hovertemplate="<b>%{customdata[0]}</b><br>%{customdata[1]} to %{customdata[2]}<br>%{customdata[3]}"
            f"<extra>{escape(site)}</extra>",
            name=f"runs on {escape(site)}",
            row=2,
            col=1,
        )


def _dress(figure: go.Figure, plot: SchedulePlot, height: int) -> None:
    dress(
        figure,
        plot.title,
        height=height,
        barmode="overlay",
        legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 1.02, "yanchor": "bottom"},
        margin={"l": 20, "r": 170, "t": 90, "b": 70},
    )
    figure.update_yaxes(title="gCO2e/kWh", rangemode="tozero", row=1, col=1)
    figure.update_yaxes(
        tickvals=list(range(len(plot.shown))),
        ticktext=[escape(job.name[:LONGEST_NAME]) for job in plot.shown],
        range=[max(1, len(plot.shown)) - 0.4, -0.6],
        showgrid=False,
        zeroline=False,
        automargin=True,
        row=2,
        col=1,
    )
    figure.update_xaxes(range=[naive(plot.start), naive(plot.end)], tickformat="%H:%M\n%a %-d %b")
    figure.update_xaxes(title="UTC", row=2, col=1)
    for y, job in enumerate(plot.shown):
        figure.add_annotation(
            text=escape(job.label), x=1.01, xref="paper", xanchor="left", y=y, yref="y2", showarrow=False,
            font={"size": 12, "color": SOFT},
        )  # fmt: skip
    if any(series.simulated for series in plot.curves):
        mark_simulated(figure, "y domain", size=64)
