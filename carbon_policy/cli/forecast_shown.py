"""What `carbon-policy forecast` shows, however it is shown: cut to the hours asked for, with its windows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from carbon_policy.cli.words import iso
from carbon_policy.domain.chain import ChainStep
from carbon_policy.domain.errors import SourceUnavailableError
from carbon_policy.domain.finding import Finding
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.domain.times import format_duration
from carbon_policy.outlook.blending import Part, Quantiles
from carbon_policy.outlook.expected import Expectation
from carbon_policy.outlook.windows import Window, greenest_windows

if TYPE_CHECKING:
    from carbon_policy.report.curve import CurvePlot

JSON_SCHEMA = "carbon-policy-forecast/2"
"""Named in the JSON; raised when a field changes its meaning."""


@dataclass(frozen=True)
class ShownForecast:
    """An expectation as far as it was asked for.

    Attributes:
        asked: The zone or the cloud's region, as it was written.
        now: UTC.
        series: From now on.
        fingerprint: Of the whole outlook, which is what decisions are made from.
        quantiles: Level to g/kWh, one value a slot of `series`; empty where there is no band.
        parts: Who speaks for what.
        step: Where in the fallback chain it was found.
        findings: What was amiss.
        length: Of a window.
        windows: The greenest first; empty where none fits, or where no hour is known to be greener.
        remarks: What a reader must know.
    """

    asked: str
    now: datetime
    series: IntensitySeries
    fingerprint: str
    quantiles: Quantiles
    parts: tuple[Part, ...]
    step: ChainStep | None
    findings: tuple[Finding, ...]
    length: timedelta
    windows: tuple[Window, ...]
    remarks: tuple[str, ...]

    @classmethod
    def of(
        cls,
        asked: str,
        zone: str,
        expectation: Expectation,
        now: datetime,
        ahead: timedelta,
        length: timedelta,
        count: int,
    ) -> ShownForecast:
        """Cut to what was asked for.

        Args:
            asked: As it was written.
            zone: As it was understood.
            expectation: Of the zone.
            now: UTC.
            ahead: How far to show.
            length: Of a window.
            count: How many windows at most.

        Raises:
            SourceUnavailableError: Nothing is known of the zone.
        """
        answer = expectation.outlook
        whole = answer.series
        if whole is None:
            raise SourceUnavailableError(f"Nothing is known of {zone}: {' '.join(answer.notes)}")
        series = whole.between(now, min(now + ahead, whole.end))
        first = (series.start - whole.start) // whole.step
        slots = slice(first, first + len(series.values_gco2_per_kwh))
        end = min(now + ahead, series.end)
        flat = max(series.values_gco2_per_kwh) == min(series.values_gco2_per_kwh)
        fits = end - now >= length > timedelta(0)
        windows = greenest_windows(series, now, end, length, count) if fits and count and not flat else []
        return cls(
            asked=asked,
            now=now,
            series=series,
            fingerprint=whole.fingerprint,
            quantiles={level: tuple(values[slots]) for level, values in expectation.quantiles.items()},
            parts=tuple(_cut(expectation.parts, series)),
            step=answer.step,
            findings=tuple(dict.fromkeys((*answer.findings, *whole.findings))),
            length=length,
            windows=tuple(windows),
            remarks=tuple(_remarks(whole, now, ahead, length, fits=fits, flat=flat)),
        )

    @property
    def at_once_gco2_per_kwh(self) -> float:
        """The mean intensity of a job of this length that starts now."""
        return self.series.mean(self.now, min(self.now + self.length, self.series.end))

    @property
    def outer(self) -> tuple[float, float] | None:
        """The levels of the widest band."""
        return (min(self.quantiles), max(self.quantiles)) if len(self.quantiles) > 1 else None

    def at_level(self, level: float) -> IntensitySeries:
        """A quantile as a series."""
        fields = {name: getattr(self.series, name) for name in type(self.series).model_fields}
        return IntensitySeries(**fields | {"values_gco2_per_kwh": self.quantiles[level]})

    @property
    def title(self) -> str:
        """Above a chart or a plot."""
        of = self.series.zone if self.asked == self.series.zone else f"{self.series.zone} ({self.asked})"
        return f"Carbon intensity of {of}"


def as_document(shown: ShownForecast) -> dict[str, Any]:
    """The JSON: the series' own fields, and what is known beside them."""
    now = shown.at_once_gco2_per_kwh
    return {
        "schema": JSON_SCHEMA,
        "id": shown.fingerprint,
        "asked": shown.asked,
        **shown.series.model_dump(mode="json"),
        "chain_step": shown.step.value if shown.step else None,
        "quantiles_gco2_per_kwh": {f"{level:g}": values for level, values in shown.quantiles.items()},
        "parts": [
            {"start": iso(part.start), "end": iso(part.end), "source": part.source} for part in shown.parts
        ],
        "findings": [finding.model_dump(mode="json") for finding in shown.findings],
        "remarks": shown.remarks,
        "at_once_gco2_per_kwh": round(now, 3),
        "windows": [
            {
                "start": iso(window.start),
                "end": iso(window.end),
                "gco2_per_kwh": round(window.gco2_per_kwh, 3),
                "less_than_at_once": round(1 - window.gco2_per_kwh / now, 4) if now else 0.0,
            }
            for window in shown.windows
        ],
    }


def as_plot(shown: ShownForecast) -> CurvePlot:
    """The plot of it."""
    from carbon_policy.report.curve import CurvePlot, Stretch

    best = [f"Greenest: {_clocks(window)}, {window.gco2_per_kwh:.0f} g/kWh." for window in shown.windows[:1]]
    step = [f"Step of the fallback chain: {shown.step}."] if shown.step else []
    return CurvePlot(
        title=f"{shown.title}, forecast",
        pieces=(shown.series,),
        quantiles=shown.quantiles,
        windows=[
            Stretch(window.start, window.end, str(rank)) for rank, window in enumerate(shown.windows, start=1)
        ],
        parts=[Stretch(part.start, part.end, part.source) for part in shown.parts],
        caption=[*step, *best, *(f"Finding: {finding}" for finding in shown.findings)],
    )


def _cut(parts: tuple[Part, ...], series: IntensitySeries) -> Iterator[Part]:
    for part in parts:
        start, end = max(part.start, series.start), min(part.end, series.end)
        if start < end:
            yield Part(start, end, part.source)


def _remarks(
    series: IntensitySeries, now: datetime, ahead: timedelta, length: timedelta, *, fits: bool, flat: bool
) -> Iterator[str]:
    if series.end < now + ahead:
        yield f"{series.zone} is known for {format_duration(series.end - now)} ahead only, to {iso(series.end)}."
    if not fits:
        yield f"No window of {format_duration(length)} fits into that; ask for a shorter --window."
    elif flat:
        yield "All hours are alike as far as is known, so none is greener than now."


def _clocks(window: Window) -> str:
    return f"{window.start:%a %d %b %H:%M} to {window.end:%H:%M}"
