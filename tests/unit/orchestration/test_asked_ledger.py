"""A question is asked once, and a ledger that gave no answer is left alone for the moment."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun

from carbon_policy.domain.errors import SourceUnavailableError
from carbon_policy.domain.job import JobSpec
from carbon_policy.orchestration import asked_ledger
from carbon_policy.orchestration.asked_ledger import AskedLedger
from carbon_policy.orchestration.blocks import CarbonPolicy
from carbon_policy.orchestration.directory import Directory
from carbon_policy.orchestration.world import World
from tests.unit.worker.server import ECO, FAST


def test_equal_questions_are_asked_once() -> None:
    ledger, asked = AskedLedger(), []

    def ask() -> int:
        asked.append(1)
        return len(asked)

    assert [ledger.ask(("runs", name), ask) for name in ("a", "b", "a")] == [1, 2, 1]


def test_none_is_asked_after_one_that_got_no_answer() -> None:
    ledger, error = AskedLedger(), SourceUnavailableError("It sleeps.")

    def sleeps() -> None:
        raise error

    assert ledger.ask("before", lambda: 1) == 1
    for question in ("hangs", "another"):
        with pytest.raises(SourceUnavailableError, match="It sleeps"):
            ledger.ask(question, sleeps if question == "hangs" else pytest.fail)
    assert ledger.ask("before", pytest.fail) == 1
    assert AskedLedger().ask("another", lambda: 2) == 2


def test_of_many_runs_one_waits_for_a_ledger_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    waited = []

    def hangs(_seconds: float, _call: Any, what: str) -> None:
        waited.append(what)
        raise SourceUnavailableError(f"{what} sleeps")

    monkeypatch.setattr(asked_ledger, "within", hangs)
    monkeypatch.setenv("PREFECT_INTEGRATIONS_CARBON_LEDGER_URL", "postgresql://nobody@127.0.0.1:1/none")
    client: Any = SimpleNamespace(read_flow=lambda _: SimpleNamespace(name="train"))
    world = World(client, datetime(2026, 1, 1, tzinfo=UTC))
    directory = Directory("default", CarbonPolicy(), (FAST, ECO), {}, ())
    deployment: Any = SimpleNamespace(id=uuid4(), name="nightly")
    notes = [
        world.at(world.now)
        .experience(directory, JobSpec(), FlowRun(flow_id=uuid4(), parameters={"seed": seed}), deployment)
        .notes
        for seed in range(3)
    ]
    assert notes == [("Nothing was learnt from past runs: the ledger sleeps",)] * 3
    assert waited == ["the ledger"]
