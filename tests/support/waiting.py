"""Waiting for something to become true, and saying what there was instead."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL_S = 0.2


def wait_for(
    predicate: Callable[[], T], timeout_s: float, what: str, describe: Callable[[], str] = lambda: ""
) -> T:
    """Poll until a predicate is true, and return what it returned.

    Raises:
        AssertionError: It did not become true in time; the message holds what `describe` says.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        found = predicate()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"Not within {timeout_s:g} s: {what}\n{describe()}")
        time.sleep(POLL_S)
