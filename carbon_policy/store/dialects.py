"""What SQLite and PostgreSQL each say in their own way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite

INSERT: dict[str, Callable[..., Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
"""An insert that knows ON CONFLICT, by the dialect's name."""


def begin_to_change(connection: Connection) -> None:
    """Begins a transaction that reads a row, with `FOR UPDATE`, before it writes it.

    SQLite has no locks of rows: its one writer takes its turn at the very start.
    """
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
