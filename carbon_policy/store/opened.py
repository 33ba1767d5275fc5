"""A store that is open: its engine, and the two ways to use it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from sqlalchemy import Connection

from carbon_policy.store.engine import BUSY_TIMEOUT_S, explained, open_engine
from carbon_policy.store.migrate import bring_up_to_date


class Opened:
    """A database of this release's tables."""

    def __init__(self, url: str, patience_s: float = BUSY_TIMEOUT_S) -> None:
        """Opens the store, and makes it if it is not there.

        Args:
            url: An SQLAlchemy URL of SQLite or PostgreSQL; one database holds ledger and history.
            patience_s: For how long the database may keep a caller waiting; then it counts as failed.

        Raises:
            SetupError: It cannot be opened, is another program's, or is a newer release's.
        """
        self._engine = open_engine(url, patience_s)
        try:
            with explained(self._engine):
                bring_up_to_date(self._engine)
        except BaseException:
            self._engine.dispose()
            raise

    def close(self) -> None:
        """Closes every connection."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with explained(self._engine), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with explained(self._engine), self._engine.connect() as connection:
            yield connection
