"""A database of any release becomes one of this release, once, with all that is in it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, insert, inspect

from carbon_policy.domain.errors import SetupError
from carbon_policy.domain.ledger import LedgerEntry
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.store import History, Ledger, RecordResult
from carbon_policy.store.engine import open_engine
from carbon_policy.store.migrate import REVISIONS, VERSION_TABLE, _config, bring_up_to_date
from carbon_policy.store.models import Base, LedgerRow, to_values
from tests.unit.store.databases import execute, make_old_ledger, query

TABLES = (VERSION_TABLE, *(table.name for table in reversed(Base.metadata.sorted_tables)))


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    engine = open_engine(url)
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def version(url: str) -> str:
    [(revision,)] = query(url, f"SELECT version_num FROM {VERSION_TABLE}")
    return str(revision)


def test_the_named_revisions_are_alembics() -> None:
    with connected("sqlite://") as connection:
        scripts = ScriptDirectory.from_config(_config(connection)).walk_revisions()
        assert tuple(script.revision for script in scripts)[::-1] == REVISIONS


def test_the_migrations_make_what_the_models_say(url: str) -> None:
    Ledger(url).close()
    with connected(url) as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, Base.metadata) == []


def test_an_old_ledger_is_adopted_with_all_that_is_in_it(
    url: str, make_entry: Callable[..., LedgerEntry], make_series: Callable[..., IntensitySeries]
) -> None:
    make_old_ledger(url)
    entry = make_entry(deployment="nightly", notes=("kept",))
    with connected(url) as connection:
        columns = {column["name"] for column in inspect(connection).get_columns("ledger")}
        values = {name: value for name, value in to_values(entry).items() if name in columns}
        connection.execute(insert(LedgerRow.__table__), values)
    with Ledger(url) as ledger:
        assert ledger.entries() == [entry]
        assert ledger.record([entry]) == RecordResult(unchanged=1)
    with History(url) as history:
        assert history.record(make_series(), fetched_at=make_series().end).added == 3
    assert version(url) == REVISIONS[-1]
    with connected(url) as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, Base.metadata) == []


def test_the_first_migration_makes_what_the_old_releases_made(
    sqlite_url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    columns = "SELECT name, type, \"notnull\", pk FROM pragma_table_info('ledger') ORDER BY cid"
    indices = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL ORDER BY name"
    old = f"sqlite:///{tmp_path_factory.mktemp('old') / 'ledger.db'}"
    make_old_ledger(old)
    with connected(sqlite_url) as connection:
        command.upgrade(_config(connection), REVISIONS[0])
    for statement in (columns, indices, "SELECT * FROM ledger_schema"):
        assert query(sqlite_url, statement) == query(old, statement)


@pytest.mark.parametrize("open_it", [Ledger, History])
def test_a_newer_release_is_refused_and_kept(url: str, open_it: Callable[[str], Ledger | History]) -> None:
    Ledger(url).close()
    execute(url, f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    with pytest.raises(SetupError, match="has schema 9999, and this release knows"):
        open_it(url)
    assert version(url) == "9999"


def test_an_old_ledger_of_an_unknown_version_is_refused(url: str) -> None:
    make_old_ledger(url, version=2)
    with pytest.raises(SetupError, match="has schema 2, and"):
        Ledger(url)
    assert query(url, "SELECT version FROM ledger_schema") == [(2,)]


def test_down_and_up_again_keeps_the_ledger(url: str, make_entry: Callable[..., LedgerEntry]) -> None:
    with Ledger(url) as ledger:
        ledger.record([make_entry()])
    with connected(url) as connection:
        command.downgrade(_config(connection), REVISIONS[0])
        assert "intensity" not in inspect(connection).get_table_names()
        command.upgrade(_config(connection), "head")
    with Ledger(url) as ledger:
        assert ledger.entries() == [make_entry()]
    with connected(url) as connection:
        command.downgrade(_config(connection), "base")
        assert inspect(connection).get_table_names() == [VERSION_TABLE]
    Ledger(url).close()
    assert version(url) == REVISIONS[-1]


def test_a_former_release_is_told_that_it_is_too_old(url: str) -> None:
    """It asks this table, and says "install a newer one" where the version is not 1."""
    for old in (False, True):
        if old:
            execute(url, *(f"DROP TABLE {name}" for name in TABLES))
            make_old_ledger(url)
        History(url).close()
        assert query(url, "SELECT id, version FROM ledger_schema") == [(1, 2)]
    with connected(url) as connection:
        command.downgrade(_config(connection), REVISIONS[0])
    assert query(url, "SELECT id, version FROM ledger_schema") == [(1, 1)]


def test_past_runs_are_found_by_an_index(sqlite_url: str) -> None:
    Ledger(sqlite_url).close()
    plan = query(
        sqlite_url,
        "EXPLAIN QUERY PLAN SELECT site FROM ledger WHERE flow = 'train' AND deployment = 'nightly'"
        " AND state = 'COMPLETED' ORDER BY started_at DESC, job_run_id DESC LIMIT 500",
    )
    assert "ix_ledger_flow_deployment_started_at" in str(plan)


def test_retention_finds_old_forecasts_by_an_index(sqlite_url: str) -> None:
    History(sqlite_url).close()
    plan = query(sqlite_url, "EXPLAIN QUERY PLAN DELETE FROM issued_forecast WHERE issued_at < '2026-01-01'")
    assert "ix_issued_forecast_issued_at" in str(plan)


def test_a_failed_migration_leaves_nothing_behind(url: str) -> None:
    make_old_ledger(url)
    # Its fifth table is there already: those that were made before it must go again.
    execute(url, "CREATE TABLE zone_note (amount INTEGER)")
    with pytest.raises(SetupError, match="zone_note"):
        History(url)
    with connected(url) as connection:
        assert sorted(inspect(connection).get_table_names()) == ["ledger", "ledger_schema", "zone_note"]


OPENER = """
import sys
from carbon_policy.store import History

sys.stdin.read()  # Until all are up.
History(sys.argv[1]).close()
"""


def test_several_processes_migrate_at_once(url: str) -> None:
    make_old_ledger(url)
    openers = [
        subprocess.Popen(
            [sys.executable, "-c", OPENER, url], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    with ThreadPoolExecutor() as pool:
        outputs = list(pool.map(lambda opener: opener.communicate(timeout=60), openers))
    assert [error for _, error in outputs] == ["", "", ""]
    assert version(url) == REVISIONS[-1]


def test_several_threads_migrate_at_once(url: str) -> None:
    with ThreadPoolExecutor() as pool:
        for opened in pool.map(lambda _: History(url), range(4)):
            opened.close()
    assert version(url) == REVISIONS[-1]


def test_alembic_is_imported_only_to_migrate(sqlite_url: str) -> None:
    Ledger(sqlite_url).close()
    asked = (
        "import sys, carbon_policy; from carbon_policy.store import History, Ledger;"
        f" Ledger({sqlite_url!r}).close(); History({sqlite_url!r}).close();"
        " print('alembic' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


def test_a_current_database_is_asked_once(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Ledger(sqlite_url).close()
    engine = open_engine(sqlite_url)
    monkeypatch.setattr("carbon_policy.store.migrate._take_the_lock", pytest.fail)
    try:
        bring_up_to_date(engine)
    finally:
        engine.dispose()
