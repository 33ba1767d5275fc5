"""The ledger gives back what is learnt from, and what budgets count."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from carbon_policy.domain.errors import InvalidInputError
from carbon_policy.domain.ledger import LedgerEntry
from carbon_policy.estimation import PastRun
from carbon_policy.store import Ledger
from carbon_policy.store.past_runs import NEWEST
from carbon_policy.store.spending import Spent
from tests.unit.store.databases import execute

MakeEntry = Callable[..., LedgerEntry]
NOVEMBER, DECEMBER = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)


def test_past_runs_are_a_deployments_that_completed_the_oldest_first(
    ledger: Ledger, make_entry: MakeEntry
) -> None:
    ledger.record(
        [
            make_entry("c", hour=3, deployment="nightly", running_s=1800.0, measured_kwh=0.08),
            make_entry(
                "a",
                deployment="nightly",
                parameters={"epochs": 3, "model": "small", "debug": True, "rate": 0.5},
                quantity=100.0,
                functional_unit="image",
            ),
            make_entry("b", hour=1, deployment="nightly", state="FAILED"),
            make_entry("d", hour=1, deployment="weekly"),
            make_entry("e", hour=1, deployment="nightly", flow="report"),
            make_entry("f", hour=1),
        ]
    )
    assert ledger.past_runs("train", "nightly") == [
        PastRun(
            "fast",
            3600.0,
            0.1,
            False,
            {"epochs": 3, "model": "small", "debug": True, "rate": 0.5},
            100.0,
            "image",
        ),
        PastRun("fast", 1800.0, 0.1, True),
    ]
    assert len(ledger.past_runs("train", None)) == 1
    assert ledger.past_runs("train", "unheard-of") == []


def test_only_the_newest_runs_are_learnt_from(make_entry: MakeEntry) -> None:
    with Ledger("sqlite://") as ledger:
        ledger.record(
            make_entry(f"{hour:04}", hour=hour, running_s=float(hour)) for hour in range(NEWEST + 3)
        )
        past = ledger.past_runs("train", None)
    assert [run.duration_s for run in past] == list(range(3, NEWEST + 3))


def test_what_an_older_release_recorded_is_learnt_from_too(
    ledger: Ledger, url: str, make_entry: MakeEntry
) -> None:
    ledger.record([make_entry()])
    execute(url, "UPDATE ledger SET running_s = NULL, parameters = '{}', tags = '[]'")
    assert ledger.past_runs("train", None) == [PastRun("fast", 3600.0, 0.1, False)]
    assert ledger.spent([""], NOVEMBER, DECEMBER)[""].gco2 == pytest.approx(30)


def test_what_was_spent_is_summed_by_tag(ledger: Ledger, make_entry: MakeEntry) -> None:
    ledger.record(
        [
            make_entry("a", tags=("research", "gpu"), cost=2.0),
            make_entry("b", tags=("research",), gco2=5.0, preliminary=True),
            make_entry("c", tags=("re",), gco2=None, predicted_gco2=7.0, cost=1.0),
            make_entry("d", gco2=None),
            make_entry("early", tags=("gpu",), started_at=NOVEMBER - timedelta(seconds=1)),
            make_entry("late", tags=("gpu",), started_at=DECEMBER),
        ]
    )
    assert ledger.spent(["", "research", "gpu", "none"], NOVEMBER, DECEMBER) == {
        "": Spent(42.0, 3.0),
        "research": Spent(35.0, 2.0),
        "gpu": Spent(30.0, 2.0),
        "none": Spent(0.0, 0.0),
    }


def test_a_tag_may_be_any_text(ledger: Ledger, make_entry: MakeEntry) -> None:
    odd = ('a "quoted", one', "größer", "[]", "x\\y")
    ledger.record([make_entry(tags=odd)])
    assert ledger.spent(odd, NOVEMBER, DECEMBER) == dict.fromkeys(odd, Spent(30.0, 0.0))


def test_a_month_without_a_zone_is_refused(ledger: Ledger) -> None:
    with pytest.raises(InvalidInputError, match="has no time zone"):
        ledger.spent([""], datetime(2026, 11, 1), DECEMBER)  # noqa: DTZ001
