"""The gate: what each defect is called, and what becomes of the answer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from carbon_policy.domain.finding import FindingKind, Treatment
from carbon_policy.domain.signal import BasisKind, FactorKind, IntensitySeries, Labels, SignalKind
from carbon_policy.grid.norms import Norms
from carbon_policy.grid.sanity import Examined, Expected, differing, examine
from carbon_policy.grid.source import Capabilities

NOW = datetime(2026, 11, 22, 6, 17, tzinfo=UTC)
SLOT = NOW.replace(minute=0)
HOUR = timedelta(hours=1)
KNOWN = Capabilities(name="api", horizon=24 * HOUR, live=True)
LABELS = Labels(SignalKind.AVERAGE, FactorKind.LIFE_CYCLE, None, False)


def series(*values: float, **fields: Any) -> IntensitySeries:
    known: dict[str, Any] = {
        "zone": "DE",
        "start": SLOT,
        "step": HOUR,
        "values_gco2_per_kwh": values or tuple(200.0 + hour for hour in range(24)),
        "source": "api",
        "issued_at": NOW,
    }
    return IntensitySeries(**known | fields)


def year(low: float, high: float, **fields: Any) -> IntensitySeries:
    """Weeks of hours that swing between two values."""
    values = [low + (high - low) * (hour % 24) / 23 for hour in range(24 * 28)]
    fields = {"start": SLOT - 24 * 28 * HOUR, "issued_at": None} | fields
    return series(*values, **fields)


def gate(answer: IntensitySeries, norms: Norms | None = None, **expected: Any) -> Examined:
    fields: dict[str, Any] = {"zone": "DE", "now": NOW, "norms": lambda labels: norms}
    return examine(answer, KNOWN, Expected(**fields | expected))


def normal(low: float = 100, high: float = 400) -> Norms:
    norms = Norms.of(year(low, high))
    assert norms is not None
    return norms


def test_a_sane_answer_goes_through_as_it_is() -> None:
    answer = series()
    assert gate(answer) == Examined(answer, ())


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (series(zone="FR"), FindingKind.WRONG_ZONE),
        (series(signal=SignalKind.MARGINAL), FindingKind.SIGNAL_MIXED),
        (series(issued_at=NOW - 7 * HOUR), FindingKind.STALE),
        (series(issued_at=None), FindingKind.STALE),
        (series(issued_at=NOW + 2 * HOUR), FindingKind.STALE),
        (series(start=SLOT + HOUR), FindingKind.NOT_NOW),
        (series(start=SLOT - 48 * HOUR), FindingKind.NOT_NOW),
        (series(*[150.0] * 8, 160.0), FindingKind.FROZEN),
        (series(*[0.0] * 10), FindingKind.ZERO),
        (series(0.0, *range(200, 223)), FindingKind.ZERO),
        (series(*[2500.0] * 3, *range(200, 221)), FindingKind.SPIKE),
    ],
)
def test_what_is_refused_is_named(answer: IntensitySeries, kind: FindingKind) -> None:
    examined = gate(answer, normal())
    assert examined.series is None
    assert [(found.kind, found.treatment) for found in examined.findings] == [(kind, Treatment.REFUSED)]


@pytest.mark.parametrize(
    ("other", "kind"),
    [
        (LABELS._replace(factors=FactorKind.DIRECT), FindingKind.FACTORS_MIXED),
        (LABELS._replace(basis=BasisKind.PRODUCTION), FindingKind.BASIS_MIXED),
        (LABELS._replace(simulated=True), FindingKind.SIMULATED),
        (LABELS._replace(signal=SignalKind.MARGINAL), FindingKind.SIGNAL_MIXED),
    ],
)
def test_kinds_of_number_do_not_mix(other: Labels, kind: FindingKind) -> None:
    ours = LABELS._replace(basis=BasisKind.CONSUMPTION)
    assert differing(ours, other if other.basis else other._replace(basis=ours.basis)) is kind
    answer = series(basis=BasisKind.CONSUMPTION)
    if kind is not FindingKind.SIGNAL_MIXED:
        examined = gate(answer, labels=other)
        assert (examined.series, examined.findings[0].kind) == (None, kind)


def test_a_basis_that_nobody_told_fits_to_any() -> None:
    assert differing(LABELS, LABELS._replace(basis=BasisKind.PRODUCTION)) is None
    assert gate(series(), labels=LABELS._replace(basis=BasisKind.PRODUCTION)).series is not None


@pytest.mark.parametrize(
    ("bad", "kind"), [(0.0, FindingKind.ZERO), (1900.0, FindingKind.SPIKE), (2900.0, FindingKind.SPIKE)]
)
def test_a_forecast_is_cut_before_a_value_that_its_zone_cannot_have(bad: float, kind: FindingKind) -> None:
    answer = series(*range(200, 220), bad, 221, 222, 223)
    examined = gate(answer, normal())
    assert examined.series is not None
    assert examined.series.values_gco2_per_kwh == tuple(range(200, 220))
    assert examined.series.issued_at == NOW
    [found] = examined.findings
    assert (found.kind, found.treatment) == (kind, Treatment.LEFT_OUT)
    assert "100 to 400 g/kWh were measured since" in found.sentence


def test_history_is_taken_from_after_such_a_value() -> None:
    answer = series(*range(200, 220), 0.0, 221, 222, issued_at=None)
    examined = gate(answer, normal(), now=None)
    assert examined.series is not None
    assert (examined.series.start, examined.series.values_gco2_per_kwh) == (SLOT + 21 * HOUR, (221, 222))


def test_the_newest_slot_or_two_in_a_row_do_not_cost_the_history() -> None:
    newest = gate(series(*range(200, 223), 0.0, issued_at=None), normal(), now=None).series
    assert newest is not None
    assert newest.values_gco2_per_kwh == tuple(range(200, 223))
    middle = gate(series(*range(200, 210), 0.0, 0.0, *range(300, 312), issued_at=None), normal(), now=None)
    assert middle.series is not None
    assert middle.series.values_gco2_per_kwh == tuple(range(300, 312))


def test_a_feed_that_was_frozen_for_most_of_what_it_says_is_known_by_its_history() -> None:
    stale = series(*range(200, 220), *[220.0] * 28, issued_at=None)
    cut = gate(stale, normal(), now=None)
    assert cut.series is not None
    assert len(cut.series.values_gco2_per_kwh) == 20
    assert gate(series(*[220.0] * 28, issued_at=None), normal(), now=None).series is None


def test_ten_hours_of_nothing_in_a_day_are_not_cut_out_but_refused() -> None:
    """The outage that fed a scheduler zeros for ten hours: its greenest window would have been that one."""
    answer = series(*range(200, 210), *[0.0] * 10, 210, 211, 212, 213)
    examined = gate(answer, normal())
    assert examined.series is None
    assert "0 g/kWh of 10 of 24 slots" in examined.findings[0].sentence


def test_zero_is_believed_of_a_zone_that_has_come_there() -> None:
    answer = series(*range(20, 43), 0.0, factors=FactorKind.DIRECT)
    assert gate(answer, normal(0, 80)).findings == ()


def test_without_history_zero_is_believed_only_of_operation_in_a_clean_zone() -> None:
    def asked(zone: str, factors: FactorKind) -> bool:
        return gate(series(*range(20, 43), 0.0, zone=zone, factors=factors), zone=zone).findings == ()

    assert asked("NO", FactorKind.DIRECT)
    # The country's mean says little of a part of it.
    assert asked("AU-TAS", FactorKind.DIRECT)
    assert not asked("NO", FactorKind.LIFE_CYCLE)
    assert not asked("PL", FactorKind.DIRECT)


def test_a_record_high_within_reason_is_no_spike() -> None:
    assert gate(series(*range(500, 524)), normal()).findings == ()


def test_a_zone_whose_history_is_flat_may_be_flat() -> None:
    """Of steady water: its history passes the gate before there are norms, and makes them."""
    history = gate(year(24.0, 24.0), now=None).series
    assert history is not None
    assert gate(series(*[24.0] * 24), Norms.of(history)).series is not None


def test_hours_alike_within_a_forecast_that_moves_are_no_frozen_feed() -> None:
    """Rounded figures of a steady zone: a quarter of a day on one value, and on to another."""
    steady = [480.0] * 8 + [481.0] * 9 + [482.0] * 7
    assert gate(series(*steady)).findings == ()


def test_history_that_stands_still_at_its_end_is_taken_up_to_there() -> None:
    answer = series(*range(200, 224), *[224.0] * 10, issued_at=None)
    examined = gate(answer, normal(), now=None)
    assert examined.series is not None
    assert examined.series.values_gco2_per_kwh == tuple(range(200, 224))
    [found] = examined.findings
    assert (found.kind, found.treatment) == (FindingKind.FROZEN, Treatment.LEFT_OUT)
    assert "its last 10h" in found.sentence


def test_a_flat_stretch_in_the_middle_of_history_is_the_zone_s_own() -> None:
    answer = series(*range(200, 224), *[150.0] * 10, *range(200, 224), issued_at=None)
    assert gate(answer, normal(), now=None) == Examined(answer, ())


def test_estimates_are_noted_and_used() -> None:
    examined = gate(series(200, 201, 202, estimated=(False, True, True)))
    assert examined.series is not None
    [found] = examined.findings
    assert (found.kind, found.treatment) == (FindingKind.ESTIMATED, Treatment.NOTED)
    assert "2 of 3 values estimates" in found.sentence


def test_a_forecast_is_no_measurement() -> None:
    assert gate(series(), now=None).findings[0].kind is FindingKind.NOT_NOW


def test_two_weeks_of_history_make_norms() -> None:
    assert Norms.of(year(100, 400).between(SLOT - 13 * 24 * HOUR, SLOT)) is None
    norms = normal()
    assert (norms.lowest_gco2_per_kwh, norms.highest_gco2_per_kwh, norms.can_be_zero) == (0, 550, False)


def test_the_margin_is_not_judged_by_a_mean() -> None:
    """Where wind is curtailed, nothing is emitted at the margin: those are the hours that are looked for."""
    marginal = SignalKind.MARGINAL
    answer = series(*range(300, 312), *[0.0] * 8, signal=marginal, factors=FactorKind.DIRECT)
    assert gate(answer, signal=marginal).findings == ()


def test_a_zone_that_nobody_knows_has_no_norms() -> None:
    assert Norms.without_history("QQ-NOWHERE", LABELS) is None
