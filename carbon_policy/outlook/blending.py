"""A provider's forecast and our own as one: mixed where both speak, each alone where only one does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.forecasting.blend import BlendWeights
from carbon_policy.grid.series import saying

_HOUR = timedelta(hours=1)

Quantiles = Mapping[float, tuple[float, ...]]


@dataclass(frozen=True)
class Part:
    """A stretch of an outlook and who speaks for it.

    Attributes:
        start: UTC.
        end: UTC.
        source: One name, or two with their shares.
    """

    start: datetime
    end: datetime
    source: str


@dataclass(frozen=True)
class Blended:
    """One outlook of two forecasts.

    Attributes:
        series: At the provider's steps, to the end of our own forecast.
        quantiles: The band, one value a slot; empty where our own has none.
        parts: Who speaks for what.
    """

    series: IntensitySeries
    quantiles: Quantiles
    parts: tuple[Part, ...]


def blended(
    provider: IntensitySeries, own: IntensitySeries, own_quantiles: Quantiles, weights: BlendWeights
) -> Blended:
    """Mix two forecasts of one zone and one kind of number.

    Args:
        provider: Of a live source, from now on.
        own: Ours, hourly; it must cover the provider's first slot.
        own_quantiles: Of `own`, one value an hour.
        weights: The provider's share by hours from now.
    """
    step = provider.step
    count = max(len(provider.values_gco2_per_kwh), (own.end - provider.start) // step)
    hour_of = [(provider.start + index * step - own.start) // _HOUR for index in range(count)]
    # Beyond our own forecast the provider is alone, and the band stays as wide as it was at its end.
    inside = np.minimum(hour_of, len(own.values_gco2_per_kwh) - 1)
    ours = np.asarray(own.values_gco2_per_kwh)[inside]
    theirs = np.full(count, np.nan)
    theirs[: len(provider.values_gco2_per_kwh)] = provider.values_gco2_per_kwh
    lead_h = np.minimum([index * step // _HOUR for index in range(count)], len(weights.provider) - 1)
    by_slot = BlendWeights(np.where(np.asarray(hour_of) > inside, 1.0, weights.provider[lead_h]))
    mixed = np.maximum(by_slot.blend(ours, theirs), 0.0)
    quantiles = {
        level: tuple(np.maximum(mixed + np.asarray(values)[inside] - ours, 0.0).tolist())
        for level, values in own_quantiles.items()
    }
    mean_share = float(by_slot.provider[: len(provider.values_gco2_per_kwh)].mean())
    both = f"{provider.source} ({mean_share:.0%}) and {own.source} ({1 - mean_share:.0%})"
    end = provider.start + count * step
    parts = [Part(provider.start, min(provider.end, own.end), both)]
    if end > provider.end:
        parts.append(Part(provider.end, end, own.source))
    series = saying(
        provider,
        f"Until {parts[0].end:%Y-%m-%dT%H:%MZ} a mean of {both}, weighted by their past errors;"
        f" after that {own.source}.",
        source=f"{provider.source} + {own.source}",
        values_gco2_per_kwh=tuple(mixed.tolist()),
        estimated=(),
    )
    return Blended(series, quantiles, tuple(parts))
