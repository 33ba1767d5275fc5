"""The day itself, on a server that is up: make it a team's, start workers, pass the day, account for it."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from prefect.client.orchestration import get_client
from rich.console import Console
from rich.live import Live

from carbon_policy.demo.day import Day, load_day
from carbon_policy.demo.jobs import DemoJob, the_days_jobs
from carbon_policy.demo.live import picture
from carbon_policy.demo.options import DemoOptions
from carbon_policy.demo.processes import PrefectStack
from carbon_policy.demo.results import show_results
from carbon_policy.demo.setup import deploy, make_server, start_day, submit
from carbon_policy.demo.watch import Watched, look
from carbon_policy.domain.errors import SetupError
from carbon_policy.grid.replay import ReplayClock
from carbon_policy.orchestration.names import CARBON_POOL, WORKER_TYPE
from carbon_policy.provision.files import Infrastructure

_ONLINE_WITHIN_S = 60.0
_FRAME_S = 1.0
# Longer than any job takes on a machine that has other work, too.
_TAIL = timedelta(seconds=240)


def play(options: DemoOptions, stack: PrefectStack, infrastructure: Infrastructure, console: Console) -> bool:
    """Play the day; returns whether every job was placed and ended well.

    Args:
        options: What the user asked for.
        stack: A server that is up, and that this process's Prefect settings point to.
        infrastructure: Of the fast and the eco pool.
        console: For people.

    Raises:
        InvalidInputError: The day cannot be replayed; the message says what to change.
        SetupError: A worker did not start.
    """
    day = load_day(options, stack.home)
    with console.status("Creating work pools, blocks and sites ...") as status:
        make_server(day, infrastructure)
        status.update("Starting workers ...")
        _start_workers(stack, infrastructure)
    return not _pass_the_day(options, day, infrastructure, stack, console)


def _start_workers(stack: PrefectStack, infrastructure: Infrastructure) -> None:
    names = {
        pool: stack.start_worker(pool, kind, name=f"{pool}-{stack.port}")
        for pool, kind in (
            (CARBON_POOL, WORKER_TYPE),
            ("fast", infrastructure.value),
            ("eco", infrastructure.value),
        )
    }
    deadline = time.monotonic() + _ONLINE_WITHIN_S
    with get_client(sync_client=True) as client:
        while pending := [
            pool for pool in names if not client.read_workers_for_work_pool(pool, offset=0, limit=10)
        ]:
            if time.monotonic() > deadline:
                raise SetupError(
                    f"No worker came online for {pending[0]}.\n{stack.log_tail(names[pending[0]])}"
                )
            time.sleep(_FRAME_S)


def _pass_the_day(
    options: DemoOptions, day: Day, infrastructure: Infrastructure, stack: PrefectStack, console: Console
) -> bool:
    """Submit the jobs as they are due, show what becomes of them, and account for them; whether any failed."""
    jobs = the_days_jobs(options.jobs)
    with get_client(sync_client=True) as client:
        deployed = deploy(client, jobs, infrastructure, stack.home / "artifacts")
        clock = day.clock(datetime.now(UTC))
        start_day(day, clock)
        shown = day.shown(clock.began_at)
        watched = [Watched(job) for job in jobs]
        console.print(
            f"Replaying {clock.trace_start:%Y-%m-%d} in {day.zone}, {day.series.source}: 24 hours in"
            f" {options.day_seconds:.0f} s, an hour in {3600 / day.speed:.1f} s."
        )
        deadline = clock.began_at + timedelta(seconds=options.day_seconds) + _TAIL
        with Live(console=console, refresh_per_second=4, transient=not console.is_terminal) as live:
            while not all(item.ended for item in watched) and datetime.now(UTC) < deadline:
                now = datetime.now(UTC)
                for item in watched:
                    if item.run_id is None and now >= clock.to_wall(_due(item.job, clock)):
                        item.run_id = submit(client, item.job, deployed[item.job.flow], day.speed)
                look(client, watched)
                live.update(picture(watched, shown, clock, datetime.now(UTC)))
                time.sleep(_FRAME_S)
        return show_results(client, watched, day, clock, options.output, console)


def _due(job: DemoJob, clock: ReplayClock) -> datetime:
    return clock.trace_start + timedelta(hours=job.due_hour)
