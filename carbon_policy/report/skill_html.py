"""The plot of a back-test for a browser, by plotly; imported only where one is drawn."""

from __future__ import annotations

from html import escape

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from carbon_policy.report.plotly_page import as_page, dress, put_below
from carbon_policy.report.skill import COLOURS, SkillPlot, medians


def draw_skill_html(plot: SkillPlot) -> str:
    """A page with its JavaScript inlined; nothing is fetched. Names are escaped: plotly reads some HTML."""
    figure = make_subplots(
        rows=1,
        cols=3,
        column_widths=[0.36, 0.32, 0.32],
        horizontal_spacing=0.06,
        subplot_titles=[
            escape(f"Error (MAPE) by day ahead, {plot.of_zones}"),
            "Saving kept, planned once",
            "Saving kept, re-planned hourly",
        ],
    )
    _draw(figure, plot)
    dress(
        figure,
        plot.title,
        height=520,
        barmode="group",
        legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 1.1, "yanchor": "bottom"},
        margin={"l": 60, "r": 30, "t": 120, "b": 90},
    )
    figure.update_yaxes(ticksuffix=" %", rangemode="tozero")
    figure.update_xaxes(title="day", dtick=1, row=1, col=1)
    figure.update_annotations(font={"size": 13})
    put_below(figure, plot.caption, 48)
    return as_page(figure, "carbon-skill", plot.title)


def _draw(figure: go.Figure, plot: SkillPlot) -> None:
    own = plot.methods[0]
    days = list(range(1, len(own.mape_by_day[0]) + 1))
    if len(plot.zones) > 1:
        for zone, row in zip(plot.zones, own.mape_by_day, strict=True):
            figure.add_scatter(
                x=days,
                y=[100 * value for value in row],
                mode="lines",
                line={"color": COLOURS[0], "width": 0.7},
                opacity=0.4,
                showlegend=False,
                hovertemplate=f"{escape(zone)}, day %{{x}}: %{{y:.1f}} %<extra></extra>",
                row=1,
                col=1,
            )
    for method, colour in zip(plot.methods, COLOURS, strict=False):
        name = escape(method.name)
        figure.add_scatter(
            x=days,
            y=medians(method.mape_by_day),
            mode="lines+markers",
            line={"color": colour, "width": 3 if method is own else 1.8},
            name=name,
            legendgroup=name,
            hovertemplate=f"{name}, day %{{x}}: %{{y:.1f}} %<extra></extra>",
            row=1,
            col=1,
        )
        for column, rows in ((2, method.once), (3, method.replanned)):
            figure.add_bar(
                x=[escape(task) for task in plot.tasks],
                y=medians(rows),
                marker={"color": colour},
                name=name,
                legendgroup=name,
                showlegend=False,
                texttemplate="%{y:.0f}",
                textposition="outside",
                hovertemplate=f"{name}, %{{x}}: %{{y:.0f}} %<extra></extra>",
                row=1,
                col=column,
            )
