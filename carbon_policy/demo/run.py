"""The main job, end to end: a server, three pools, a dozen AI jobs, and a day that passes in seconds."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

from rich.console import Console

from carbon_policy.demo.containers import remove_containers
from carbon_policy.demo.options import DemoOptions
from carbon_policy.demo.processes import PrefectStack
from carbon_policy.domain.errors import SetupError

_SETTINGS = {
    # An hour passes in seconds: what is due is fetched a little before, and its process starts meanwhile.
    "PREFECT_WORKER_PREFETCH_SECONDS": "5",
    "PREFECT_WORKER_QUERY_SECONDS": "2",
    "PREFECT_LOGGING_LEVEL": "WARNING",
}


_PREFECTS = ("PREFECT_", "DO_NOT_TRACK")
"""How the names of variables begin that Prefect reads."""


def run_demo(options: DemoOptions, console: Console | None = None) -> int:
    """Run the demo; returns 0 when every job was placed and ended well.

    Whatever happens, Ctrl-C included, no process, container or port of it is left.

    Raises:
        InvalidInputError: The day cannot be replayed; the message says what to change.
        SetupError: The server or a worker did not start.
    """
    console = console or Console()
    if "prefect" in sys.modules:
        raise SetupError(
            "Prefect was imported already, with your own settings, and the demo would run on your server;"
            " start it in a process of its own: carbon-policy demo."
        )
    with ExitStack() as cleanup:
        cleanup.enter_context(_signals_as_interrupts())
        stack = PrefectStack(settings=_SETTINGS)
        cleanup.callback(_close, stack)
        # Prefect reads its settings when it is imported, which is why it is imported below and not above: from here
        # on this process, too, knows this server and no other.
        os.environ.update({name: value for name, value in stack.env.items() if name.startswith(_PREFECTS)})
        from carbon_policy.demo.infrastructure import choose_infrastructure
        from carbon_policy.demo.story import play

        infrastructure = choose_infrastructure(options, console)
        with console.status("Starting a Prefect server of its own ..."):
            stack.start_server()
        went_well = play(options, stack, infrastructure, console)
        if options.keep:
            console.print(f"The Prefect UI is at [link]{stack.ui_url}[/link]; Ctrl-C ends it.")
            _until_interrupted()
    return 0 if went_well else 1


def _close(stack: PrefectStack) -> None:
    """End everything, and let nobody interrupt it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    workers = list(stack.workers)
    # Containers are the engine's children and not ours. First those that are there, so that workers need not wait
    # for them; then any that was started in between.
    remove_containers(workers)
    stack.close()
    remove_containers(workers)


@contextmanager
def _signals_as_interrupts() -> Iterator[None]:
    """SIGTERM and SIGHUP end the demo as Ctrl-C does; during the clean-up none of them interrupts."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, interrupt) for number in numbers}
    before[signal.SIGINT] = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _until_interrupted() -> None:
    try:
        signal.pause()
    except KeyboardInterrupt:
        return
