"""The plot of a day for a browser, by plotly; imported only where one is drawn."""

from __future__ import annotations

from html import escape
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from carbon_policy.domain.site import Tier
from carbon_policy.report.plotly_page import as_page, as_part, dress, mark_simulated, put_below
from carbon_policy.report.plotted import (
    INK,
    INTENSITY_COLOURS,
    SOFT,
    TIER_COLOURS,
    WAITING_COLOUR,
    DayPlot,
)

_CURVE_PX = 260
_ROW_PX = 26
_FRAME_PX = 225
_SHAPES = {Tier.FAST: "", Tier.ECO: "/"}


def draw_html(day: DayPlot, *, full_page: bool) -> str:
    """The plot with its JavaScript inlined; nothing is fetched. Names are escaped: plotly reads some HTML."""
    rows_px = max(1, len(day.rows)) * _ROW_PX + 20
    figure = make_subplots(
        rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.03, row_heights=[_CURVE_PX, rows_px]
    )
    _add_intensity(figure, day)
    _add_jobs(figure, day)
    _dress(figure, day, height=_CURVE_PX + rows_px + _FRAME_PX)
    return as_page(figure, "carbon-day", day.title) if full_page else as_part(figure, "carbon-day")


def _add_intensity(figure: go.Figure, day: DayPlot) -> None:
    values = list(day.series.values_gco2_per_kwh)
    _fill(figure, day, 1, y=values, hovertemplate="%{x|%H:%M}: %{y:.0f} gCO2e/kWh<extra></extra>")
    figure.add_scatter(
        x=day.edges,
        y=[*values, values[-1]],
        mode="lines",
        line={"shape": "hv", "color": INK, "width": 1.5},
        hoverinfo="skip",
        showlegend=False,
        row=1,
        col=1,
    )


def _fill(figure: go.Figure, day: DayPlot, row: int, **bars: Any) -> None:
    """Every slot in its intensity's colour."""
    low, high = day.colour_range
    figure.add_bar(
        x=day.edges[:-1],
        width=[width.total_seconds() * 1000 for width in day.widths],
        offset=0,
        marker={
            "color": day.series.values_gco2_per_kwh,
            "colorscale": list(INTENSITY_COLOURS),
            "cmin": low,
            "cmax": high,
            "line": {"width": 0},
        },
        showlegend=False,
        row=row,
        col=1,
        **bars,
    )


def _add_jobs(figure: go.Figure, day: DayPlot) -> None:
    rows = list(enumerate(day.rows))
    # The same colours, faint, behind the jobs: where a bar lies is what it emitted.
    count = len(day.widths)
    _fill(
        figure,
        day,
        2,
        y=[max(1, len(rows)) + 0.2] * count,
        base=[-0.6] * count,
        opacity=0.2,
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=[moment for _, row in rows for moment in (row.submitted, row.started, None)],
        y=[place for y, _ in rows for place in (y, y, None)],
        mode="lines",
        line={"color": WAITING_COLOUR, "width": 2},
        hoverinfo="skip",
        name="waited",
        row=2,
        col=1,
    )
    deferred = [(y, row) for y, row in rows if row.deferred]
    figure.add_scatter(
        x=[row.submitted for _, row in deferred],
        y=[y for y, _ in deferred],
        mode="markers",
        marker={
            "symbol": "diamond",
            "size": 9,
            "color": "white",
            "line": {"color": WAITING_COLOUR, "width": 1.5},
        },
        hovertemplate="due %{x|%H:%M}, deferred<extra></extra>",
        name="deferred",
        row=2,
        col=1,
    )
    for tier, colour in TIER_COLOURS.items():
        mine = [(y, row) for y, row in rows if row.tier is tier]
        figure.add_bar(
            orientation="h",
            base=[row.started for _, row in mine],
            x=[(row.ended - row.started).total_seconds() * 1000 for _, row in mine],
            y=[y for y, _ in mine],
            width=0.62,
            marker={
                "color": colour,
                "pattern": {
                    "shape": _SHAPES[tier],
                    "fillmode": "replace",
                    "bgcolor": colour,
                    "fgcolor": "white",
                    "size": 6,
                },
            },
            customdata=[
                [escape(row.name), f"{row.started:%H:%M}", f"{row.ended:%H:%M}", escape(row.label), row.saved]
                for _, row in mine
            ],
            hovertemplate=(
                "<b>%{customdata[0]}</b><br>%{customdata[1]} to %{customdata[2]}<br>%{customdata[3]}"
                "<br>saved %{customdata[4]}<extra></extra>"
            ),
            name=f"ran on {tier.value}",
            row=2,
            col=1,
        )


def _dress(figure: go.Figure, day: DayPlot, height: int) -> None:
    dress(
        figure,
        day.title,
        height=height,
        barmode="overlay",
        legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 1, "yanchor": "bottom"},
        margin={"l": 20, "r": 190, "t": 100, "b": 115},
        bargap=0,
    )
    figure.update_yaxes(title=escape(day.intensity_label), rangemode="tozero", row=1, col=1)
    figure.update_yaxes(
        tickvals=list(range(len(day.rows))),
        ticktext=[escape(row.name) for row in day.rows],
        range=[max(1, len(day.rows)) - 0.4, -0.6],
        showgrid=False,
        zeroline=False,
        automargin=True,
        row=2,
        col=1,
    )
    figure.update_xaxes(range=list(day.span), tickformat="%H:%M\n%-d %b")
    figure.update_xaxes(title=escape(day.time_label), row=2, col=1)
    for y, row in enumerate(day.rows):
        figure.add_annotation(
            text=f'<b style="color:{row.colour}">{row.saved}</b>  {escape(row.label)}',
            x=1.01, xref="paper", xanchor="left", y=y, yref="y2", showarrow=False, font={"size": 12, "color": SOFT},
        )  # fmt: skip
    figure.add_annotation(
        text="saved", x=1.01, xref="paper", xanchor="left", y=1, yref="y2 domain", yanchor="bottom",
        showarrow=False, font={"size": 11, "color": SOFT},
    )  # fmt: skip
    put_below(figure, day.caption, 72)
    if day.series.simulated:
        for axis in ("y domain", "y2 domain"):
            mark_simulated(figure, axis)
