"""How far a command is; only where it can be taken away again."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from carbon_policy.cli.console import err


@contextmanager
def share_of(what: str) -> Iterator[Callable[[float], None]]:
    """A bar, told how much is done: 0 to 1."""
    with _progress() as progress:
        task = progress.add_task(what, total=1.0)
        yield lambda share: progress.update(task, completed=share)


@contextmanager
def one_after_another(count: int) -> Iterator[Callable[[int, str], None]]:
    """A bar over so many things, told which one it is at and what is done to it."""
    with _progress() as progress:
        task = progress.add_task("Beginning", total=count)

        def tell(at: int, what: str) -> None:
            progress.update(task, completed=at, description=what)

        yield tell


def _progress() -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=err(),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
