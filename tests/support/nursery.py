"""Carbon workers as processes that start in a moment, with something that happens to them.

A process that has imported everything is forked for each worker. What may happen to one:

- `after module:name`, `before module:name`: it is gone, as by `kill -9`, right after or before its first call of that.
- `clock SECONDS`: its clock is wrong by so much.

Whatever takes a worker minutes, so that a server may be slow or a machine may sleep, takes it seconds here.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from unittest import mock

from prefect.settings import PREFECT_API_URL, temporary_settings

from tests.support.dying import die

EXIT_CODE = 3
"""Of a worker that was killed on purpose."""

LEASE_S, NOBODY_FOR_S = 3.0, 3.0
"""For so long another worker takes a dead one for alive."""

_PRELOADED = ["carbon_policy.worker.service", "carbon_policy.worker.worker", __name__]


class Nursery:
    """Starts workers on one server. A context manager; it ends those that are left.

    Args:
        env: What a process needs to talk to the server. It is read once in a test session: it names a port, and
            what is behind the port may change.
        logs: Folder for a log of each worker.
    """

    def __init__(self, env: Mapping[str, str], logs: Path) -> None:
        self._env, self._logs = dict(env), logs
        self._workers: list[ForkServerProcess] = []
        self._context = get_context("forkserver")
        self._context.set_forkserver_preload(_PRELOADED)

    def __enter__(self) -> Self:
        self._logs.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill_all()

    def kill_all(self) -> None:
        """End every worker as a crash would."""
        for worker in self._workers:
            kill(worker)

    def start(self, pool: str, *happens: str, api_url: str | None = None) -> ForkServerProcess:
        """Start a worker on a pool, with what is to happen to it; by another way to the server, if one is given."""
        name = f"{pool}-{len(self._workers)}"
        worker = self._context.Process(
            target=_serve,
            args=(
                pool,
                name,
                happens,
                self._logs / f"{name}-worker.log",
                api_url or self._env["PREFECT_API_URL"],
            ),
            daemon=True,
        )
        # Prefect reads its settings when it is imported, and that is in the process that is forked.
        with mock.patch.dict(os.environ, self._env, clear=True):
            worker.start()
        self._workers.append(worker)
        return worker


def kill(worker: ForkServerProcess) -> None:
    """End a worker as a crash would."""
    worker.kill()
    worker.join(10)


def _serve(pool: str, name: str, happens: tuple[str, ...], log: Path, api_url: str) -> None:
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for stream in (1, 2):
        os.dup2(output, stream)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _hurry()
    for what in happens:
        how, _, rest = what.partition(" ")
        if how == "clock":
            _set_clock(timedelta(seconds=float(rest)))
        else:
            die(how, rest, EXIT_CODE)
    from carbon_policy.worker.worker import CarbonWorker

    with temporary_settings({PREFECT_API_URL: api_url}):
        asyncio.run(CarbonWorker(work_pool_name=pool, name=name).start())


def _hurry() -> None:
    from carbon_policy.orchestration import replan
    from carbon_policy.worker import lease, mirror, moment, recovery, service

    hurried: dict[Any, dict[str, Any]] = {
        replan: {"JUST_DECIDED": timedelta(0)},
        lease: {"STALE_S": LEASE_S},
        mirror: {"_STARTS_WITHIN": timedelta(seconds=NOBODY_FOR_S)},
        moment: {"KEPT_S": 1.0},
        service: {
            "BEAT_S": LEASE_S / 4,
            "LOOK_EVERY_S": 2.0,
            "RECOVER_EVERY_S": 1.0,
            "PLAN_EVERY_S": 1.0,
            "recover": lambda *asked: recovery.recover(*asked[:5], timedelta(seconds=NOBODY_FOR_S)),
        },
    }
    for module, values in hurried.items():
        for name, value in values.items():
            assert hasattr(module, name), f"{module.__name__} has no {name} any more"
            setattr(module, name, value)


class _LikeDatetime(type):
    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, datetime)


class _Wrong(datetime, metaclass=_LikeDatetime):
    """A clock that is wrong, for the modules that ask `datetime` what time it is."""

    by = timedelta(0)

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return datetime.now(tz) + cls.by


def _set_clock(by: timedelta) -> None:
    """Make the clock of the worker's own code wrong; Prefect's server sets the times of states by its own."""
    from carbon_policy.worker import clock

    _Wrong.by = by
    for name, module in list(sys.modules.items()):
        if name.startswith("carbon_policy.") and getattr(module, "datetime", None) is datetime:
            module.datetime = _Wrong  # type: ignore[attr-defined]
    # It was bound before.
    clock.ServerClock.__init__.__defaults__ = (lambda: _Wrong.now(UTC),)
