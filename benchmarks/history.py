"""What the history store costs, beside what a user would pick instead: a CSV file, or a table, read by pandas.

For a year of hourly, 15-minute and 5-minute slots: written, fetched again unchanged, and read as a series; and the
latest of a year of forecasts, one of 96 hours every hour. Each beside the same with pandas, read into the same
`IntensitySeries`. SQLite in a file; PostgreSQL where the programs are (see tests/support/postgresql.py).
Written to benchmarks/results/history.json and history.md. Run it with `python benchmarks/history.py`.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from common import RESULTS, machine, write
from sqlalchemy import create_engine

from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.store import History

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.support.postgresql import NoPostgresqlError, database, postgresql

START, YEAR = datetime(2025, 1, 1, tzinfo=UTC), timedelta(days=365)
STEPS_MIN = (60, 15, 5)
READS = 15
WRITTEN, AGAIN, READ, LATEST = "written", "fetched again", "read", "latest forecast"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        measured = {
            "the store, SQLite": store(f"sqlite:///{folder}/history.db"),
            "pandas, to_sql and read_sql, SQLite": table(f"sqlite:///{folder}/table.db"),
            "pandas, CSV": csv(Path(folder)),
        }
    with other_database() as url:
        if url:
            measured["the store, PostgreSQL"] = store(url)
    with other_database() as url:
        if url:
            measured["pandas, to_sql and read_sql, PostgreSQL"] = table(url)
    results = {
        "machine": machine(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "reads": READS,
        "ms": measured,
    }
    write(RESULTS, "history", results, as_markdown(results))


@contextmanager
def other_database() -> Iterator[str | None]:
    try:
        with postgresql() as server, database(server) as url:
            yield url.render_as_string(hide_password=False)
    except NoPostgresqlError as error:
        print(error, file=sys.stderr)
        yield None


def year(step_min: int, **fields: Any) -> IntensitySeries:
    step = timedelta(minutes=step_min)
    values = np.random.default_rng(0).uniform(50, 600, YEAR // step).round(2)
    known = {"zone": "DE", "start": START, "step": step, "source": f"every {step_min} min"}
    return IntensitySeries(**known | {"values_gco2_per_kwh": tuple(values.tolist())} | fields)


def ms(do: Callable[[], Any], times: int = READS) -> dict[str, float]:
    """The median and the least of several times, milliseconds."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        do()
        taken.append(1000 * (time.perf_counter() - began))
    return {"median": round(statistics.median(taken), 2), "least": round(min(taken), 2)}


def store(url: str) -> dict[str, dict[str, float]]:
    found = {}
    with History(url) as history:
        for step_min in STEPS_MIN:
            series = year(step_min)
            end, source = series.end, series.source

            def write(series: IntensitySeries = series) -> None:
                history.record(series, fetched_at=series.end)

            def read(end: datetime = end, source: str = source) -> Any:
                return history.measured("DE", START, end, source=source)

            found[f"{WRITTEN}, {step_min} min"] = ms(write, 1)
            found[f"{AGAIN}, {step_min} min"] = ms(write, 3)
            assert read().values_gco2_per_kwh == series.values_gco2_per_kwh
            found[f"{READ}, {step_min} min"] = ms(read)
        forecast = year(60, source="forecast").between(START, START + timedelta(hours=96))
        values = forecast.values_gco2_per_kwh
        for hour in range(YEAR // timedelta(hours=1)):
            at = START + timedelta(hours=hour)
            issue = forecast.model_copy(update={"start": at, "issued_at": at})
            history.record_forecast(issue, {0.1: values, 0.9: values}, fetched_at=at)
        now = START + YEAR / 2
        found[LATEST] = ms(lambda: history.latest_forecast("DE", now, not_older_than=timedelta(days=1)))
    return found


def frame_of(series: IntensitySeries) -> pd.DataFrame:
    starts = pd.date_range(series.start, periods=len(series.values_gco2_per_kwh), freq=series.step)
    return pd.DataFrame({"start": starts, "gco2_per_kwh": series.values_gco2_per_kwh})


def series_of(frame: pd.DataFrame, step_min: int) -> IntensitySeries:
    """As the store does, it makes sure that no slot is missing."""
    start = pd.to_datetime(frame["start"], utc=True)
    assert (start.diff().dropna() == timedelta(minutes=step_min)).all()
    first = start.iloc[0].to_pydatetime()
    return year(step_min, start=first, values_gco2_per_kwh=tuple(frame["gco2_per_kwh"].tolist()))


def table(url: str) -> dict[str, dict[str, float]]:
    found = {}
    engine = create_engine(url)
    try:
        for step_min in STEPS_MIN:
            frame, name = frame_of(year(step_min)), f"every_{step_min}"

            def write(frame: pd.DataFrame = frame, name: str = name) -> None:
                frame.to_sql(name, engine, index=False, if_exists="replace")

            def read(step_min: int = step_min, name: str = name) -> IntensitySeries:
                return series_of(pd.read_sql(f'SELECT * FROM {name} ORDER BY "start"', engine), step_min)

            found[f"{WRITTEN}, {step_min} min"] = ms(write, 1)
            assert read().values_gco2_per_kwh == year(step_min).values_gco2_per_kwh
            found[f"{READ}, {step_min} min"] = ms(read)
    finally:
        engine.dispose()
    return found


def csv(folder: Path) -> dict[str, dict[str, float]]:
    found = {}
    for step_min in STEPS_MIN:
        frame, file = frame_of(year(step_min)), folder / f"{step_min}.csv"
        found[f"{WRITTEN}, {step_min} min"] = ms(lambda: frame.to_csv(file, index=False), 1)  # noqa: B023
        found[f"{READ}, {step_min} min"] = ms(lambda: series_of(pd.read_csv(file), step_min))  # noqa: B023
    return found


def as_markdown(results: dict[str, Any]) -> str:
    columns = results["ms"]
    rows = list(next(iter(columns.values())))
    lines = [
        "# The history store",
        "",
        f"{results['machine']}; {results['at']}; made by benchmarks/history.py.",
        "",
        "A year of slots, milliseconds: the median, and the least in brackets. Each reading ends with the same",
        "`IntensitySeries`. What pandas writes keeps no revisions, takes one writer and one kind of number.",
        "",
        "| | " + " | ".join(columns) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for row in rows:
        cells = [
            f"{cell['median']:,.1f} ({cell['least']:,.1f})" if (cell := column.get(row)) else "-"
            for column in columns.values()
        ]
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
