"""Turn a table into a self-contained HTML report: groups, quantiles and the strongest correlations.

The tables are those that scikit-learn ships. The interval of each correlation comes from resampling the rows,
so more resamples are more work. The report is one file that needs nothing from the network.

Run a small one here: `python flows/analytics_report.py`. Deploy: `prefect deploy` (see prefect.yaml).
"""

import os
import time
from html import escape
from pathlib import Path
from typing import Annotated, Any, Literal

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from pydantic import Field

STRONGEST = 10
QUANTILES = [0.05, 0.25, 0.5, 0.75, 0.95]
STYLE = """
:root { --ink: #1c2b2a; --soft: #5f6f6d; --line: #dde5e3; --paper: #fff; --up: #1f8a70; --down: #d9722e }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e3ebe9; --soft: #93a3a1; --line: #2d3a39; --paper: #141b1b; --up: #3fb596; --down: #e8914f }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 60rem; margin: 3rem auto; padding: 0 1.5rem }
h1 { font-size: 1.7rem; margin: 0 0 1.5rem }
h2 { font-size: 1.1rem; margin: 2.5rem 0 .5rem } p { color: var(--soft) }
.cards { display: grid; gap: .8rem; grid-template-columns: repeat(auto-fit, minmax(15rem, 1fr)) }
.card { border: 1px solid var(--line); border-radius: .6rem; padding: .8rem 1rem; color: var(--soft) }
.card b { display: block; font-size: 1.2rem; color: var(--ink) } .wide { overflow-x: auto }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { padding: .3rem .6rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap }
th { color: var(--soft); font-weight: 600 } tr > :first-child { text-align: left }
svg { width: 100%; height: auto } text { fill: var(--ink); font-size: 13px } line { stroke: var(--ink) }
.up { fill: var(--up) } .down { fill: var(--down) }
"""


@task(cache_policy=NO_CACHE)
def load_table(table: str) -> tuple[Any, Any]:
    """The table's measurements and the group of each row; a measured target is cut into its quarters."""
    import pandas as pd
    from sklearn import datasets

    if table == "diabetes":
        frame = datasets.load_diabetes(as_frame=True, scaled=False).frame
        blood = ["cholesterol", "ldl", "hdl", "cholesterol per hdl", "log triglycerides", "glucose"]
        frame.columns = ["age", "sex", "bmi", "blood pressure", *blood, "progression"]
        quarters = ["lowest quarter", "second quarter", "third quarter", "highest quarter"]
        return frame, pd.qcut(frame["progression"], 4, labels=quarters).rename("progression")
    loaded = getattr(datasets, f"load_{table}")(as_frame=True)
    return loaded.data, loaded.target.map(dict(enumerate(loaded.target_names))).rename("group")


@task(cache_policy=NO_CACHE)
def analyse(frame: Any, groups: Any, resamples: int, seed: int) -> tuple[Any, Any, Any]:
    """Means by group, quantiles, and the strongest correlations with their 95 % bootstrap intervals."""
    import numpy as np
    import pandas as pd

    means = frame.groupby(groups, observed=True).mean().T
    means["spread"] = (means.max(axis=1) - means.min(axis=1)) / frame.std()
    quantiles = frame.quantile(QUANTILES).T

    values, names = frame.to_numpy(float), list(frame.columns)
    first, second = np.triu_indices(len(names), k=1)
    found = np.corrcoef(values, rowvar=False)[first, second]
    top = np.argsort(-np.abs(found), kind="stable")[:STRONGEST]
    first, second = first[top], second[top]
    rng, drawn = np.random.default_rng(seed), np.empty((resamples, len(top)))
    for row in drawn:
        sample = values[rng.integers(len(values), size=len(values))]
        row[:] = np.corrcoef(sample, rowvar=False)[first, second]
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    pairs = [f"{names[a]} / {names[b]}" for a, b in zip(first, second, strict=True)]
    return means, quantiles, pd.DataFrame({"r": found[top], "low": low, "high": high}, index=pairs)


@flow
def analytics_report(
    table: Literal["breast_cancer", "diabetes", "wine"] = "diabetes",
    resamples: Annotated[int, Field(ge=1)] = 1000,
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 7,
    output_dir: str = "artifacts",
) -> dict[str, Any]:
    """Analyse a table and write an HTML report about it.

    Args:
        table: The table to analyse.
        resamples: How often the rows are resampled for the intervals of the correlations.
        seed: Seed of the resampling.
        output_dir: Folder of the report.

    Returns:
        The report's path, its headline numbers and the seconds the job took.
    """
    started = time.perf_counter()
    frame, groups = load_table(table)
    means, quantiles, correlations = analyse(frame, groups, resamples, seed)
    strongest = correlations.iloc[0]
    headline = {
        "rows": len(frame),
        "measurements": frame.shape[1],
        "groups": int(groups.nunique()),
        "strongest pair": str(correlations.index[0]),
        "its correlation": f"{strongest.r:.3f} ({strongest.low:.3f} to {strongest.high:.3f})",
        "sets the groups most apart": str(means["spread"].drop(groups.name, errors="ignore").idxmax()),
    }
    path = Path(output_dir) / f"report-{table}.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    unfinished.write_text(render(table, headline, means, quantiles, correlations), encoding="utf-8")
    os.replace(unfinished, path)
    rows = [{"number": name, "value": str(value)} for name, value in headline.items()]
    create_table_artifact(rows, key="analytics-report", description=f"Headline numbers of {table}")
    get_run_logger().info("Saved %s", path)
    return {"report_path": str(path), "headline": headline, "seconds": time.perf_counter() - started}


def render(table: str, headline: dict[str, Any], means: Any, quantiles: Any, correlations: Any) -> str:
    """The whole report as one HTML page."""
    title = escape(f"{table.replace('_', ' ').capitalize()}: {headline['rows']} rows")
    cards = "".join(
        f'<div class="card"><b>{escape(str(value))}</b>{escape(name)}</div>'
        for name, value in headline.items()
    )
    quantiles = quantiles.rename(columns=lambda share: f"{share:.0%}")
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>{STYLE}</style></head><body>
<h1>{title}</h1><div class="cards">{cards}</div>
<h2>Strongest correlations</h2><p>Pearson's r; the line is the 95 % interval over resampled rows.</p>
{bars(correlations)}
<h2>Means by group</h2><p>Spread: highest less lowest group mean, in standard deviations of all rows.</p>
{html_table(means.sort_values("spread", ascending=False))}
<h2>Quantiles</h2>{html_table(quantiles)}
</body></html>
"""


def html_table(frame: Any) -> str:
    """A frame as an HTML table."""
    return (
        f'<div class="wide">{frame.to_html(border=0, float_format="{:,.4g}".format, index_names=False)}</div>'
    )


def bars(correlations: Any) -> str:
    """The correlations as horizontal bars about zero, drawn in SVG."""
    centre, scale, step = 560, 220, 26  # r = 1 reaches `scale` from the centre
    shapes = []
    for number, (name, row) in enumerate(correlations.iterrows()):
        top, side = number * step, "up" if row.r >= 0 else "down"
        low, high = centre + scale * row.low, centre + scale * row.high
        shapes.append(
            f'<text x="330" y="{top + 17}" text-anchor="end">{escape(str(name))}</text>'
            f'<rect class="{side}" rx="2" x="{centre + scale * min(row.r, 0):.1f}" y="{top + 5}" '
            f'width="{scale * abs(row.r):.1f}" height="16"/>'
            f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{top + 13}" y2="{top + 13}"/>'
            f'<text x="790" y="{top + 17}">{row.r:+.3f}</text>'
        )
    height = len(shapes) * step
    axis = f'<line x1="{centre}" x2="{centre}" y1="0" y2="{height}"/>'
    return (
        f'<svg viewBox="0 0 850 {height}" role="img" aria-label="Correlations">{"".join(shapes)}{axis}</svg>'
    )


if __name__ == "__main__":
    print(analytics_report(resamples=200))
