"""Brings a database to this release's tables, whoever made it and however many do so at once."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import OperationalError, ProgrammingError

from carbon_policy.domain.errors import SetupError
from carbon_policy.store import history_models  # noqa: F401  its tables are part of the metadata
from carbon_policy.store.engine import address
from carbon_policy.store.models import Base

if TYPE_CHECKING:
    from alembic.config import Config

REVISIONS = ("0001", "0002", "0003")
"""The migrations that this release knows, in order. Named here, as asking Alembic means importing it."""

VERSION_TABLE = "carbon_policy_version"
"""Not Alembic's own name for it: the database may be Prefect's, which has that one."""

_SELECT_VERSION = text(f"SELECT version_num FROM {VERSION_TABLE}")  # noqa: S608  a constant
_OLD_VERSION_TABLE = "ledger_schema"
_MIGRATIONS = Path(__file__).parent / "migrations"

# Alembic's `context` and `op` belong to the process: two threads, even of two databases, take turns.
_one_at_a_time = threading.Lock()


def bring_up_to_date(engine: Engine) -> None:
    """Makes the tables, or brings a former release's up to this one's.

    Costs one `SELECT` where they are current; only otherwise is Alembic imported.

    Raises:
        SetupError: The tables are a newer release's, or another program's.
    """
    if _version_at_a_glance(engine) == REVISIONS[-1]:
        return
    with _one_at_a_time, engine.connect() as connection:
        _take_the_lock(connection)
        # Asked again: another process may have done it while this one waited for the lock.
        version = _version(connection)
        if version is not None and version not in REVISIONS:
            raise SetupError(
                f"The store at {address(engine.url)} has schema {version}, and this release knows"
                f" {REVISIONS[-1]}; install the release of prefect-carbon-policy that wrote it, or a newer one."
            )
        if version != REVISIONS[-1]:
            _upgrade(connection)
        connection.commit()


def _version_at_a_glance(engine: Engine) -> str | None:
    with engine.connect() as connection:
        try:
            version = connection.scalar(_SELECT_VERSION)
        except (OperationalError, ProgrammingError):
            # There is no such table. Whatever else it may be, what comes next meets it again.
            return None
    return None if version is None else str(version)


def _take_the_lock(connection: Connection) -> None:
    """Begins the one transaction in which all is done; another process waits here until it ends."""
    if connection.dialect.name == "sqlite":
        # Python's driver begins none before it creates a table.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('carbon_policy.ledger'))"))


def _version(connection: Connection) -> str | None:
    """The revision of the tables that are there; a database from before Alembic is marked as the first."""
    tables = set(inspect(connection).get_table_names())
    if VERSION_TABLE in tables:
        marked = connection.scalar(_SELECT_VERSION)
        return None if marked is None else str(marked)
    if _OLD_VERSION_TABLE in tables:
        return _adopt(connection)
    for name in sorted(tables & set(Base.metadata.tables)):
        raise SetupError(
            f"The database at {address(connection.engine.url)} has a table `{name}` of another program;"
            " give the store a database of its own."
        )
    return None


def _adopt(connection: Connection) -> str:
    version = connection.scalar(text(f"SELECT version FROM {_OLD_VERSION_TABLE}"))  # noqa: S608
    if version != 1:
        return str(version)
    from alembic import command

    command.stamp(_config(connection), REVISIONS[0])
    return REVISIONS[0]


def _upgrade(connection: Connection) -> None:
    from alembic import command

    command.upgrade(_config(connection), REVISIONS[-1])


def _config(connection: Connection) -> Config:
    """Alembic's settings, without an alembic.ini; `migrations/env.py` takes the connection from them."""
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    # Its parser takes a % for the start of a reference.
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config
