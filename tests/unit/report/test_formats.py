from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable

import pytest
from rich.console import Console, RenderableType

from carbon_policy.domain.ledger import LedgerEntry
from carbon_policy.report.formats import to_csv, to_json, to_table
from carbon_policy.report.summary import summarise


def read_csv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def shown(table: RenderableType, colour: bool = False) -> str:
    console = Console(
        width=100, record=True, file=io.StringIO(), force_terminal=colour, color_system="standard"
    )
    console.print(table)
    return console.export_text(styles=colour)


def test_the_grams_can_be_worked_out_again_from_the_json(entries: list[LedgerEntry]) -> None:
    report = json.loads(to_json(entries, summarise(entries)))
    emitted = 0.0
    for job in report["entries"]:
        if job["gco2"] is None:
            continue
        by_hand = sum(slot["energy_kwh"] * slot["gco2_per_kwh"] for slot in job["slots"])
        instead = sum(slot["energy_kwh"] * slot["gco2_per_kwh"] for slot in job["counterfactual_slots"])
        assert job["gco2"] == pytest.approx(by_hand)
        assert job["saved_gco2"] == pytest.approx(instead - by_hand)
        emitted += by_hand
    assert report["summary"]["groups"][0]["totals"]["gco2"] == pytest.approx(emitted)


def test_the_json_holds_the_decision_and_its_evidence(entries: list[LedgerEntry]) -> None:
    report = json.loads(to_json(entries, summarise(entries)))
    assert report["schema"] == "carbon-policy-report/2"
    assert report["entries"][0]["decision"]["evidence"]["outlook"]["DE"]["source"] == "energy-charts"


def test_the_grams_can_be_worked_out_again_from_the_csv(entries: list[LedgerEntry]) -> None:
    for row in read_csv(to_csv(entries))[:3]:
        by_hand = float(row["energy_kwh"]) * float(row["pue"]) * float(row["mean_gco2_per_kwh"])
        instead = (
            float(row["counterfactual_energy_kwh"])
            * float(row["pue"])
            * float(row["counterfactual_mean_gco2_per_kwh"])
        )
        assert float(row["gco2"]) == pytest.approx(by_hand)
        assert float(row["saved_gco2"]) == pytest.approx(instead - by_hand)


def test_what_is_unknown_is_an_empty_cell(entries: list[LedgerEntry]) -> None:
    row = read_csv(to_csv(entries))[3]
    assert (row["gco2"], row["saved_gco2"], row["mean_gco2_per_kwh"], row["deployment"]) == ("", "", "", "")


def test_the_csv_says_what_a_job_made_and_cost(make_entry: Callable[..., LedgerEntry]) -> None:
    entry = make_entry(
        "train", due=2, start=2, quantity=4.0, functional_unit="epoch", cost=0.5, running_s=6600.0, tags=("a", "b")
    )  # fmt: skip
    (row,) = read_csv(to_csv([entry]))
    assert float(row["gco2_per_unit"]) * 4 == pytest.approx(float(row["gco2"]))
    assert (row["functional_unit"], row["cost"], row["running_s"], row["tags"]) == (
        "epoch",
        "0.5",
        "6600.0",
        "a | b",
    )
    assert read_csv(to_csv([make_entry("train", due=2, start=2)]))[0]["gco2_per_unit"] == ""


def test_a_spreadsheet_finds_no_formula(make_entry: Callable[..., LedgerEntry]) -> None:
    evil = ["=cmd|'/C calc'!A0", "+1+1", "-1+1", "@SUM(A1)", "\t=1", " =1", "\r=1"]
    entries = [make_entry(name, due=13, start=20) for name in evil]
    rows = read_csv(to_csv(entries))
    assert [row["flow"] for row in rows] == [f"'{name}" for name in evil]
    # A number stays a number, a negative one too.
    assert all(float(row["saved_gco2"]) < 0 for row in rows)


def test_the_table_fits_in_a_hundred_columns(make_entry: Callable[..., LedgerEntry]) -> None:
    entry = make_entry("a-flow-with-quite-a-long-name-indeed", due=2, start=11, deployment="x" * 40)
    text = shown(to_table([entry], summarise([entry])))
    assert max(map(len, text.splitlines())) <= 100
    assert "…" not in text
    assert "130 g" in text


def test_a_negative_saving_is_red_and_has_its_sign(entries: list[LedgerEntry]) -> None:
    text = shown(to_table(entries, summarise(entries)), colour=True)
    assert "\x1b[1;31m−101 g\x1b[0m" in text
    assert "\x1b[1;31m 130 g" not in text


def test_a_row_says_how_a_job_ended_that_did_not_complete(make_entry: Callable[..., LedgerEntry]) -> None:
    states = ("CRASHED", "CANCELLED", "COMPLETED")
    ended = [make_entry("job", due=2, start=2, job_run_id=state, state=state) for state in states]
    text = shown(to_table(ended, summarise(ended)))
    assert [word in text for word in ("crashed", "cancelled", "completed")] == [True, True, False]


def test_a_name_is_no_markup(make_entry: Callable[..., LedgerEntry]) -> None:
    entry = make_entry("[red]train[/red]", due=2, start=11)
    assert "[red]train[/red]" in shown(to_table([entry], summarise([entry])))


def test_each_kind_of_grams_has_its_own_result(make_entry: Callable[..., LedgerEntry]) -> None:
    entries = [make_entry("a", due=2, start=11), make_entry("b", due=2, start=11, signal="marginal")]
    text = shown(to_table(entries, summarise(entries)))
    assert text.count("1 job emitted 122 g") == 2
    assert "245 g" not in text
    assert "must not be added up" in text


def test_nothing_to_show() -> None:
    assert "Job" in shown(to_table([], summarise([])))
    assert len(to_csv([]).splitlines()) == 1
    assert json.loads(to_json([], summarise([])))["entries"] == []
