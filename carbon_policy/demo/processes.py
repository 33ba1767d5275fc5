"""A Prefect server and its workers as child processes: own home, own port, and nothing left of them at the end."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import psutil

from carbon_policy.domain.errors import SetupError

_HEALTHY_WITHIN_S = 90.0
_POLL_S = 0.2
_GRACE_S = 8.0

# In memory, Prefect gives its server one connection, and so writers wait in line. In a file it gives it many, and its
# deferred transactions refuse each other at once ("database is locked", a 503 to the client); the cursor that such an
# error leaves behind is freed by the event loop, which then waits for a thread that waits for the lock, until SQLite's
# busy timeout: measured on Prefect 3.8.8 and Python 3.11, the server stood still for 60 s at a time.
_IN_MEMORY = "sqlite+aiosqlite:///file::memory:?cache=shared&uri=true&check_same_thread=false"


def free_port() -> int:
    """A TCP port on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def python_tool(name: str) -> list[str]:
    """The command for a tool that is installed beside this interpreter, whatever PATH says."""
    return [sys.executable, "-m", name]


def end_process_tree(process: subprocess.Popen[bytes], grace_s: float = _GRACE_S) -> None:
    """End a child and all its descendants: asked first, then made to. Only what it started is touched."""
    try:
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        family = []
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.send_signal(signal.SIGTERM)
    _, alive = psutil.wait_procs(family, timeout=grace_s)
    for member in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    psutil.wait_procs(alive, timeout=grace_s)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=grace_s)


class PrefectStack:
    """A Prefect server of its own, and workers on it. A context manager; leaving it ends every process.

    Args:
        home: Kept at the end; without it, a temporary folder is made and removed.
        port: Without it, a free one is taken.
        settings: Prefect's, over those of this class.
        survives_restarts: Keep the database in a file, so that a server that is stopped and started again knows what
            it knew. Slower when many runs start at once.

    Attributes:
        home: `PREFECT_HOME` of everything here; a temporary folder unless one is given.
        port: Of the server, on loopback.
        env: What a process needs to talk to this server and to no other.
    """

    def __init__(
        self,
        home: Path | None = None,
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
        *,
        survives_restarts: bool = False,
    ) -> None:
        self._own_home = home is None
        self.home = home or Path(tempfile.mkdtemp(prefix="carbon-policy-"))
        self.port = port or free_port()
        self.env = _clean_environment() | {
            "PREFECT_HOME": str(self.home),
            "PREFECT_PROFILES_PATH": str(self.home / "profiles.toml"),
            "PREFECT_API_URL": self.api_url,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
            "PREFECT_CLI_PROMPT": "false",
            "DO_NOT_TRACK": "1",
            "PYTHONUNBUFFERED": "1",
            # Grid hours pass in seconds here, and so must polls.
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "PREFECT_WORKER_CANCELLATION_POLL_SECONDS": "2",
            **({} if survives_restarts else {"PREFECT_SERVER_DATABASE_CONNECTION_URL": _IN_MEMORY}),
            **(settings or {}),
        }
        self._server: subprocess.Popen[bytes] | None = None
        self._workers: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def api_url(self) -> str:
        """Of the server's API."""
        return f"http://127.0.0.1:{self.port}/api"

    @property
    def workers(self) -> tuple[str, ...]:
        """Names of the workers that were started and not stopped."""
        return tuple(self._workers)

    @property
    def ui_url(self) -> str:
        """Of the Prefect UI."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        try:
            self.start_server()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start_server(self) -> None:
        """Start the server and wait until it answers.

        Raises:
            SetupError: It ended, or does not answer in time; the end of its log is in the message.
        """
        self._server = self._spawn(
            "server",
            [*python_tool("prefect"), "server", "start", "--host", "127.0.0.1", "--port", str(self.port)],
        )
        deadline = time.monotonic() + _HEALTHY_WITHIN_S
        while time.monotonic() < deadline:
            if self._server.poll() is not None:
                raise SetupError(f"The Prefect server ended as it started.\n{self.log_tail('server')}")
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{self.api_url}/health", timeout=2).status_code == httpx.codes.OK:
                    return
            time.sleep(_POLL_S)
        raise SetupError(
            f"The Prefect server did not answer within {_HEALTHY_WITHIN_S:.0f} s.\n{self.log_tail('server')}"
        )

    def stop_server(self) -> None:
        """End the server; its home stays, so that it can be started again (see `survives_restarts`)."""
        if self._server is not None:
            end_process_tree(self._server)
            self._server = None

    def start_worker(
        self, pool: str, kind: str = "process", name: str | None = None, env: Mapping[str, str] | None = None
    ) -> str:
        """Start a worker on a pool; returns its name."""
        name = name or f"{pool}-worker"
        command = [*python_tool("prefect"), "worker", "start", "--pool", pool, "--type", kind, "--name", name]
        self._workers[name] = self._spawn(name, command, env)
        return name

    def stop_worker(self, name: str) -> None:
        """End a worker and what it runs."""
        end_process_tree(self._workers.pop(name))

    def kill_worker(self, name: str) -> None:
        """End a worker without asking, as a crash would; what it runs goes on."""
        process = self._workers.pop(name)
        process.kill()
        process.wait()

    def run(
        self, command: Sequence[str], *, check: bool = True, timeout_s: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run a command against this server to its end.

        Raises:
            SetupError: It failed, and `check` is true; the message holds its output.
        """
        done = subprocess.run(  # noqa: S603  The command is ours.
            list(command), env=self.env, capture_output=True, text=True, timeout=timeout_s, check=False
        )
        if check and done.returncode:
            raise SetupError(f"{' '.join(command)} failed ({done.returncode}):\n{done.stdout}\n{done.stderr}")
        return done

    def log_tail(self, name: str, lines: int = 40) -> str:
        """The end of a process's output."""
        path = self._log(name)
        if not path.exists():
            return ""
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])

    def close(self) -> None:
        """End every process, workers first, and remove the home if it was made here. May be called twice."""
        for name in list(self._workers):
            self.stop_worker(name)
        self.stop_server()
        if self._own_home:
            shutil.rmtree(self.home, ignore_errors=True)

    def _log(self, name: str) -> Path:
        return self.home / "logs" / f"{name}.log"

    def _spawn(
        self, name: str, command: Sequence[str], env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        path = self._log(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as log:
            return subprocess.Popen(  # noqa: S603  The command is ours.
                list(command),
                env=self.env | dict(env or {}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C reaches us alone; we end the children in order.
                start_new_session=True,
            )


def _clean_environment() -> dict[str, str]:
    """This process's environment without what points to a user's own Prefect, and with our tools found first."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    here = str(Path(sys.executable).parent)
    env["PATH"] = os.pathsep.join([here, env.get("PATH", os.defpath)])
    return env
