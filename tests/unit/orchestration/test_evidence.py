"""What a decision's evidence gathers beside the outlooks."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_HOME, temporary_settings

from carbon_policy.domain.budget import Budget, BudgetUse
from carbon_policy.domain.chain import ChainStep
from carbon_policy.domain.decision import Evidence, Plan
from carbon_policy.domain.errors import SourceUnavailableError
from carbon_policy.domain.estimate import Estimate, EstimateBasis
from carbon_policy.domain.precedence import RUN, resolve
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.domain.site import Site, Tier
from carbon_policy.orchestration import asked_ledger, evidence, spending
from carbon_policy.orchestration.asked_ledger import AskedLedger
from carbon_policy.orchestration.blocks import CarbonPolicy
from carbon_policy.orchestration.directory import Directory
from carbon_policy.orchestration.experience import Experience, experience_of
from carbon_policy.orchestration.settings import CarbonSettings

NOW = datetime(2026, 11, 22, 6, tzinfo=UTC)
HOUR = timedelta(hours=1)
ESTIMATE = Estimate(duration=HOUR, duration_high=2 * HOUR, basis=EstimateBasis.LEARNT, runs=9)


def directory(asleep: dict[str, str] | None = None, **policy: Any) -> Directory:
    sites = tuple(
        Site(name=name, work_pool=name, tier=tier, zone=zone, power_w=60, gpus=gpus)
        for name, tier, zone, gpus in (
            ("fast", Tier.FAST, "DE", 0),
            ("gpu", Tier.FAST, "FR", 2),
            ("eco", Tier.ECO, "DE", 0),
        )
    )
    return Directory("default", CarbonPolicy(**policy), sites, {}, (), asleep=asleep or {})


def series(zone: str, hours: int = 24, start: datetime = NOW) -> IntensitySeries:
    return IntensitySeries(
        zone=zone,
        start=start,
        step=HOUR,
        values_gco2_per_kwh=tuple(300.0 + i for i in range(hours)),
        source="a",
    )


def asked(prefix: int = 0) -> evidence.Asked:
    """The grid's answers for DE alone, with so many hours of history before the outlook."""
    return evidence.Asked(
        outlooks={"DE": series("DE", 24 + prefix, NOW - prefix * HOUR)},
        steps={"DE": ChainStep.OWN_FORECAST},
        quantiles={"DE": {0.1: (1.0,) * 24, 0.9: (9.0,) * 24}, "FR": {0.1: (1.0,)}},
        skill={"DE": 0.8, "FR": 0.5},
    )


def gathered(
    asleep: dict[str, str] | None = None, said: dict[str, Any] | None = None, **more: Any
) -> Evidence:
    resolved = resolve({RUN: {"urgency": "flexible", "finish_within": "12h", **(said or {})}})
    known: dict[str, Any] = {"job": "a", "now": NOW, "submitted_at": NOW, "asked": asked()}
    return evidence.gather(directory(asleep), resolved, **known | more)


def test_the_band_and_the_skill_are_of_the_zones_with_an_outlook() -> None:
    found = gathered()
    assert found.skill == {"DE": 0.8}
    assert {zone: set(band) for zone, band in found.quantiles.items()} == {"DE": {0.1, 0.9}}


def test_the_band_stays_aligned_where_history_goes_before_the_outlook() -> None:
    found = gathered(asked=asked(prefix=5))
    values = found.outlook["DE"].values_gco2_per_kwh
    assert found.quantiles["DE"][0.9] == (*values[:5], *(9.0,) * 24)
    assert all(len(band) == len(values) for band in found.quantiles["DE"].values())


def test_plan_progress_and_what_the_ledger_says_are_part_of_it() -> None:
    plan = Plan(site="eco", start=NOW + HOUR, decided_at=NOW - HOUR)
    use = BudgetUse(budget=Budget(gco2=10), used_gco2=4)
    found = gathered(
        plan=plan, progress=0.25, experience=Experience({"fast": ESTIMATE}, (use,), ("The ledger is slow.",))
    )
    assert (found.plan, found.progress, found.budgets) == (plan, 0.25, (use,))
    assert found.estimates == {"fast": ESTIMATE}
    assert "The ledger is slow." in found.notes


@pytest.mark.parametrize(
    ("said", "left_out"),
    [({}, ["eco", "gpu"]), ({"gpus": 1}, ["eco"]), ({"allowed_sites": "eco"}, ["gpu"])],
)
def test_a_site_without_a_worker_is_left_out_unless_the_job_would_have_gone_there(
    said: dict[str, Any], left_out: list[str]
) -> None:
    found = gathered({"eco": "eco sleeps.", "gpu": "gpu sleeps."}, said)
    assert sorted(site.name for site in found.sites if not site.enabled) == left_out
    assert sorted(found.notes) == [f"{name} sleeps." for name in left_out]


@pytest.mark.parametrize("said", [{"urgency": "critical", "finish_within": None}, {"mode": "off"}])
def test_nobody_is_asked_for_a_job_that_goes_whatever_they_say(said: dict[str, Any]) -> None:
    spec = resolve({RUN: said}).spec
    assert not evidence.weighs(spec, released=False)
    assert not evidence.weighs(resolve({RUN: {}}).spec, released=True)
    assert evidence.weighs(resolve({RUN: {}}).spec, released=False)


@pytest.mark.parametrize("ahead", [-HOUR, timedelta(0), HOUR])
@pytest.mark.parametrize("leave", [None, "0s", "30m", "4h"])
def test_only_a_run_that_may_start_early_keeps_a_due_time_that_is_to_come(
    ahead: timedelta, leave: str | None
) -> None:
    found = gathered(said={"start_early": leave}, submitted_at=NOW + ahead)
    kept = leave in ("30m", "4h")
    assert found.submitted_at == (NOW + ahead if kept else NOW + min(ahead, timedelta(0)))
    assert found.is_early is (kept and ahead > timedelta(0))


class TestLedger:
    """What the ledger is asked for, and what becomes of its failures."""

    BUDGETS = (Budget(gco2=5), Budget(tag="mine", gco2=1), Budget(tag="others", gco2=1))

    @pytest.fixture
    def file(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
        """Where the settings say that the ledger is."""
        file = tmp_path / "ledger.db"
        monkeypatch.setenv("PREFECT_INTEGRATIONS_CARBON_LEDGER_URL", f"sqlite:///{file}")
        return file

    def asked(self, flow: Callable[[], str] = lambda: "train", **policy: Any) -> Experience:
        return experience_of(
            directory(**policy),
            resolve({RUN: {}}).spec,
            CarbonSettings(),
            AskedLedger(),
            flow=flow,
            deployment="nightly",
            parameters={"epochs": 3},
            tags=["mine"],
            now=NOW,
        )

    def test_without_one_nothing_is_used_opened_or_asked(self, tmp_path: Path) -> None:
        with temporary_settings({PREFECT_HOME: tmp_path}):
            found = self.asked(pytest.fail, budgets=list(self.BUDGETS))
        assert found == Experience(budgets=tuple(BudgetUse(budget=one) for one in self.BUDGETS[:2]))
        assert list(tmp_path.iterdir()) == []

    def test_one_that_cannot_be_read_is_two_notes(self, file: Path) -> None:
        file.write_text("no database at all, and long enough to be none" * 40)
        found = self.asked(budgets=list(self.BUDGETS))
        learnt, budgets = found.notes
        assert learnt.startswith("Nothing was learnt from past runs: The store at ")
        assert budgets.startswith("Budgets were not looked at: The store at ")
        assert (found.estimates, found.budgets) == ({}, ())

    @pytest.mark.usefixtures("file")
    def test_one_that_hangs_is_two_notes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def hangs(seconds: float, _call: Any, what: str) -> None:
            raise SourceUnavailableError(f"{what} gave no answer within {seconds:g} s")

        monkeypatch.setattr(asked_ledger, "within", hangs)
        assert self.asked(budgets=list(self.BUDGETS)).notes == (
            "Nothing was learnt from past runs: the ledger gave no answer within 5 s",
            "Budgets were not looked at: the ledger gave no answer within 5 s",
        )

    @pytest.mark.usefixtures("file")
    def test_what_it_says_comes_through(self) -> None:
        found = self.asked(budgets=list(self.BUDGETS))
        assert set(found.estimates) == {"fast", "gpu", "eco"}
        assert found.budgets == tuple(BudgetUse(budget=one) for one in self.BUDGETS[:2])
        assert found.notes == ()

    @pytest.mark.usefixtures("file")
    def test_of_budgets_it_is_asked_only_where_one_counts_the_run(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(spending, "budget_uses", pytest.fail)
        assert self.asked().notes == ()
        assert self.asked(budgets=[self.BUDGETS[2]]).notes == ()
