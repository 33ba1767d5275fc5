"""The results of `worker.py` as a page: a table a part, a column a database."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

TITLES = {
    "decisions": "Decisions a second",
    "latency": "Latency of a run, seconds",
    "children": "Jobs that all end at once",
    "waiting": "Runs that wait",
    "as it comes": "SQLite as Prefect makes it: changes of state by the threads that make them",
}


def as_markdown(results: Mapping[str, Any]) -> str:
    """The page."""
    lines = [
        "# What the carbon worker does, and what it costs",
        "",
        f"Measured by `benchmarks/worker.py` at {results['at']} on {results['machine']}. Server, database, worker and"
        " benchmark share the cores. SQLite is a file with one connection; PostgreSQL does not wait for the disk."
        " Workers poll every 10 s, Prefect's default. CPU is in percent of one core.",
    ]
    databases = [name for name, found in results.items() if isinstance(found, Mapping)]
    for part, title in TITLES.items():
        having = [name for name in databases if part in results[name]]
        if not having:
            continue
        columns = [dict(_flat(results[name][part])) for name in having]
        lines += ["", f"## {title}", "", f"| | {' | '.join(having)} |", "|---" * (len(having) + 1) + "|"]
        rows = dict.fromkeys(row for column in columns for row in column)
        lines += [f"| {row} | {' | '.join(column.get(row, '') for column in columns)} |" for row in rows]
    return "\n".join(lines) + "\n"


def _flat(found: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Names and figures, those of a part of a part with its name before them."""
    for name, value in found.items():
        label = f"{before}{name.replace('_', ' ')}"
        if isinstance(value, Mapping) and set(value) == {"p50", "p95", "max"}:
            yield f"{label}: p50, p95, max", ", ".join(f"{value[key]:g}" for key in ("p50", "p95", "max"))
        elif isinstance(value, Mapping):
            yield from _flat(value, f"{label}: ")
        elif isinstance(value, list):
            yield label, " to ".join(f"{one:g}" for one in value)
        else:
            yield label, value if isinstance(value, str) else f"{value:g}"
