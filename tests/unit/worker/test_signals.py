"""What the server's events tell at once. That they come, and look like this, is tests/contract's."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.events import Event

from carbon_policy.orchestration.names import TAG_PLACED
from carbon_policy.worker import signals as module
from carbon_policy.worker.signals import Signals, listen, wanted

RUN = uuid4()


def event(kind: str, run: UUID | str = RUN, tags: tuple[str, ...] = ()) -> Event:
    return Event(
        event=f"prefect.flow-run.{kind}",
        resource={"prefect.resource.id": f"prefect.flow-run.{run}"},
        related=[
            {"prefect.resource.id": "prefect.work-pool.some-id", "prefect.resource.role": "work-pool"},
            *({"prefect.resource.id": f"prefect.tag.{tag}", "prefect.resource.role": "tag"} for tag in tags),
        ],
    )


@pytest.mark.parametrize("kind", ["Scheduled", "Late", "AwaitingRetry"])
def test_a_run_may_be_due(kind: str) -> None:
    signals = Signals()
    signals.hear(event(kind))
    assert (signals.due.is_set(), signals.news.is_set()) == (True, False)


@pytest.mark.parametrize("kind", ["Completed", "Failed", "Crashed", "Cancelled", "TimedOut"])
def test_a_placed_job_has_ended(kind: str) -> None:
    signals = Signals()
    signals.hear(event(kind, tags=("mine", TAG_PLACED)))
    assert signals.news.is_set()
    assert signals.take_ended() == {RUN}
    assert signals.take_ended() == set()
    assert signals.take_cancelled() == set()


@pytest.mark.parametrize("kind", ["Cancelling", "Cancelled"])
def test_somebody_cancels_a_run(kind: str) -> None:
    signals = Signals()
    signals.hear(event(kind))
    assert signals.news.is_set()
    assert signals.take_cancelled() == {RUN}
    assert signals.take_cancelled() == set()
    assert signals.take_ended() == set()


@pytest.mark.parametrize(
    "heard",
    [
        event("Scheduled", tags=(TAG_PLACED,)),
        event("Cancelling", tags=(TAG_PLACED,)),
        event("Pending", tags=(TAG_PLACED,)),
        event("Completed"),
        event("Running"),
        event("Completed", run="no-id", tags=(TAG_PLACED,)),
        event("Cancelled", run=""),
    ],
    ids=lambda heard: heard.event,
)
def test_all_else_is_nothing(heard: Event) -> None:
    signals = Signals()
    signals.hear(heard)
    assert not signals.due.is_set()
    assert not signals.news.is_set()
    assert (signals.ended, signals.cancelled) == (set(), set())


def test_what_is_asked_for_is_what_is_understood() -> None:
    pool = uuid4()
    of_the_pool = [event(kind) for kind in ("Scheduled", "Completed", "Cancelling")]
    for one in of_the_pool:
        one.related[0].root["prefect.resource.id"] = f"prefect.work-pool.{pool}"
    job, other, begun = (
        event("Completed", tags=(TAG_PLACED,)),
        event("Scheduled"),
        event("Running", tags=(TAG_PLACED,)),
    )
    # Made last: a filter ends, by itself, at the moment that it is made.
    asked = wanted(pool)
    assert all(asked.includes(one) for one in of_the_pool)
    assert asked.includes(job)
    assert not asked.includes(other)
    assert not asked.includes(begun)


class Connections:
    """The server's events: each connection gives some and ends, or breaks."""

    def __init__(self, *scripts: list[Any]) -> None:
        self.scripts = list(scripts)
        self.done = asyncio.Event()

    def __call__(self, **_: Any) -> Connections:
        return self

    async def __aenter__(self) -> Any:
        if not self.scripts:
            self.done.set()
            await asyncio.Event().wait()
        return self._give(self.scripts.pop(0))

    async def __aexit__(self, *_: object) -> None:
        """Nothing."""

    async def _give(self, script: list[Any]) -> Any:
        for one in script:
            if isinstance(one, Exception):
                raise one
            yield one


def test_it_listens_again_after_every_break_and_asks_for_what_it_missed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(module, "_LONGEST_PAUSE_S", 0.002)

    async def heard() -> Signals:
        signals = Signals()
        connections = Connections(
            [event("Completed", tags=(TAG_PLACED,)), OSError("broken")], [ValueError("no event")], []
        )
        monkeypatch.setattr(module, "get_events_subscriber", connections)
        known = iter([None, None])
        task = asyncio.create_task(listen(lambda: next(known, RUN), signals))
        async with asyncio.timeout(10):
            await connections.done.wait()
        assert not signals.connected
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return signals

    signals = asyncio.run(heard())
    assert signals.ended == {RUN}
    assert signals.due.is_set()
    assert signals.news.is_set()
