"""An end to waiting, whatever is waited for: time limits of sockets begin anew with every byte that comes."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from typing import TypeVar

from carbon_policy.domain.errors import SourceUnavailableError

T = TypeVar("T")


def within(seconds: float, call: Callable[[], T], what: str) -> T:
    """The result of a call, or its error; after so many seconds it is left behind.

    Args:
        seconds: How long to wait.
        call: Runs in a thread of its own, which does not keep the process alive.
        what: Names it in the error.

    Raises:
        SourceUnavailableError: It took longer.
    """
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:  # It is raised again, in the thread that waits.
            errors.append(error)

    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(run,), name=f"carbon-policy {what}", daemon=True)
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise SourceUnavailableError(f"{what} gave no answer within {seconds:g} s; it was not waited for.")
    return results[0]
