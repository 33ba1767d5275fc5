"""All due runs are decided together, and one that cannot be decided is no reason to leave the others."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prefect.states import Pending

from carbon_policy.domain.decision import Action
from carbon_policy.domain.precedence import setting_names
from carbon_policy.orchestration.names import (
    LABEL_CHILD,
    LABEL_DEFERRALS,
    LABEL_PROGRESS,
    LABEL_SUBMITTED,
    POLICY_BLOCK,
)
from carbon_policy.worker.batch import MOST, Decided, decide_batch, due_runs, read_runs
from carbon_policy.worker.clock import ServerClock
from tests.unit.worker.server import FLEXIBLE, POOL, Server, Told, minutes


@pytest.fixture
def server() -> Server:
    return Server()


def decided(world: Told, *runs: Any) -> list[Decided]:
    """Decide runs, each of which is begun before the next is decided, as at the desk."""
    found = []
    for one in decide_batch(None, world, runs):  # type: ignore[arg-type]
        found.append(one)
        if one.decision is not None and one.decision.action is Action.RUN and one.decision.site:
            world.take(one.decision.site)
    return found


def sites(found: list[Decided]) -> list[str | None]:
    return [one.decision.site if one.decision else None for one in found]


class TestPlaces:
    """Those that come first are given the places; those behind them know."""

    def test_a_place_is_given_away_once(self, server: Server) -> None:
        world = Told(free=2)
        found = decided(world, *(server.add() for _ in range(4)))
        assert sites(found) == ["eco", "eco", "fast", "fast"]
        assert [world.taken(site) for site in ("eco", "fast")] == [2, 2]

    def test_the_next_batch_of_the_same_moment_knows_as_well(self, server: Server) -> None:
        world = Told(free=1)
        decided(world, server.add())
        assert sites(decided(world.at(world.now), server.add())) == ["fast"]  # type: ignore[arg-type]

    def test_one_that_is_to_wait_takes_none(self, server: Server) -> None:
        run = server.add()
        world = Told({run.deployment_id: FLEXIBLE})  # type: ignore[dict-item]
        world.expected = (400.0,) * 3 + (10.0,) * 21
        [one] = decided(world, run)
        assert one.decision is not None
        assert one.decision.action is Action.DEFER
        assert (world.taken("fast"), world.taken("eco")) == (0, 0)


class TestUndecided:
    """One of many."""

    def _beside(self, server: Server, world: Told, bad: Any) -> Decided:
        """It, decided between two that are well, which are decided whatever becomes of it."""
        before, one, after = decided(world, server.add(), bad, server.add())
        assert before.decision is not None
        assert after.decision is not None
        return one

    def test_one_that_was_placed_before_is_not_put_to_wait_again(self, server: Server) -> None:
        """Its gate finds the job, whatever the grid says by now."""
        run = server.add(labels={LABEL_CHILD: str(uuid4())})
        world = Told({run.deployment_id: FLEXIBLE})  # type: ignore[dict-item]
        world.expected = (400.0,) * 3 + (10.0,) * 21
        [one] = decided(world, run)
        assert (one.decision, one.why_not) == (None, "It was placed before.")
        [same] = decided(world, run.model_copy(update={"labels": {}}))
        assert same.decision is not None
        assert same.decision.action is Action.DEFER

    def test_one_without_a_deployment(self, server: Server) -> None:
        one = self._beside(server, Told(), server.add(deployment_id=None))
        assert (one.decision, one.why_not) == (None, "It has no deployment.")

    def test_one_whose_deployment_was_deleted(self, server: Server) -> None:
        world, run = Told(), server.add()
        world.gone.add(run.deployment_id)
        one = self._beside(server, world, run)
        assert (one.decision, one.why_not) == (None, "Its deployment was deleted.")

    def test_one_that_is_refused_says_why(self, server: Server) -> None:
        one = self._beside(server, Told(), server.add(job_variables={"urgncy": "flexible"}))
        assert one.decision is None
        assert "urgncy" in one.why_not
        assert one.deployment == "train/nightly"

    def test_one_for_which_the_server_does_not_answer(self, server: Server) -> None:
        world, bad = Told(), server.add()
        known = world.deployment

        def deployment(deployment_id: Any) -> Any:
            if deployment_id == bad.deployment_id:
                raise httpx.ReadTimeout("no answer")
            return known(deployment_id)

        world.deployment = deployment  # type: ignore[method-assign]
        assert self._beside(server, world, bad).decision is None

    @pytest.mark.parametrize(
        "bad",
        [
            {"labels": {LABEL_PROGRESS: "half"}},
            {"labels": {LABEL_DEFERRALS: "many"}},
            {"labels": {LABEL_DEFERRALS: 1, LABEL_SUBMITTED: 5}},
            {"labels": {LABEL_DEFERRALS: 1, LABEL_SUBMITTED: "yesterday"}},
            {"job_variables": {POLICY_BLOCK: ["a", "b"]}},
            {"job_variables": {"finish_within": "9999999999s", "urgency": "flexible"}},
            {"job_variables": {"finish_within": 1e10, "urgency": "flexible"}},
            {"job_variables": {"finish_by": "9999-12-31T23:59:59Z", "urgency": "flexible"}},
            {"job_variables": {"expected_duration": 1e10}},
            {"job_variables": {"start_early": "999d", "urgency": "flexible"}},
            {"job_variables": {"earliest_start": "9999-12-31T23:59:59Z"}},
            {"job_variables": {"timezone": "../../etc/passwd", "allowed_hours": "22:00-06:00"}},
            {"job_variables": {"timezone": "", "allowed_hours": "22:00-06:00"}},
            {"job_variables": {"allowed_sites": [[]]}},
            {"job_variables": {"env": "no mapping"}},
            {"parameters": {"x": {1, 2}}},
        ],
        ids=str,
    )
    def test_one_of_which_nonsense_is_said(self, server: Server, bad: dict[str, Any]) -> None:
        self._beside(server, Told(), server.add(**bad))

    @given(
        st.dictionaries(
            st.sampled_from(sorted(setting_names())),
            st.one_of(
                st.none(),
                st.booleans(),
                st.integers(),
                st.floats(),
                st.text(max_size=8),
                st.sampled_from(
                    ["flexible", "fleet", "observe", "1e9h", "P9999999D", "9999-01-01T00:00:00Z"]
                ),
                st.lists(st.text(max_size=4), max_size=2),
            ),
            max_size=4,
        )
    )
    def test_whatever_is_said_of_it(self, said: dict[str, Any]) -> None:
        server = Server()
        self._beside(server, Told(), server.add(job_variables=said))


class TestDue:
    """What the server hands out, as it is now."""

    def test_in_the_servers_order_and_without_what_is_gone(self, server: Server) -> None:
        first, second = server.add(), server.add()
        later = server.add(due=server.now + minutes(5))
        found = due_runs(server, POOL, (), server.now, ServerClock())  # type: ignore[arg-type]
        assert [run.id for run in found] == [first.id, second.id]
        found = due_runs(server, POOL, (), server.now + minutes(6), ServerClock())  # type: ignore[arg-type]
        assert [run.id for run in found] == [first.id, second.id, later.id]

    def test_one_that_another_took_since_is_left_out(
        self, server: Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        mine, theirs = server.add(), server.add()
        read = server.read_flow_runs

        def taken_first(**filters: Any) -> Any:
            server.set(theirs.id, Pending())
            return read(**filters)

        monkeypatch.setattr(server, "read_flow_runs", taken_first)
        found = due_runs(server, POOL, (), server.now, ServerClock())  # type: ignore[arg-type]
        assert [run.id for run in found] == [mine.id]

    def test_many_are_read_a_page_at_a_time(self, server: Server) -> None:
        runs = [server.add() for _ in range(MOST + 1)]
        found = list(read_runs(server, [*(run.id for run in runs), uuid4()]))  # type: ignore[arg-type]
        assert {run.id for run in found} == {run.id for run in runs}
        assert server.asked.count("read_flow_runs") == 2
        assert list(read_runs(server, [])) == []  # type: ignore[arg-type]
