"""A ledger that cannot be used says why, names itself, and never shows a password."""

from __future__ import annotations

import sqlite3
import traceback
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from carbon_policy.domain.errors import SetupError
from carbon_policy.domain.ledger import LedgerEntry
from carbon_policy.store import Ledger
from tests.unit.store.databases import execute

SECRET = "s3cr3t-word"


def refusal(url: str) -> str:
    with pytest.raises(SetupError) as caught:
        Ledger(url)
    shown = "".join(traceback.format_exception(caught.value))
    assert SECRET not in shown
    return str(caught.value)


@pytest.mark.parametrize(
    "url", ["", "ledger.db", "http//nowhere", f"postgresql://me:{SECRET}@host:port/name"]
)
def test_what_is_no_url_is_refused_with_an_example(url: str) -> None:
    assert "sqlite:///carbon-ledger.db" in refusal(url)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (f"mysql://me:{SECRET}@host/name", "SQLite or PostgreSQL"),
        (f"postgresql+asyncpg://me:{SECRET}@host/name", "postgresql+psycopg://me:***@host/name"),
        (f"postgresql+nodriver://me:{SECRET}@host/name?password={SECRET}", "not understood"),
        (f"postgresql+pg8000://me:{SECRET}@host/name?password={SECRET}", "pip install"),
    ],
)
def test_a_password_is_never_shown(url: str, said: str) -> None:
    assert said in refusal(url)


def test_folders_are_made(tmp_path: Path) -> None:
    Ledger(f"sqlite:///{tmp_path / 'a' / 'b' / 'ledger.db'}").close()
    assert (tmp_path / "a" / "b" / "ledger.db").is_file()


def test_home_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    Ledger("sqlite:///~/ledger.db").close()
    assert (tmp_path / "ledger.db").is_file()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "cannot be made" in refusal(f"sqlite:///{tmp_path / 'file' / 'ledger.db'}")


def test_a_path_that_cannot_be_written(tmp_path: Path) -> None:
    assert "unable to open" in refusal(f"sqlite:///{tmp_path}")


def test_a_file_that_is_no_database_is_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("These are notes, and no database. " * 100)
    assert "not a database" in refusal(f"sqlite:///{file}")
    assert file.read_text() == "These are notes, and no database. " * 100


@pytest.mark.parametrize("table", ["ledger", "intensity"])
def test_another_programs_table_is_left_alone(url: str, table: str) -> None:
    execute(url, f"CREATE TABLE {table} (amount INTEGER)")
    assert f"a table `{table}` of another program" in refusal(url)
    execute(url, f"INSERT INTO {table} (amount) VALUES (1)")


def test_a_database_that_breaks_later_is_a_setup_error(
    url: str, make_entry: Callable[..., LedgerEntry]
) -> None:
    with Ledger(url) as ledger:
        execute(url, "DROP TABLE ledger")
        with pytest.raises(SetupError, match=r"no such table|does not exist"):
            ledger.record([make_entry()])


def test_sqlite_lets_readers_and_a_writer_be(sqlite_url: str, tmp_path: Path) -> None:
    Ledger(sqlite_url).close()
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
