"""Rows of an answer become slots: what is impossible or missing is named, and nothing is put in its place."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_policy.domain.errors import AbsurdSignalError, GapInSignalError, SourceUnavailableError
from carbon_policy.domain.finding import FindingKind, Treatment
from carbon_policy.grid.rows import Row, assemble, from_slot, within

SLOT = datetime(2026, 11, 22, 6, tzinfo=UTC)
STEP = timedelta(minutes=30)


def rows(*values: float | None) -> list[Row]:
    return [Row(SLOT + index * STEP, value) for index, value in enumerate(values)]


def test_rows_that_are_in_order_and_known_have_no_finding() -> None:
    slots = assemble(rows(1, 2, 3), STEP, "api")
    assert (slots.start, slots.values_gco2_per_kwh, slots.estimated, slots.findings) == (
        SLOT,
        (1, 2, 3),
        (),
        (),
    )


def test_what_is_not_known_yet_at_the_ends_is_no_finding() -> None:
    slots = assemble(rows(None, 2, 3, None, None), STEP, "api")
    assert (slots.start, slots.values_gco2_per_kwh, slots.findings) == (SLOT + STEP, (2, 3), ())


@pytest.mark.parametrize(
    ("hole", "kind"),
    [
        (None, FindingKind.NULL),
        (-1.0, FindingKind.NEGATIVE),
        (math.nan, FindingKind.NOT_A_NUMBER),
        (math.inf, FindingKind.NOT_A_NUMBER),
        (40_000.0, FindingKind.ABSURD),
    ],
)
def test_what_cannot_be_ends_a_forecast_and_begins_history_anew(
    hole: float | None, kind: FindingKind
) -> None:
    told = rows(*range(1, 8), hole, *range(9, 21))
    first, last = assemble(told, STEP, "api"), assemble(told, STEP, "api", keep="last")
    assert first.values_gco2_per_kwh == tuple(range(1, 8))
    assert last.values_gco2_per_kwh == tuple(range(9, 21))
    assert last.start == SLOT + 8 * STEP
    for slots in (first, last):
        assert slots.findings[0].kind is kind
        assert {finding.treatment for finding in slots.findings} == {Treatment.LEFT_OUT}
        assert "2026-11-22T09:30Z" in slots.findings[0].sentence


def test_a_slot_that_is_missing_is_a_gap() -> None:
    slots = assemble([*rows(1, 2), Row(SLOT + 3 * STEP, 4)], STEP, "api")
    assert slots.values_gco2_per_kwh == (1, 2)
    assert slots.findings[0].kind is FindingKind.GAP


def test_of_a_slot_with_two_values_neither_is_believed() -> None:
    told = [*rows(1, 2, 3), Row(SLOT + STEP, 20), Row(SLOT + 2 * STEP, 3)]
    slots = assemble(told, STEP, "api")
    assert slots.values_gco2_per_kwh == (1,)
    assert [finding.kind for finding in slots.findings] == [
        FindingKind.OUT_OF_ORDER,
        FindingKind.OVERLAP,
        FindingKind.NULL,
    ]


def test_the_newest_first_is_put_in_order() -> None:
    slots = assemble(reversed(rows(1, 2, 3)), STEP, "api")
    assert slots.values_gco2_per_kwh == (1, 2, 3)
    [finding] = slots.findings
    assert (finding.kind, finding.treatment) == (FindingKind.OUT_OF_ORDER, Treatment.CORRECTED)


def test_with_too_many_impossible_values_none_is_believed() -> None:
    with pytest.raises(AbsurdSignalError, match=r"api gives 2 of 10 values.*negative at 2026-11-22T06:00"):
        assemble(rows(-1, -2, *range(1, 9)), STEP, "api")


def test_nothing_known_is_said() -> None:
    with pytest.raises(SourceUnavailableError, match="api knows none of these slots yet"):
        assemble(rows(None, None), STEP, "api")


def test_flags_of_estimates_stay_with_their_slots() -> None:
    told = [Row(SLOT, 1), Row(SLOT + STEP, 2, estimated=True)]
    assert assemble(told, STEP, "api").estimated == (False, True)


def test_a_forecast_begins_with_the_slot_of_now_or_not_at_all() -> None:
    told = rows(1, 2, 3)
    assert from_slot(told, SLOT + STEP, "api") == told[1:]
    with pytest.raises(GapInSignalError, match="api forecasts nothing for 2026-11-22T08:00"):
        from_slot(told, SLOT + 4 * STEP, "api")
    with pytest.raises(GapInSignalError):
        from_slot(rows(None, 2), SLOT, "api")


def test_rows_of_a_range_are_those_that_overlap_it() -> None:
    told = rows(1, 2, 3, 4)
    assert within(told, STEP, SLOT + STEP / 2, SLOT + 2 * STEP) == told[:2]


@given(
    st.lists(st.tuples(st.integers(0, 40), st.one_of(st.none(), st.floats(0, 900))), min_size=1, max_size=60),
    st.sampled_from(["first", "last"]),
)
def test_every_slot_that_comes_out_was_said_and_of_nothing_else(
    told: list[tuple[int, float | None]], keep: str
) -> None:
    given_rows = [Row(SLOT + index * STEP, value) for index, value in told]
    try:
        slots = assemble(given_rows, STEP, "api", keep)  # type: ignore[arg-type]
    except SourceUnavailableError:
        # Only where no slot is left that was said once.
        said = {index: {v for i, v in told if i == index} for index, _ in told}
        assert all(len(values) > 1 or values == {None} for values in said.values())
        return
    for index, value in enumerate(slots.values_gco2_per_kwh):
        assert Row(slots.start + index * STEP, value) in given_rows
