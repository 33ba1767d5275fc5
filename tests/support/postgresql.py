"""A throw-away PostgreSQL for tests: a cluster of its own, or the server that an environment variable names."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import URL, create_engine, make_url, text
from sqlalchemy.exc import OperationalError

URL_VARIABLE = "CARBON_POLICY_TEST_POSTGRESQL"
"""The URL of a server where the tests may make databases; unset, they start a server."""

_DEBIAN = "/usr/lib/postgresql"
_START_S = 60


class NoPostgresqlError(Exception):
    """Why there is none."""


@contextlib.contextmanager
def postgresql() -> Iterator[URL]:
    """The URL of a running server, its driver psycopg.

    Raises:
        NoPostgresqlError: It is not installed.
    """
    given = os.environ.get(URL_VARIABLE)
    if given:
        yield make_url(given).set(drivername="postgresql+psycopg")
        return
    programs = _programs()
    folder = Path(tempfile.mkdtemp(prefix="carbon-policy-postgresql-"))
    try:
        with _cluster(programs, folder) as url:
            yield url
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def database(server: URL) -> Iterator[URL]:
    """A new, empty database on the server, dropped in the end."""
    name = f"test_{uuid4().hex[:12]}"
    admin = create_engine(server, isolation_level="AUTOCOMMIT")
    try:
        with admin.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        yield server.set(database=name)
        with admin.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    finally:
        admin.dispose()


def _programs() -> Path:
    """The folder of `initdb` and `postgres`: Debian keeps them off the path."""
    versions = Path(_DEBIAN).glob("*/bin/initdb")
    newest = max(versions, key=lambda path: float(path.parts[-3]), default=None)
    found = newest or shutil.which("initdb")
    if found is None:
        raise NoPostgresqlError(
            f"PostgreSQL is not installed: apt-get install postgresql, or set {URL_VARIABLE}."
        )
    return Path(found).resolve().parent


def _unprivileged() -> dict[str, Any]:
    """Arguments of `Popen`: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            user = pwd.getpwnam(name)
            return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    raise NoPostgresqlError("PostgreSQL does not run as root, and there is neither a postgres nor a nobody.")


@contextlib.contextmanager
def _cluster(programs: Path, folder: Path) -> Iterator[URL]:
    user = _unprivileged()
    if user:
        os.chown(folder, user["user"], user["group"])
    data, log = folder / "data", folder / "log"
    how: dict[str, Any] = {**user, "cwd": folder, "stdin": subprocess.DEVNULL, "stderr": subprocess.STDOUT}
    with log.open("wb") as output:
        made = subprocess.run(
            [
                programs / "initdb",
                "-D",
                data,
                "-U",
                "carbon",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--no-locale",
                "-N",
            ],
            stdout=output,
            check=False,
            **how,
        )
        if made.returncode:
            raise RuntimeError(f"initdb failed:\n{log.read_text()}")
        port = _free_port()
        # A cluster that nobody will miss need not wait for the disk.
        options = {
            "listen_addresses": "127.0.0.1",
            "port": port,
            "unix_socket_directories": "",
            "fsync": "off",
        }
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        server = subprocess.Popen([programs / "postgres", "-D", data, *settings], stdout=output, **how)
    try:
        url = URL.create("postgresql+psycopg", "carbon", host="127.0.0.1", port=port, database="postgres")
        _wait_for(url, server, log)
        yield url
    finally:
        server.send_signal(signal.SIGINT)  # Fast: it ends the connections that are left.
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait_for(url: URL, server: subprocess.Popen[bytes], log: Path) -> None:
    engine = create_engine(url)
    deadline = time.monotonic() + _START_S
    try:
        while True:
            try:
                engine.connect().close()
                return
            except OperationalError:
                if server.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"PostgreSQL did not start:\n{log.read_text()}") from None
                time.sleep(0.1)
    finally:
        engine.dispose()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
