"""What Prefect reports of the sites, and what it costs to ask."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.schemas.objects import WorkPool, WorkPoolStatus

from carbon_policy.domain.site import Site, Tier
from carbon_policy.orchestration.status import Status, put_to_sleep

QUEUE = uuid4()


class Server:
    """A server with so many runs on each pool, and one default queue."""

    def __init__(self, running: dict[str, int] | None = None, **queue: Any) -> None:
        self.running, self.queue = running or {}, {"id": str(QUEUE), "name": "default"} | queue
        self.asked: list[str] = []

    def count_flow_runs(self, *, flow_run_filter: Any, work_pool_filter: Any) -> int:
        [pool] = work_pool_filter.name.any_
        assert {kind.value for kind in flow_run_filter.state.type.any_} == {"PENDING", "RUNNING"}
        self.asked.append(pool)
        return self.running.get(pool, 0)

    def request(self, method: str, path: str, json: Any) -> Any:
        assert (method, path) == ("POST", "/work_queues/filter")
        self.asked.append("queues")
        return SimpleNamespace(json=lambda: [self.queue])


def pool(name: str = "fast", default_queue_id: UUID = QUEUE, **fields: Any) -> WorkPool:
    known = {"type": "process", "base_job_template": {}, "status": WorkPoolStatus.READY}
    return WorkPool(name=name, default_queue_id=default_queue_id, **known | fields)


def site(name: str = "fast", **fields: Any) -> Site:
    return Site(name=name, work_pool=name, tier=Tier.FAST, zone="DE", power_w=60, **fields)


def status(server: Server, *pools: WorkPool) -> Status:
    return Status(server, {one.name: one for one in pools})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("limit", "capacity", "running", "free"),
    [(None, None, 3, None), (5, None, 3, 2), (None, 4, 3, 1), (5, 2, 1, 1), (5, None, 7, 0)],
)
def test_what_a_site_can_take_now(
    limit: int | None, capacity: int | None, running: int, free: int | None
) -> None:
    known = status(Server({"fast": running}), pool(concurrency_limit=limit))
    assert known.free(site(capacity=capacity)) == free


def test_a_server_that_does_not_count_holds_nothing_against_a_site() -> None:
    def refuses(**_: Any) -> int:
        server.asked.append("count")
        raise PermissionError("403")

    server = Server(concurrency_limit=9, active_slots=2)
    server.count_flow_runs = refuses  # type: ignore[method-assign]
    limited, unlimited = pool(concurrency_limit=5), pool(concurrency_limit=5, default_queue_id=uuid4())
    assert status(server, unlimited).free(site()) is None
    assert status(server, limited).free(site()) == 7
    assert status(server, pool(concurrency_limit=0)).free(site()) == 0
    known = status(server, limited)
    server.asked.clear()
    assert known.free(site()) == known.free(site()) == 7
    assert server.asked == ["count", "queues"]


def test_a_limit_of_the_default_queue_counts_as_well() -> None:
    server = Server({"fast": 1}, concurrency_limit=3, active_slots=2)
    assert status(server, pool(concurrency_limit=9)).free(site()) == 1
    assert status(server, pool()).free(site()) == 1
    assert status(Server(concurrency_limit=3), pool(default_queue_id=uuid4())).free(site()) is None


def test_it_asks_once_for_the_queues_and_once_for_each_pool_with_a_limit() -> None:
    server = Server()
    known = status(server, pool(concurrency_limit=1), pool("eco"))
    for one in (site(), site(), site("eco"), site("eco")):
        assert known.unusable(one) is None
        known.free(one)
    assert sorted(server.asked) == ["fast", "queues"]


def test_what_hands_out_nothing_is_left_out_with_a_sentence() -> None:
    paused = status(Server(), pool(is_paused=True)).unusable(site())
    assert paused == "Site fast was left out: its work pool fast is paused."
    queue = status(Server(is_paused=True), pool()).unusable(site())
    assert queue == "Site fast was left out: the default queue of its work pool fast is paused."
    missing = status(Server(), pool()).unusable(site("eco"))
    assert missing is not None
    assert "no work pool 'eco'" in missing


def test_a_pool_without_a_worker_is_asleep_but_never_the_reference() -> None:
    known = status(Server(), pool(status=WorkPoolStatus.NOT_READY))
    sentence = known.asleep(site())
    assert sentence == "Site fast was left out: its work pool fast has no worker online."
    assert status(Server(), pool()).asleep(site()) is None
    sites = put_to_sleep([site("a"), site("b"), site("c")], {"a": sentence, "b": sentence}, "a")
    assert [(one.name, one.enabled) for one in sites] == [("a", True), ("b", False), ("c", True)]
