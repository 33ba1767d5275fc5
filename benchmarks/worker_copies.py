"""Thousands of waiting runs in seconds: copies of one that the worker put to wait, made in the server's database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import URL, Column, Engine, MetaData, Table, create_engine, insert, inspect, select, update

_AT_ONCE = 1000


def copy_run(url: URL, run_id: UUID, copies: int) -> None:
    """Copy a run and its state, each copy with a name and a parameter of its own.

    Args:
        url: Of the server's database.
        run_id: The run.
        copies: How many.
    """
    engine = create_engine(url)
    runs, states = _table(engine, "flow_run"), _table(engine, "flow_run_state")
    # SQLite keeps ids as text.
    made = (lambda: str(uuid4())) if engine.dialect.name == "sqlite" else uuid4
    with engine.begin() as connection:
        known = str(run_id) if engine.dialect.name == "sqlite" else run_id
        run = connection.execute(select(runs).where(runs.c.id == known)).mappings().one()
        state = connection.execute(select(states).where(states.c.id == run["state_id"])).mappings().one()
        for first in range(0, copies, _AT_ONCE):
            numbers = range(first, min(first + _AT_ONCE, copies))
            new = [{"run": made(), "state": made(), "number": number} for number in numbers]
            # Each refers to the other.
            connection.execute(insert(runs), list(_runs(dict(run), new)))
            connection.execute(
                insert(states), [{**state, "id": one["state"], "flow_run_id": one["run"]} for one in new]
            )
            for one in new:
                connection.execute(_points_to_its_state(runs, one))
    engine.dispose()


def _table(engine: Engine, name: str) -> Table:
    """A table by its columns alone: indexes are no business of ours, and some cannot be read."""
    columns = inspect(engine).get_columns(name)
    return Table(name, MetaData(), *(Column(column["name"], column["type"]) for column in columns))


def _runs(run: dict[str, Any], new: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for one in new:
        number = one["number"]
        yield {
            **run,
            "id": one["run"],
            "state_id": None,
            "name": f"copy-{number}",
            "parameters": {"number": number},
        }


def _points_to_its_state(runs: Table, one: dict[str, Any]) -> Any:
    return update(runs).where(runs.c.id == one["run"]).values(state_id=one["state"])
