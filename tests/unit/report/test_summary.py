from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from carbon_policy.domain.ledger import LedgerEntry
from carbon_policy.report.summary import summarise
from carbon_policy.report.wording import forecast_sentence, format_wait, headline

# By hand, 0.3 kW x PUE 1.2 = 0.36 kWh an hour, on the fixture's day:
# train due at 2 (360 + 340), run at 11 (180 + 160): 252 g instead, 122.4 g emitted.
# infer due and run at 9 (220 + 200): 151.2 g. tune due at 13 (180 + 200): 136.8 g; run at 20 (320 + 340): 237.6 g.
EMITTED = 122.4 + 151.2 + 237.6
INSTEAD = 252.0 + 151.2 + 136.8


def test_sums_are_over_the_jobs_with_actuals_alone(entries: list[LedgerEntry]) -> None:
    (group,) = summarise(entries).groups
    totals = group.totals
    assert (totals.jobs, totals.counted, totals.lacking_actuals) == (4, 3, 1)
    assert totals.gco2 == pytest.approx(EMITTED)
    assert totals.counterfactual_gco2 == pytest.approx(INSTEAD)
    assert totals.saved_gco2 == pytest.approx(INSTEAD - EMITTED)
    assert totals.saved_percent == pytest.approx(100 * (INSTEAD - EMITTED) / INSTEAD)
    assert totals.energy_kwh == pytest.approx(3 * 0.6)
    assert totals.measured_kwh + totals.estimated_kwh == pytest.approx(totals.energy_kwh)
    assert totals.drawn_kwh == pytest.approx(3 * 0.72)
    assert totals.lacking_energy_kwh == pytest.approx(0.6)


def test_waits_and_states_are_those_of_all_jobs(entries: list[LedgerEntry]) -> None:
    totals = summarise(entries).groups[0].totals
    assert totals.wait_max_s == 9 * 3600
    assert totals.wait_mean_s == (9 + 0 + 7 + 1) * 3600 / 4
    assert totals.not_completed == 1


def test_an_early_start_makes_nobodys_wait_shorter(entries: list[LedgerEntry]) -> None:
    early = entries[0].model_copy(update={"submitted_at": entries[0].started_at + timedelta(hours=2)})
    assert early.wait_s == -7200
    totals = summarise([early, *entries[1:]]).groups[0].totals
    assert totals.wait_mean_s == (0 + 0 + 7 + 1) * 3600 / 4
    assert [format_wait(seconds) for seconds in (early.wait_s, -0.5, 0, 7200)] == [
        "2h early",
        "none",
        "none",
        "2h",
    ]


def test_predictions_are_compared_over_the_jobs_that_have_them(entries: list[LedgerEntry]) -> None:
    totals = summarise(entries).groups[0].totals
    assert totals.predicted_jobs == 2
    assert totals.predicted_saving_gco2 == pytest.approx(150.0)
    assert totals.realised_saving_gco2 == pytest.approx(252.0 - 122.4)


def test_a_job_that_broke_off_is_on_neither_side_of_the_comparison(
    make_entry: Callable[..., LedgerEntry],
) -> None:
    predicted = {"predicted_saving_gco2": 150.0}
    kept = make_entry("train", due=2, start=11, **predicted)
    crashed = [
        make_entry(name, due=2, start=11, state=state, energy_kwh=0.0, gco2=0.0, counterfactual_gco2=0.0, **predicted)
        for name, state in (("a", "CRASHED"), ("b", "FAILED"))
    ]  # fmt: skip
    (group,) = summarise([kept, *crashed]).groups
    totals = group.totals
    assert (totals.counted, totals.predicted_jobs, totals.predicted_not_completed) == (3, 1, 2)
    assert totals.predicted_saving_gco2 == pytest.approx(150.0)
    assert totals.realised_saving_gco2 == pytest.approx(252.0 - 122.4)
    assert forecast_sentence(group) == (
        "The decision of 1 job predicted a saving of 150 g; realised: 130 g."
        " 2 more did not complete and are on neither side."
    )
    (group,) = summarise(crashed).groups
    assert forecast_sentence(group) == (
        "2 jobs whose decisions predicted a saving did not complete: there is nothing to compare."
    )
    (group,) = summarise([make_entry("train", due=2, start=11)]).groups
    assert forecast_sentence(group) == ""


def test_of_a_job_that_used_no_energy_no_emission_is_said(
    make_entry: Callable[..., LedgerEntry],
) -> None:
    ran = make_entry("a", due=2, start=11, state="FAILED")
    idle = make_entry("b", due=2, start=11, state="CRASHED", energy_kwh=0.0, gco2=0.0)
    emitted, none = "Did not complete, but emitted all the same: ", "Did not complete, and used no energy"
    notes = summarise([ran, idle, make_entry("c", due=2, start=11)]).notes
    assert f"{emitted}1 of 3 jobs." in notes
    assert f"{none} as far as is known: 1 of 3 jobs." in notes
    assert not any(note.startswith(emitted) for note in summarise([idle]).notes)
    assert not any(note.startswith(none) for note in summarise([ran]).notes)


def test_breakdowns_have_every_job_once(entries: list[LedgerEntry]) -> None:
    (group,) = summarise(entries).groups
    assert {name: part.jobs for name, part in group.by_reason.items()} == {
        "greener-later": 3,
        "greenest-now": 1,
    }
    assert list(group.by_deployment) == ["etl", "infer/daily", "train/daily", "tune/daily"]
    for parts in (group.by_reason, group.by_site, group.by_deployment):
        assert sum(part.jobs for part in parts.values()) == 4
        assert sum(part.gco2 for part in parts.values()) == pytest.approx(EMITTED)


def test_kinds_that_must_not_be_added_are_not(make_entry: Callable[..., LedgerEntry]) -> None:
    summary = summarise(
        [
            make_entry("a", due=2, start=11),
            make_entry("b", due=2, start=11, signal="marginal"),
            make_entry("c", due=2, start=11, factors="direct"),
            make_entry("d", due=2, start=11, simulated=True),
            make_entry("e", due=2, start=11),
        ]
    )
    assert [group.label for group in summary.groups] == [
        "average signal, life-cycle factors",
        "marginal signal, life-cycle factors",
        "average signal, direct factors",
        "average signal, life-cycle factors, SIMULATED grid",
    ]
    assert [group.totals.jobs for group in summary.groups] == [2, 1, 1, 1]
    assert [group.totals.gco2 for group in summary.groups] == pytest.approx([244.8, 122.4, 122.4, 122.4])
    assert summary.simulated_share == 0.2
    assert "4 kinds that must not be added up" in summary.notes[0]
    assert "no claim" in summary.notes[1]


def test_a_job_that_cost_carbon_shows(entries: list[LedgerEntry]) -> None:
    summary = summarise(entries)
    assert summary.groups[0].totals.cost_carbon == 1
    assert any(note.startswith("Emitted more than at once on fast") for note in summary.notes)
    assert "Placing them cost 101 g (73.7 %) more" in headline(summarise([entries[2]]).groups[0])


def test_what_arithmetic_leaves_over_is_no_cost(make_entry: Callable[..., LedgerEntry]) -> None:
    entry = make_entry("a", due=9, start=9, gco2=0.1 + 0.2, counterfactual_gco2=0.3)
    totals = summarise([entry]).groups[0].totals
    assert entry.saved_gco2 is not None
    assert entry.saved_gco2 < 0
    assert totals.cost_carbon == 0
    assert headline(summarise([entry]).groups[0]).endswith("Saved 0 g (0.0 %).")


def test_preliminary_grams_are_counted_and_called_so(make_entry: Callable[..., LedgerEntry]) -> None:
    summary = summarise([make_entry("a", due=2, start=11, preliminary=True)])
    assert summary.groups[0].totals.preliminary == 1
    assert any("may still change: 1 of 1" in note for note in summary.notes)


def test_without_actuals_no_saving_is_named(entries: list[LedgerEntry]) -> None:
    (group,) = summarise(entries[3:]).groups
    assert group.totals.saved_percent is None
    assert "nothing can be said" in headline(group)


def test_an_empty_ledger() -> None:
    summary = summarise([])
    assert (summary.jobs, summary.groups, summary.notes) == (0, (), ())
    assert summary.first_started_at is None
