"""One of a pool's workers plans, whatever the others, their clocks and the network do."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prefect.exceptions import PrefectHTTPStatusError

from carbon_policy.worker.lease import BEAT_S, STALE_S, Lease, lease_name

BEFORE, AFTER = "before the server has acted", "after it has"


@dataclass
class Variables:
    """Variables as Prefect's server keeps them: a name is there once, and an id is deleted once.

    Attributes:
        now: Seconds on everybody's stopwatch.
        fails: When the next request is to fail.
    """

    now: float = 0.0
    fails: str | None = None
    known: dict[str, dict[str, Any]] = field(default_factory=dict)

    def request(
        self, method: str, path: str, path_params: dict[str, Any] | None = None, json: Any = None
    ) -> Any:
        fails, self.fails = self.fails, None
        if fails == BEFORE:
            raise httpx.ConnectError("the network is down")
        try:
            answer = self._do(method, (path_params or {}), json)
        finally:
            if fails == AFTER:
                raise httpx.ReadTimeout("the reply was lost")
        return SimpleNamespace(json=lambda: answer)

    def _do(self, method: str, params: dict[str, Any], json: Any) -> Any:
        if method == "POST":
            if any(one["name"] == json["name"] for one in self.known.values()):
                raise answered(409)
            made = {"id": str(uuid4()), **json}
            self.known[made["id"]] = made
            return dict(made)
        found = self.known.get(str(params.get("id"))) or next(
            (one for one in self.known.values() if one["name"] == params.get("name")), None
        )
        if found is None:
            raise answered(404)
        if method == "DELETE":
            del self.known[found["id"]]
        elif method == "PATCH":
            found.update(json)
        return dict(found)


def answered(status: int) -> PrefectHTTPStatusError:
    request = httpx.Request("POST", "http://prefect/api/variables/")
    return PrefectHTTPStatusError(
        str(status), request=request, response=httpx.Response(status, request=request)
    )


@pytest.fixture
def server() -> Variables:
    return Variables()


def worker(server: Variables, name: str = "a", pool: str = "carbon") -> Lease:
    return Lease(server, pool, name, stopwatch=lambda: server.now)  # type: ignore[arg-type]


class TestTakingOver:
    """The lease goes to another only when its holder is gone."""

    def test_the_first_has_it_and_keeps_it(self, server: Variables) -> None:
        first, second = worker(server), worker(server, "b")
        assert not first.held
        for _ in range(20):
            assert first.beat()
            assert first.held
            assert not second.beat()
            assert not second.held
            server.now += BEAT_S

    def test_another_takes_it_when_it_has_not_changed_for_long_enough_and_not_before(
        self, server: Variables
    ) -> None:
        first, second = worker(server), worker(server, "b")
        first.beat()
        second.beat()
        server.now = STALE_S - 0.001
        assert not second.beat()
        server.now = STALE_S
        assert second.beat()
        assert second.held
        assert [one["value"]["worker"] for one in server.known.values()] == ["b"]

    def test_it_is_counted_from_when_it_was_seen_to_change(self, server: Variables) -> None:
        """Nobody's clock is asked: one that looks for the first time knows nothing of its age."""
        worker(server).beat()
        server.now = 10 * STALE_S
        late = worker(server, "b")
        assert not late.beat()
        server.now += STALE_S
        assert late.beat()

    def test_of_two_that_find_it_stale_one_has_it(self, server: Variables) -> None:
        worker(server).beat()
        second, third = worker(server, "b"), worker(server, "c")
        second.beat()
        third.beat()
        server.now = STALE_S
        # Both have read before either deletes.
        read = third._read()
        assert second.beat()
        third._read = lambda: read  # type: ignore[method-assign]
        assert not third.beat()
        assert [second.held, third.held] == [True, False]
        assert len(server.known) == 1

    def test_one_that_was_paused_knows_that_it_plans_no_more_before_another_may(
        self, server: Variables
    ) -> None:
        first, second = worker(server), worker(server, "b")
        first.beat()
        second.beat()
        server.now = STALE_S - 0.001
        assert not first.held
        server.now = STALE_S
        second.beat()
        assert not first.beat()
        assert not first.held
        assert second.held

    def test_one_that_comes_back_before_anybody_took_it_has_it_still(self, server: Variables) -> None:
        first, second = worker(server), worker(server, "b")
        first.beat()
        second.beat()
        server.now = STALE_S - 1
        assert first.beat()
        assert first.held
        server.now = STALE_S
        assert not second.beat()

    def test_a_restart_under_the_same_name_is_another_worker(self, server: Variables) -> None:
        worker(server, "same").beat()
        again = worker(server, "same")
        assert not again.beat()
        server.now = STALE_S
        assert again.beat()

    def test_one_that_is_given_up_can_be_had_at_once(self, server: Variables) -> None:
        first, second = worker(server), worker(server, "b")
        first.beat()
        assert not second.beat()
        first.give_up()
        assert not first.held
        assert second.beat()
        first.give_up()
        assert second.held
        assert len(server.known) == 1

    def test_one_that_somebody_deletes_by_hand_is_made_anew(self, server: Variables) -> None:
        first = worker(server)
        first.beat()
        server.known.clear()
        assert first.beat()
        assert len(server.known) == 1


class TestFaults:
    """Requests that fail, or whose replies are lost."""

    def test_an_outage_ends_the_planning_in_time(self, server: Variables) -> None:
        first = worker(server)
        first.beat()
        while server.now < STALE_S:
            server.now += BEAT_S
            server.fails = BEFORE
            with pytest.raises(httpx.ConnectError):
                first.beat()
        assert not first.held
        assert first.beat()
        assert first.held

    def test_an_answer_that_is_no_answer_is_raised(self, server: Variables) -> None:
        def broken(*_: Any, **__: Any) -> None:
            raise answered(503)

        first = worker(server)
        first.beat()
        server.request = broken  # type: ignore[method-assign]
        for lease in (first, worker(server, "b")):
            with pytest.raises(httpx.HTTPStatusError):
                lease.beat()

    def test_a_lease_whose_making_was_not_heard_of_is_had_a_little_later(self, server: Variables) -> None:
        first = worker(server)
        server.fails = AFTER
        with pytest.raises(httpx.HTTPError):
            first._create()
        assert len(server.known) == 1
        for _ in range(int(STALE_S / BEAT_S) + 2):
            server.now += BEAT_S
            first.beat()
        assert first.held
        assert len(server.known) == 1

    @given(
        st.lists(
            st.tuples(
                st.integers(0, 2),
                st.floats(0, STALE_S * 1.2),
                st.sampled_from([None, None, None, BEFORE, AFTER]),
            ),
            max_size=60,
        )
    )
    def test_never_do_two_plan_and_in_the_end_one_does(
        self, events: list[tuple[int, float, str | None]]
    ) -> None:
        server = Variables()
        workers = [worker(server, name) for name in "abc"]
        for which, pause_s, fails in events:
            server.now += pause_s
            assert sum(one.held for one in workers) <= 1
            server.fails = fails
            with contextlib.suppress(httpx.HTTPError):
                workers[which].beat()
            server.fails = None
            assert sum(one.held for one in workers) <= 1
            assert len(server.known) <= 1
        for _ in range(int(STALE_S / BEAT_S) + 3):
            server.now += BEAT_S
            for one in workers:
                one.beat()
        assert sum(one.held for one in workers) == 1


class TestName:
    """The variable's name."""

    @given(st.text(min_size=1, max_size=200))
    def test_prefect_takes_it(self, pool: str) -> None:
        assert re.fullmatch(r"[a-z0-9_]{1,255}", lease_name(pool))

    @pytest.mark.parametrize(
        ("one", "other"), [("my-pool", "my_pool"), ("A", "a"), ("風", "火"), ("a b", "a-b")]
    )
    def test_two_pools_have_two_leases(self, one: str, other: str) -> None:
        """Else one of the two would be planned for by nobody."""
        assert lease_name(one) != lease_name(other)

    def test_a_person_can_read_whose_it_is(self) -> None:
        assert "gpu_pool" in lease_name("GPU pool")
