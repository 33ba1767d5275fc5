"""What a decision is to expect of a zone: the chain's answer, on the measured level and mixed with our own forecast.

The store is a help and never a need: whatever goes wrong with it is a finding, and the chain's answer stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from carbon_policy.domain.chain import LIVE_STEPS, ChainStep
from carbon_policy.domain.finding import Finding, FindingKind, Treatment
from carbon_policy.domain.signal import IntensitySeries, Labels
from carbon_policy.domain.times import format_duration
from carbon_policy.forecasting.blend import BlendWeights
from carbon_policy.forecasting.features import HORIZON_H
from carbon_policy.forecasting.forecaster import SOURCE
from carbon_policy.forecasting.hourly import Floats
from carbon_policy.forecasting.level import LOOKS_BACK_H, on_measured_level
from carbon_policy.grid.chain import Chain, NormsOf, Outlook, outlook
from carbon_policy.grid.norms import Norms
from carbon_policy.grid.series import saying
from carbon_policy.outlook.blending import Part, Quantiles, blended
from carbon_policy.outlook.stored import BRIDGED, OWN_OLDEST, Remembered

if TYPE_CHECKING:
    from carbon_policy.store.history import History  # SQLAlchemy takes a while to import.

NORMS_FROM = timedelta(days=90)
"""How much history says what is normal for a zone."""

BLENDED_WITH = timedelta(hours=24)
"""Our own forecast is mixed in while it is no older than this."""

_HOUR = timedelta(hours=1)
_NOTABLE_JUMP = 0.02  # Of the level: a smaller one is put right and not spoken of.


@dataclass(frozen=True)
class Expectation:
    """What is expected of a zone.

    Attributes:
        outlook: The chain's answer, after all that was done to it.
        quantiles: Level (0 to 1) to g/kWh, one value a slot of the outlook; empty where there is no band.
        parts: Who speaks for what.
    """

    outlook: Outlook
    quantiles: Quantiles = field(default_factory=dict)
    parts: tuple[Part, ...] = ()


def expected(zone: str, now: datetime, chain: Chain, history: History | None = None) -> Expectation:
    """Ask the chain; with a store, keep the answer, put it right and extend it.

    Args:
        zone: Electricity Maps' key.
        now: UTC.
        chain: Whom to ask.
        history: The store; `None` where there is none.
    """
    norms = _quiet_norms(history, zone, now) if history else None
    answer = outlook(zone, now, chain, norms)
    plain = _plain(answer)
    if history is None or answer.series is None:
        return plain
    try:
        if answer.step is ChainStep.OWN_FORECAST:
            return replace(plain, quantiles=_stored_quantiles(answer.series, now, history))
        if answer.step is not ChainStep.LAST_GOOD and not _is_live(answer):
            return plain
        if answer.step in LIVE_STEPS and not _is_remembered(answer):
            history.record_forecast(answer.series, fetched_at=now)
        return _with_own(answer, answer.series, now, history)
    except Exception as error:  # The store is a help, and never a need.
        return replace(plain, outlook=_noting(answer, _store_failed(error)))


def norms_of(history: History, zone: str, now: datetime) -> NormsOf:
    """What is normal for a zone, by what the same source has measured."""

    def norms(series: IntensitySeries) -> Norms | None:
        past = history.measured(
            zone,
            now - NORMS_FROM,
            now,
            source=series.made_from or series.source,
            labels=series.labels,
            bridge=BRIDGED,
        )
        return Norms.of(past) if past is not None else None

    return norms


def _quiet_norms(history: History, zone: str, now: datetime) -> NormsOf:
    ask = norms_of(history, zone, now)

    def norms(series: IntensitySeries) -> Norms | None:
        try:
            return ask(series)
        except Exception:  # Judged by its yearly mean then.
            return None

    return norms


def _is_live(answer: Outlook) -> bool:
    return answer.step in LIVE_STEPS and answer.source is not None and answer.source.capabilities().live


def _is_remembered(answer: Outlook) -> bool:
    return isinstance(answer.source, Remembered) and answer.source.from_store


def _plain(answer: Outlook) -> Expectation:
    series = answer.series
    parts = (Part(series.start, series.end, series.source),) if series is not None else ()
    return Expectation(answer, parts=parts)


def _with_own(answer: Outlook, series: IntensitySeries, now: datetime, history: History) -> Expectation:
    series, jump = _on_the_measured_level(series, now, history)
    answer = _noting(replace(answer, series=series), *jump)
    own = history.latest_forecast(
        series.zone, now, sources=[SOURCE], labels=series.labels, not_older_than=BLENDED_WITH
    )
    # Not with what was learnt elsewhere: a region is not the nation, nor one meter another.
    if own is None or own.series.made_from != series.source:
        return _plain(answer)
    if not own.series.start <= series.start < own.series.end:
        return _plain(answer)
    mixed = blended(
        series, own.series, own.quantiles, weights_of(history, series.zone, series.source, series.labels)
    )
    return Expectation(replace(answer, series=mixed.series), mixed.quantiles, mixed.parts)


def _stored_quantiles(series: IntensitySeries, now: datetime, history: History) -> Quantiles:
    """The band that was stored with a forecast, from the first slot of what is left of it on."""
    stored = history.latest_forecast(
        series.zone, now, sources=[series.source], labels=series.labels, not_older_than=OWN_OLDEST
    )
    if stored is None or stored.series.issued_at != series.issued_at:
        return {}
    first = (series.start - stored.series.start) // series.step
    last = first + len(series.values_gco2_per_kwh)
    return {level: values[first:last] for level, values in stored.quantiles.items()}


def weights_of(history: History, zone: str, provider: str, labels: Labels) -> BlendWeights:
    """The provider's share by lead, as learnt from its past issues; one half where nothing is known of it."""
    known = history.noted(zone, weights_key(provider, labels))
    return BlendWeights(np.asarray(known["provider"]) if known else np.full(HORIZON_H, 0.5))


def weights_key(provider: str, labels: Labels) -> str:
    """Under which the share of a provider in a blend is noted."""
    return f"share of {provider}, {labels}"


def _on_the_measured_level(
    series: IntensitySeries, now: datetime, history: History
) -> tuple[IntensitySeries, list[Finding]]:
    """The provider's forecast on the level of what was measured in the last day."""
    day = timedelta(hours=LOOKS_BACK_H)
    past = history.measured(series.zone, now - day, now, source=series.source, labels=series.labels)
    if past is None or past.step != series.step:
        return series, []
    issues = history.forecasts(
        series.zone, past.start - day, past.end, source=series.source, labels=series.labels, every=3 * _HOUR
    )
    residuals = _residuals(past, [issue.series for issue in issues])
    if not len(residuals):
        return series, []
    last = past.end - past.step
    step_h = series.step / _HOUR
    values = on_measured_level(
        np.asarray(series.values_gco2_per_kwh),
        residuals,
        residual_h=step_h,
        step_h=step_h,
        has_the_news=series.issued_at is not None and series.issued_at > last,
    )
    shift = float(values[0]) - series.values_gco2_per_kwh[0]
    moved = saying(
        series,
        f"Shifted by {shift:+.1f} g/kWh, to the level of what was measured up to {past.end:%Y-%m-%dT%H:%MZ}.",
        values_gco2_per_kwh=tuple(values.tolist()),
    )
    if abs(shift) <= _NOTABLE_JUMP * max(past.values_gco2_per_kwh[-1], 1.0):
        return moved, []
    finding = Finding(
        kind=FindingKind.LEVEL_JUMP,
        treatment=Treatment.CORRECTED,
        source=series.source,
        sentence=f"it said {-residuals.mean():+.1f} g/kWh against what was measured in the last"
        f" {format_duration(len(residuals) * past.step)}; its forecast was shifted by {shift:+.1f}.",
    )
    return moved, [finding]


def _residuals(past: IntensitySeries, issues: Sequence[IntensitySeries]) -> Floats:
    """Measured minus what the newest issue before each slot had said of it; the newest last."""
    found = []
    for index, measured in enumerate(past.values_gco2_per_kwh):
        slot = past.slot_start(index)
        before = [
            issue
            for issue in issues
            if issue.issued_at is not None and issue.issued_at <= slot and issue.start <= slot < issue.end
        ]
        if before:
            found.append(measured - before[-1].at(slot))
    return np.asarray(found)


def _noting(answer: Outlook, *findings: Finding) -> Outlook:
    return replace(answer, findings=(*answer.findings, *findings))


def _store_failed(error: Exception) -> Finding:
    return Finding(
        kind=FindingKind.FAILED,
        treatment=Treatment.NOTED,
        source="history store",
        sentence=str(error) or type(error).__name__,
    )
