"""What the server's events tell a worker at once: a run is due, a job has ended, somebody cancels.

Events are a help: they may be lost, and the connection may be down. Whatever they tell of is found by the next poll.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

from prefect.events import Event
from prefect.events.clients import get_events_subscriber
from prefect.events.filters import EventAnyResourceFilter, EventFilter, EventNameFilter

from carbon_policy.orchestration.names import TAG_PLACED

_RUN = "prefect.flow-run."
_ENDS = ("Completed", "Failed", "Crashed", "Cancelled", "TimedOut")
_CANCELS = ("Cancelling", "Cancelled")
_DUE = ("Scheduled", "Late", "AwaitingRetry")
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 30.0


@dataclass
class Signals:
    """What was heard and not yet seen to.

    Attributes:
        due: Set where a run may be due.
        news: Set where a job has ended, or somebody cancels.
        ended: Ids of jobs that have ended.
        cancelled: Ids of runs that were cancelled.
        connected: Whether events are heard at all.
    """

    due: asyncio.Event = field(default_factory=asyncio.Event)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    ended: set[UUID] = field(default_factory=set)
    cancelled: set[UUID] = field(default_factory=set)
    connected: bool = False

    def hear(self, event: Event) -> None:
        """Sort an event."""
        kind, run_id = event.event.removeprefix(_RUN), _run_id(event)
        if run_id is None:
            return
        if any(one.get("prefect.resource.id") == _PLACED for one in event.related):
            if kind in _ENDS:
                self.ended.add(run_id)
                self.news.set()
            return
        if kind in _CANCELS:
            self.cancelled.add(run_id)
            self.news.set()
        elif kind in _DUE:
            self.due.set()

    def take_ended(self) -> set[UUID]:
        """The jobs that have ended since this was asked last."""
        ended, self.ended = self.ended, set()
        return ended

    def take_cancelled(self) -> set[UUID]:
        """The runs that were cancelled since this was asked last."""
        cancelled, self.cancelled = self.cancelled, set()
        return cancelled


_PLACED = f"prefect.tag.{TAG_PLACED}"


def wanted(pool_id: UUID) -> EventFilter:
    """The events that concern a pool: of its runs, and of all placed jobs."""
    names = sorted({_RUN + name for name in (*_ENDS, *_CANCELS, *_DUE)})
    return EventFilter(
        event=EventNameFilter(name=names),
        any_resource=EventAnyResourceFilter(id=[f"prefect.work-pool.{pool_id}", _PLACED]),
    )


async def listen(pool_id: Callable[[], UUID | None], signals: Signals) -> None:
    """Hear the server's events for as long as this worker runs, over every break of the connection.

    Args:
        pool_id: The pool's id; `None` while it is not known.
        signals: Are told.
    """
    pause_s = _FIRST_PAUSE_S
    while True:
        known = pool_id()
        if known is not None:
            try:
                async with get_events_subscriber(filter=wanted(known), reconnection_attempts=0) as events:
                    signals.connected = True
                    pause_s = _FIRST_PAUSE_S
                    # What came while nobody listened is found by a poll.
                    signals.due.set()
                    signals.news.set()
                    async for event in events:
                        signals.hear(event)
            except Exception:  # Whatever it is, it is tried again, and polls do without.
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
            finally:
                signals.connected = False
        await asyncio.sleep(pause_s)


def _run_id(event: Event) -> UUID | None:
    try:
        return UUID(event.resource.id.removeprefix(_RUN))
    except ValueError:
        return None
