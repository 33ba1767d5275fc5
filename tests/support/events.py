"""Events of the flows that run in the test process."""

from __future__ import annotations

from prefect.events.worker import EventsWorker


def send_events() -> None:
    """Send what was emitted, while there is a server to take it, and end the thread that does so.

    A thread that is left would go on for minutes once the server is gone, so that the process does not end; and
    its pings draw random numbers, which hypothesis takes for a strategy's.
    """
    EventsWorker.drain_all(timeout=30)
