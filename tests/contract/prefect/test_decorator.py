"""`@carbon_aware` leaves a Prefect flow a Prefect flow, and a direct call a direct call."""

from __future__ import annotations

import asyncio
import gc
import inspect
import logging
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prefect import Flow, flow
from prefect.client.schemas.objects import FlowRun
from prefect.runtime import flow_run

from carbon_policy import InvalidInputError, carbon_aware
from carbon_policy.orchestration.direct import Advice
from carbon_policy.orchestration.records import read_decision, read_energy
from tests.support import grids
from tests.support.bench import Bench, unique

# Prefect 3.8.8 leaves its async client's connection open when an async flow's loop ends, decorated or not. It is
# collected inside the test, so that no later one is blamed.
UNCLOSED = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


def _note(*_: Any) -> None:
    """A hook."""


@carbon_aware(urgency="flexible", finish_within="12h", expected_duration="45m")
@flow(name="Train", version="7", retries=2, retry_delay_seconds=3, on_failure=[_note], timeout_seconds=60)
def train(epochs: int = 3) -> float:
    """Trains."""
    return epochs * 1.5


class TestStaysAFlow:
    """Whatever Prefect asks of a flow, the decorated one answers as before; no server is needed."""

    def test_is_a_flow_with_its_options(self) -> None:
        assert isinstance(train, Flow)
        assert (train.name, train.version, train.retries, train.timeout_seconds) == ("Train", "7", 2, 60.0)
        assert train.retry_delay_seconds == 3
        assert train.on_failure_hooks == [_note]

    def test_keeps_signature_hints_and_docstring(self) -> None:
        assert str(inspect.signature(train)) == "(epochs: 'int' = 3) -> 'float'"
        assert inspect.get_annotations(train.fn, eval_str=True) == {"epochs": int, "return": float}
        assert (train.__doc__, train.description) == ("Trains.", "Trains.")
        assert train.__name__ == "train"

    def test_keeps_its_parameters_schema(self) -> None:
        assert list(train.parameters.properties) == ["epochs"]

    def test_with_options_keeps_what_was_said(self) -> None:
        other = train.with_options(name="Other", retries=5)
        assert (other.name, other.retries, train.retries) == ("Other", 5, 2)
        assert other.carbon_declared == train.carbon_declared
        assert other.fn(2) == 3.0

    def test_to_deployment_works(self) -> None:
        deployment = train.to_deployment("nightly")
        assert (deployment.name, deployment.flow_name) == ("nightly", "Train")  # type: ignore[union-attr]

    def test_with_and_without_parentheses(self) -> None:
        bare = carbon_aware(flow(train.fn))
        empty = carbon_aware()(flow(train.fn))
        assert bare.carbon_declared == empty.carbon_declared == {}

    def test_its_function_alone_can_be_tested_without_a_run(self) -> None:
        assert train.fn(4) == 6.0

    @pytest.mark.parametrize("kind", ["isasync", "isgenerator"])
    def test_keeps_its_kind(self, kind: str) -> None:
        @flow
        async def asynchronous() -> int:
            return 1

        @flow
        def yielding() -> Iterator[int]:
            yield 1

        for plain in (asynchronous, yielding):
            assert getattr(carbon_aware(plain), kind) == getattr(plain, kind)


class TestRefusals:
    """Where a mistake is made is where it shows."""

    @pytest.mark.parametrize(
        ("said", "message"),
        [
            ({"urgncy": "flexible"}, r"urgncy.*urgency"),
            ({"urgency": "soon"}, r"critical.*normal.*flexible"),
            ({"finish_within": "soon"}, r"finish_within.*soon"),
            (
                {"finish_within": "1h", "expected_duration": "2h"},
                r"finish_within.*shorter than expected_duration",
            ),
            ({"start_by": "2030-01-01T12:00:00"}, r"start_by.*zone"),
            ({"minimum_saving": 3}, r"minimum_saving"),
        ],
    )
    def test_a_bad_argument(self, said: dict[str, Any], message: str) -> None:
        with pytest.raises(InvalidInputError, match=f"(?s){message}"):
            carbon_aware(**said)

    def test_a_plain_function(self) -> None:
        with pytest.raises(InvalidInputError, match="goes above @flow"):
            carbon_aware(lambda: None)  # type: ignore[call-overload]

    def test_twice(self) -> None:
        with pytest.raises(InvalidInputError, match="already"):
            carbon_aware(train)


@pytest.fixture
def replayed(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Direct calls look at a grid that is green in an hour."""
    policy = bench.policy(grids.greener_in(tmp_path, 1200))
    monkeypatch.setenv("PREFECT_INTEGRATIONS_CARBON_POLICY_BLOCK", policy)
    return bench


def called(name: str, **said: Any) -> Any:
    """A decorated flow that returns its run's id."""

    @carbon_aware(**{"urgency": "flexible", "finish_within": "30m", "expected_duration": "1s", **said})
    @flow(name=unique(name))
    def job(epochs: int = 1) -> tuple[str, int]:
        return str(flow_run.get_id()), epochs

    return job


def artifacts(bench: Bench, run_id: str) -> list[str]:
    found = bench.client.request(
        "POST", "/artifacts/filter", json={"artifacts": {"flow_run_id": {"any_": [run_id]}}}
    ).json()
    return sorted(item["key"].rpartition("-")[0] for item in found)


@pytest.mark.server
class TestDirectCall:
    """`train(3)` in a script."""

    def test_returns_its_result_and_leaves_its_account(
        self, replayed: Bench, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.INFO, "prefect.carbon_policy"):
            run_id, epochs = called("direct")(3)
        assert epochs == 3
        assert "runs at once" in caplog.text
        assert "would be expected to save" in caplog.text
        [reading] = read_energy(replayed.client, run_id)
        assert reading.energy_kwh > 0
        kinds = {key.split("-direct")[0] for key in artifacts(replayed, run_id)}
        assert {"carbon-energy-data", "carbon-emissions", "carbon-decision"} <= kinds
        decision = read_decision(replayed.client, run_id)
        assert decision is not None
        assert decision.reason == "direct-call"

    def test_runs_without_a_policy_block(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PREFECT_INTEGRATIONS_CARBON_POLICY_BLOCK", "there-is-none")
        run_id, epochs = called("no-policy")(2)
        assert epochs == 2
        assert len(read_energy(bench.client, run_id)) == 1

    @UNCLOSED
    def test_async(self, replayed: Bench) -> None:
        @carbon_aware
        @flow(name=unique("async"))
        async def job() -> str:
            return "done"

        assert asyncio.run(job()) == "done"
        gc.collect()

    def test_generator(self, replayed: Bench) -> None:
        @carbon_aware
        @flow(name=unique("yields"))
        def job() -> Iterator[int]:
            yield from (1, 2, 3)

        assert list(job()) == [1, 2, 3]

    @UNCLOSED
    def test_async_generator(self, replayed: Bench) -> None:
        @carbon_aware
        @flow(name=unique("async-yields"))
        async def job() -> AsyncIterator[int]:
            for item in (1, 2, 3):
                yield item

        async def collect() -> list[int]:
            return [item async for item in job()]

        assert asyncio.run(collect()) == [1, 2, 3]
        gc.collect()

    def test_its_exception_reaches_the_caller(self, replayed: Bench) -> None:
        @carbon_aware
        @flow(name=unique("fails"))
        def job() -> None:
            raise KeyError("the job's own")

        with pytest.raises(KeyError, match="the job's own"):
            job()

    def test_its_retries_work_and_each_attempt_leaves_its_energy(self, replayed: Bench) -> None:
        attempts: list[str] = []

        @carbon_aware
        @flow(name=unique("retries"), retries=1)
        def job() -> str:
            attempts.append(str(flow_run.get_id()))
            if len(attempts) == 1:
                raise ValueError("once")
            return "done"

        assert job() == "done"
        assert len(attempts) == 2
        assert len(read_energy(replayed.client, attempts[0])) == 2

    def test_a_subflow_runs_at_once_and_its_parent_completes(self, replayed: Bench) -> None:
        child = called("child")

        @flow(name=unique("parent"))
        def parent() -> FlowRun:
            run_id, _ = child()
            return replayed.client.read_flow_run(run_id)

        run = parent()
        assert run.parent_task_run_id is not None
        assert replayed.client.read_flow_run(run.id).state_name == "Completed"

    def test_wait_waits_in_its_process(
        self, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        policy = bench.policy(grids.greener_in(tmp_path, 10, lasts_s=3))
        monkeypatch.setenv("PREFECT_INTEGRATIONS_CARBON_POLICY_BLOCK", policy)
        planned: list[datetime | None] = []
        original = Advice.start_at

        def start_at(advice: Advice) -> datetime | None:
            planned.append(original(advice))
            return planned[-1]

        monkeypatch.setattr(Advice, "start_at", start_at)
        began: list[datetime] = []

        @carbon_aware(urgency="flexible", finish_within="30m", expected_duration="1s", wait=True)
        @flow(name=unique("waits"))
        def job() -> None:
            began.append(datetime.now(UTC))

        job()
        assert planned[0] is not None
        assert began[0] >= planned[0]
