"""A job is settled on the kind of grid that it was decided on, whatever the policy pins when it is collected."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import State, StateType

from carbon_policy.domain.decision import Decision
from carbon_policy.domain.job import JobSpec
from carbon_policy.domain.ledger import LedgerEntry
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.orchestration import collect as module
from carbon_policy.orchestration.collect import Collected
from carbon_policy.store.ledger import Ledger
from tests.unit.orchestration.test_collect_stretches import MIDNIGHT, Server, at, decision, reading, run_of

REAL, MADE_UP = "a yearly mean", "simulated"


def series(source: str, value: float, zone: str = "DE") -> IntensitySeries:
    return IntensitySeries(
        zone=zone,
        start=MIDNIGHT,
        step=timedelta(hours=1),
        values_gco2_per_kwh=(value,) * 24,
        source=source,
        simulated=source == MADE_UP,
    )


def decided_on(*outlook: IntensitySeries, **spec: Any) -> Decision:
    made = decision()
    evidence = made.evidence.model_copy(
        update={"outlook": {one.zone: one for one in outlook}, "spec": JobSpec(**spec)}
    )
    return made.model_copy(update={"evidence": evidence})


class Team:
    """A team with one run that has ended, whose policy pins now this source and now that."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, ledger: Ledger, decided: Decision) -> None:
        self.ledger = ledger
        self.server = Server([], [reading(0, 1)], [run_of(1, 1, state=State(type=StateType.COMPLETED))])
        self.server.decided = decided
        self.knows: IntensitySeries | None = None

        @contextmanager
        def grid(*_: Any) -> Iterator[Any]:
            yield SimpleNamespace(actuals=lambda *_: SimpleNamespace(series=self.knows))

        monkeypatch.setattr(module, "_directory", lambda *_: None)
        monkeypatch.setattr(module, "grid_view", grid)

    def collect(self, knows: IntensitySeries | None) -> tuple[Collected, LedgerEntry]:
        self.knows = knows
        outcome = module.collect(cast(SyncPrefectClient, self.server), self.ledger, "default", at(30))
        [entry] = self.ledger.entries()
        return outcome, entry


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(f"sqlite:///{tmp_path / 'ledger.db'}") as opened:
        yield opened


def test_a_job_of_a_real_grid_waits_for_real_intensities(
    monkeypatch: pytest.MonkeyPatch, ledger: Ledger
) -> None:
    """While no source could be reached it was decided on the yearly mean; then a simulation was pinned."""
    team = Team(monkeypatch, ledger, decided_on(series(REAL, 300)))
    outcome, entry = team.collect(series(MADE_UP, 10))
    assert (entry.settled, entry.simulated, entry.gco2) == (False, False, pytest.approx(0.5 * 300))
    [why] = outcome.unsettled.values()
    assert why.startswith("decided on a real grid (a yearly mean), while the policy's sources now speak of")
    assert entry.notes == (f"Not settled: {why}",)

    outcome, entry = team.collect(series(MADE_UP, 20))
    assert (outcome.recorded, len(outcome.unsettled)) == ([], 1)

    outcome, entry = team.collect(series("energy-charts", 200))
    assert (entry.settled, entry.simulated, entry.gco2) == (True, False, pytest.approx(0.5 * 200))
    assert (outcome.unsettled, entry.notes) == ({}, ())


def test_a_job_of_a_simulated_grid_is_no_claim_on_a_real_one(
    monkeypatch: pytest.MonkeyPatch, ledger: Ledger
) -> None:
    team = Team(monkeypatch, ledger, decided_on(series(MADE_UP, 10)))
    outcome, entry = team.collect(series("energy-charts", 200))
    assert (entry.settled, entry.simulated, len(outcome.unsettled)) == (False, True, 1)
    _, entry = team.collect(series(MADE_UP, 10))
    assert (entry.settled, entry.simulated) == (True, True)


@pytest.mark.parametrize(
    ("decided", "settled_on"),
    [
        (decided_on(), {REAL}),
        (decided_on(mode="off"), {REAL, MADE_UP}),
        (decided_on(urgency="critical"), {REAL, MADE_UP}),
        (decided_on(series(REAL, 1, "FR")), {REAL}),
        (decided_on(series(MADE_UP, 1, "FR")), {MADE_UP}),
    ],
    ids=["asked-in-vain", "off", "critical", "only-another-zone-real", "only-another-zone-simulated"],
)
@pytest.mark.parametrize("source", [REAL, MADE_UP])
def test_of_a_decision_without_an_outlook_of_its_zone(
    monkeypatch: pytest.MonkeyPatch, ledger: Ledger, decided: Decision, settled_on: set[str], source: str
) -> None:
    """A simulated grid always answers, so a decision that asked in vain asked real sources."""
    outcome, entry = Team(monkeypatch, ledger, decided).collect(series(source, 100))
    assert entry.settled is (source in settled_on)
    assert bool(outcome.unsettled) is (source not in settled_on)


def test_what_is_settled_stays_so(monkeypatch: pytest.MonkeyPatch, ledger: Ledger) -> None:
    team = Team(monkeypatch, ledger, decided_on(series(REAL, 300)))
    team.collect(series("energy-charts", 200))
    outcome, entry = team.collect(series(MADE_UP, 10))
    assert (outcome.settled, outcome.unsettled, entry.settled) == (1, {}, True)


def test_where_no_source_answers_nothing_is_said_of_its_kind(
    monkeypatch: pytest.MonkeyPatch, ledger: Ledger
) -> None:
    outcome, entry = Team(monkeypatch, ledger, decided_on(series(REAL, 300))).collect(None)
    assert (entry.settled, outcome.unsettled, entry.notes) == (False, {}, ())
