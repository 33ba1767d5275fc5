"""A database that does not answer keeps nobody waiting for long, and what goes wrong is said in plain words."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event, make_url, text

from carbon_policy.domain.errors import SetupError
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.store import History
from carbon_policy.store.engine import _reach, open_engine

START = datetime(2026, 11, 22, 6, tzinfo=UTC)
OPTIONS = "options=-c%20search_path%3Dpublic"


@pytest.fixture
def silent_server() -> Any:
    """The address of something that takes a connection and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.parametrize("query", ["", f"?{OPTIONS}"])
def test_a_server_that_never_answers_is_given_up(silent_server: str, query: str) -> None:
    began = time.monotonic()
    with pytest.raises(SetupError, match=r"cannot be used: .*timeout"):
        History(f"postgresql+psycopg://me@{silent_server}/name{query}", patience_s=2)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_the_url_has_the_last_word(driver: str) -> None:
    url = make_url(f"postgresql+{driver}://me@host/name")
    assert _reach(url, 5)["connect_timeout"] == 5
    assert _reach(url, 0.5)["connect_timeout"] == 2
    assert "connect_timeout" not in _reach(url.set(query={"connect_timeout": "9"}), 5)


def test_what_was_sent_must_be_confirmed_in_time() -> None:
    reach = _reach(make_url("postgresql+psycopg://me@host/name"), 5)
    assert reach["tcp_user_timeout"] == 5000
    assert reach["keepalives"] == 1
    # The older libpq that psycopg2 may have knows no such setting, and refuses what it does not know.
    assert "tcp_user_timeout" not in _reach(make_url("postgresql+psycopg2://me@host/name"), 5)


@pytest.mark.parametrize(
    ("options", "statement"),
    [("", "5s"), (OPTIONS, "5s"), ("options=-c%20statement_timeout%3D7s", "7s")],
)
def test_statements_have_a_limit_that_outlasts_a_rollback(
    postgresql_url: str, options: str, statement: str
) -> None:
    separator = "&" if "?" in postgresql_url else "?"
    engine = open_engine(f"{postgresql_url}{separator}{options}" if options else postgresql_url, patience_s=5)
    try:
        with engine.connect() as connection:
            connection.rollback()
            assert connection.scalar(text("SHOW statement_timeout")) == statement
            assert connection.scalar(text("SHOW lock_timeout")) == "5s"
    finally:
        engine.dispose()


def test_an_error_of_the_driver_itself_is_explained(
    sqlite_url: str, make_series: Callable[..., IntensitySeries]
) -> None:
    """It comes while rows are fetched, where SQLAlchemy does not see it."""
    calls = 0

    def interrupt_late() -> bool:
        nonlocal calls
        calls += 1
        return calls > 5

    with History(sqlite_url) as history:
        history.record(make_series(*[1.0] * 4000), fetched_at=START)
        history._engine.dispose()
        event.listen(
            history._engine,
            "connect",
            lambda connection, _: connection.set_progress_handler(interrupt_late, 1000),
        )
        with pytest.raises(SetupError, match="cannot be used: interrupted"):
            history.measured("DE", START, START + timedelta(days=200))
