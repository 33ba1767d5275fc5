"""The server's clock, as far as a worker can tell: runs are due by it, whatever the worker's own clock says."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import httpx

_NOISE = timedelta(seconds=2)
"""An answer names whole seconds, and took a while: a smaller difference is none."""


def _now() -> datetime:
    return datetime.now(UTC)


class ServerClock:
    """Tells the server's time, learnt from the date of its answers.

    Args:
        own: The worker's own clock; gives aware moments.
    """

    def __init__(self, own: Callable[[], datetime] = _now) -> None:
        self._own = own
        self._ahead = timedelta(0)

    @property
    def ahead(self) -> timedelta:
        """By how much the server's clock is ahead of the worker's; nought for less than two seconds."""
        return self._ahead

    def now(self) -> datetime:
        """The server's time, UTC."""
        return self._own() + self._ahead

    def learn(self, answer: httpx.Response) -> None:
        """Compare an answer that has just come with the own clock; one without a date teaches nothing."""
        try:
            said = parsedate_to_datetime(answer.headers["date"])
        except (KeyError, ValueError):
            return
        if said.tzinfo is None:
            return
        # The date is the second in which the answer was made: on average it began half a second before.
        ahead = said + timedelta(seconds=0.5) - self._own()
        self._ahead = ahead if abs(ahead) > _NOISE else timedelta(0)
