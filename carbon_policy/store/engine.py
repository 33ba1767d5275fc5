"""Opens the database that a URL names, or says in plain words why not; never with a password in them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from carbon_policy.domain.errors import SetupError

BUSY_TIMEOUT_S = 30.0
"""How long a writer waits for another, and PostgreSQL for anything; a transaction here takes milliseconds."""


def open_engine(url: str, patience_s: float = BUSY_TIMEOUT_S) -> Engine:
    """An engine for SQLite or PostgreSQL; an SQLite file's folder is made.

    Args:
        url: Such as `sqlite:///~/ledger.db` or `postgresql+psycopg://user:password@host/name`.
        patience_s: For how long a database may keep its caller waiting; then it counts as failed.

    Raises:
        SetupError: The URL cannot be read, its driver is missing, or the folder cannot be made.
    """
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, ValueError):
        # What cannot be parsed cannot be stripped of its password either, so it is not repeated.
        raise SetupError(
            "The store's address is not a database URL; write sqlite:///carbon-ledger.db"
            " or postgresql+psycopg://user:password@host/name."
        ) from None
    if backend == "sqlite":
        return _open_sqlite(parsed, patience_s)
    if backend == "postgresql":
        return _open_postgresql(parsed, patience_s)
    raise SetupError(f"The store is SQLite or PostgreSQL; {address(parsed)} is neither.")


def address(url: URL) -> str:
    """The URL for people: no password, and no query, which may hold one too."""
    return url.set(query={}).render_as_string(hide_password=True)


@contextmanager
def explained(engine: Engine) -> Iterator[None]:
    """Turns what the database says into a `SetupError` that names the store."""
    # The driver's own errors too: SQLAlchemy does not see what befalls a cursor that is read directly.
    driver = getattr(engine.dialect.dbapi, "Error", SQLAlchemyError)
    try:
        yield
    except (SQLAlchemyError, driver) as error:
        url = engine.url
        # Only the driver's own words: SQLAlchemy's add the statement, and its chain could add the URL.
        reason = str(getattr(error, "orig", None) or error).strip()
        secrets = [url.password, *(text for text in url.query.values() if isinstance(text, str))]
        for secret in filter(None, secrets):
            reason = reason.replace(secret, "***")
        raise SetupError(f"The store at {address(url)} cannot be used: {reason}") from None


def _open_sqlite(url: URL, patience_s: float) -> Engine:
    path = url.database or ":memory:"
    if path != ":memory:" and not path.startswith("file:"):
        file = Path(path).expanduser()
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except (OSError, RuntimeError) as error:
            raise SetupError(f"The folder of the store at {address(url)} cannot be made: {error}") from error
        url = url.set(database=str(file))
    engine = _create(url, connect_args={"timeout": patience_s})
    event.listen(engine, "connect", _use_wal)
    return engine


def _use_wal(connection: Any, _record: Any) -> None:
    """Write-ahead logging: readers and the one writer do not block each other."""
    cursor = connection.cursor()
    # The setting stays in the file, and making it needs the file alone: so only where it is not made yet. SQLite does
    # not wait for that where others have just opened the file too; one of those who open it makes it.
    with suppress(sqlite3.OperationalError):
        if cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            cursor.execute("PRAGMA journal_mode = WAL")
    cursor.close()


def _open_postgresql(url: URL, patience_s: float) -> Engine:
    engine = _create(url, pool_pre_ping=True, connect_args=_reach(url, patience_s))
    if engine.dialect.is_async:
        better = address(url.set(drivername="postgresql+psycopg"))
        raise SetupError(
            f"The store needs a driver that is not asynchronous: pip install 'psycopg[binary]'"
            f" and write {better}"
        )
    # What the URL's options set is left as they set it.
    options = str(url.query.get("options", ""))
    limits = [name for name in ("statement_timeout", "lock_timeout") if name not in options]
    limit_ms = int(1000 * patience_s)

    def set_limits(connection: Any, _record: Any) -> None:
        # Not as options of the start: PgBouncer refuses those. And committed: a rollback would undo them.
        cursor = connection.cursor()
        for name in limits:
            cursor.execute(f"SET {name} = {limit_ms}")
        cursor.close()
        connection.commit()

    event.listen(engine, "connect", set_limits)
    return engine


def _reach(url: URL, patience_s: float) -> dict[str, Any]:
    """How long a server may take to be reached and to confirm what was sent; what the URL says of it stays.

    A limit of statements is no help against a server that is gone: it is the server that keeps it.
    """
    if url.get_driver_name() not in ("psycopg", "psycopg2"):
        return {}
    # Less than two seconds to connect is taken for none at all.
    patience = max(2, round(patience_s))
    settings = {"connect_timeout": patience}
    if url.get_driver_name() == "psycopg":
        # A third of the patience in silence, then two probes a third apart, and the line counts as dead. How long
        # what was sent may stay unconfirmed is a setting that the libpq of psycopg2 may be too old to know.
        settings |= {
            "keepalives": 1,
            "keepalives_idle": max(1, patience // 3),
            "keepalives_interval": max(1, patience // 3),
            "keepalives_count": 2,
            "tcp_user_timeout": 1000 * patience,
        }
    return {name: value for name, value in settings.items() if name not in url.query}


def _create(url: URL, **options: Any) -> Engine:
    try:
        return create_engine(url, **options)
    except ModuleNotFoundError as error:
        raise SetupError(
            f"The driver for {address(url)} is not installed: {error}. For PostgreSQL, pip install"
            " 'psycopg[binary]' and write postgresql+psycopg:// in the URL."
        ) from None
    except (ArgumentError, TypeError) as error:
        raise SetupError(f"The store's address {address(url)} is not understood: {error}") from None
