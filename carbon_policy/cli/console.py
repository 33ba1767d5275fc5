"""Where commands write: results to stdout, and everything else to stderr, so that results can be piped."""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager, nullcontext

from rich.console import Console
from rich.text import Text

_PIPED_WIDTH = 140
"""A file or a pipe has no width of its own, and rich's 80 columns would break lines that nobody needs broken."""


def out() -> Console:
    """For results."""
    return _console(stderr=False)


def err() -> Console:
    """For errors, warnings and progress."""
    return _console(stderr=True)


def fail(message: str) -> None:
    """Say what went wrong."""
    _say("error: ", "bold red", message)


def warn(message: str) -> None:
    """Say what a reader must know before trusting the result."""
    _say("warning: ", "bold yellow", message)


def working(message: str) -> AbstractContextManager[object]:
    """A spinner while something takes its time; only where it can be taken away again, whatever FORCE_COLOR says."""
    return err().status(message) if sys.stderr.isatty() else nullcontext()


def _console(*, stderr: bool) -> Console:
    # Names and messages come from a server: [red] in them is text, and no markup.
    console = Console(stderr=stderr, markup=False, emoji=False, highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _PIPED_WIDTH
    return console


def _say(label: str, style: str, message: str) -> None:
    console = err()
    # A log keeps one line a message; a terminal is wrapped at words.
    console.print(Text.assemble((label, style), message), soft_wrap=not console.is_terminal)
