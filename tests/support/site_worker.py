"""A stand-in for the sites' workers and for the jobs that they start: cheap, and it writes down what it starts.

It does to a run what a worker and a flow's process do, through the real API: takes it (Pending), starts it (Running),
leaves one line in a file as the job's own code would, and ends it (Completed, or Failed as the job's parameters say).
A start is what that line says and nothing else, so a job that is started twice is seen twice.

A job's parameters: `lasts_s`, and `fails`.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import httpx

from carbon_policy.orchestration.names import GATE_RUN

_POLL_S = 0.4
_AT_ONCE = 16
_CANCEL_EVERY = 3  # polls
_NEVER_IN_A_POOL = "-"


@dataclass(frozen=True)
class Start:
    """A job's code began to run.

    Attributes:
        run: The job's run.
        parent: The run that it was placed for.
        at: When.
    """

    run: str
    parent: str
    at: datetime


def starts(file: Path) -> list[Start]:
    """Every start that was written down, the first one first."""
    lines = file.read_text().splitlines() if file.exists() else []
    return [Start(run, parent, datetime.fromisoformat(at)) for run, parent, at in map(str.split, lines)]


class SiteWorker:
    """Polls work pools and plays their jobs. A context manager; it has a thread of its own.

    It outlives the server: it asks until it is answered, and knows a state of its own by the state's message.

    Args:
        api_url: Of the server.
        pools: Which it serves.
        file: Where it writes down what it starts.
    """

    def __init__(self, api_url: str, pools: Iterable[str], file: Path) -> None:
        self._api_url, self._pools, self._file = api_url, tuple(pools), file
        self._thread = threading.Thread(target=lambda: asyncio.run(self._work()), name="site-worker")
        self._stopping = threading.Event()
        self._jobs: set[asyncio.Task[None]] = set()
        self._being_taken: set[str] = set()
        # A run that begins anew while it is under way is there twice, as its processes would be.
        self._to_cancel: dict[str, list[asyncio.Event]] = {}
        self._failure: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join()
        if self._failure is not None and error is None:
            raise self._failure

    # --- in its thread

    async def _work(self) -> None:
        self._room = asyncio.Semaphore(_AT_ONCE)
        try:
            async with httpx.AsyncClient(base_url=self._api_url, timeout=30) as api:
                self._api = api
                polls = 0
                while not self._stopping.is_set():
                    for pool in self._pools:
                        await self._take_due(pool)
                    if polls % _CANCEL_EVERY == 0:
                        await self._obey_cancels()
                    polls += 1
                    await asyncio.sleep(_POLL_S)
        except BaseException as failure:
            self._failure = failure
        finally:
            for job in self._jobs:
                job.cancel()
            await asyncio.gather(*self._jobs, return_exceptions=True)

    async def _take_due(self, pool: str) -> None:
        due = {"scheduled_before": (datetime.now(UTC) + timedelta(seconds=1)).isoformat()}
        for item in await self._ask("POST", f"/work_pools/{pool}/get_scheduled_flow_runs", due) or ():
            run = item["flow_run"]
            # One that was begun before, and is offered again, is begun again, as a worker would.
            if run["id"] not in self._being_taken:
                self._being_taken.add(run["id"])
                self._start(self._play(run))

    def _start(self, job: Coroutine[Any, Any, None]) -> None:
        def ended(task: asyncio.Task[None]) -> None:
            self._jobs.discard(task)
            if not task.cancelled() and task.exception() is not None:
                self._failure = task.exception()
                self._stopping.set()

        task = asyncio.create_task(job)
        self._jobs.add(task)
        task.add_done_callback(ended)

    async def _play(self, run: dict[str, Any]) -> None:
        run_id, parameters = run["id"], run["parameters"]
        cancelled = asyncio.Event()
        async with self._room:
            try:
                taken = await self._propose(run_id, "PENDING")
            finally:
                self._being_taken.discard(run_id)
            if not taken or not await self._propose(run_id, "RUNNING"):
                return
            self._to_cancel.setdefault(run_id, []).append(cancelled)
            try:
                self._write_down(run)
                try:
                    await asyncio.wait_for(cancelled.wait(), parameters.get("lasts_s", 0) or 0.001)
                    end, message = "CANCELLED", "The job was told to end."
                except TimeoutError:
                    failed = parameters.get("fails", False)
                    end, message = ("FAILED", "The job's own failure.") if failed else ("COMPLETED", "Done.")
                await self._propose(run_id, end, message)
            finally:
                self._to_cancel[run_id].remove(cancelled)

    def _write_down(self, run: dict[str, Any]) -> None:
        parent = (run.get("job_variables") or {}).get(GATE_RUN, _NEVER_IN_A_POOL)
        line = f"{run['id']} {parent} {datetime.now(UTC).isoformat()}\n"
        file = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(file, line.encode())
        finally:
            os.close(file)

    async def _obey_cancels(self) -> None:
        found = await self._ask(
            "POST",
            "/flow_runs/filter",
            {
                "flow_runs": {"state": {"type": {"any_": ["CANCELLING"]}}},
                "work_pools": {"name": {"any_": list(self._pools)}},
            },
        )
        for run in found or ():
            under_way = self._to_cancel.get(run["id"])
            for job in under_way or ():
                job.set()
            if not under_way and run["id"] not in self._being_taken:
                await self._propose(run["id"], "CANCELLED", "Nothing of it was left to end.")

    async def _propose(self, run_id: str, kind: str, message: str = "") -> bool:
        """Whether the server took the state; where a reply got lost, the run says whether it is this one."""
        mark = f"{message} ({uuid4().hex[:8]})".strip()
        state = {"type": kind, "message": mark}
        answer = await self._ask(
            "POST", f"/flow_runs/{run_id}/set_state", {"state": state, "force": False}, unless=(run_id, mark)
        )
        return answer is not None and answer["status"] == "ACCEPT"

    async def _ask(
        self, method: str, path: str, body: Any = None, unless: tuple[str, str] | None = None
    ) -> Any:
        """The server's answer; asked until there is one, or until this is to end."""
        while not self._stopping.is_set():
            try:
                answer = await self._api.request(method, path, json=body)
                if answer.status_code == httpx.codes.NOT_FOUND:
                    return None
                if answer.status_code < httpx.codes.INTERNAL_SERVER_ERROR:
                    answer.raise_for_status()
                    return answer.json()
            except httpx.TransportError:
                pass
            await asyncio.sleep(_POLL_S)
            if unless is not None:
                run_id, mark = unless
                run = await self._ask("GET", f"/flow_runs/{run_id}")
                if run is not None and (run["state"] or {}).get("message") == mark:
                    return {"status": "ACCEPT"}
        return None
