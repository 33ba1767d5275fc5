"""Random evidence that is always sensible: a day or two of intensities, two sites, a window."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from carbon_policy.domain.decision import Evidence
from carbon_policy.domain.job import JobSpec
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.domain.site import Site, Tier

START = datetime(2026, 3, 28, tzinfo=UTC)  # The day before clocks change in Europe.

FAST = Site(name="fast", work_pool="fast", tier=Tier.FAST, zone="DE", power_w=60)
ECO = Site(name="eco", work_pool="eco", tier=Tier.ECO, zone="DE", power_w=24, speed=0.5)

intensities = st.lists(st.floats(min_value=1, max_value=1000), min_size=24, max_size=96).map(tuple)
steps = st.sampled_from([timedelta(minutes=5), timedelta(minutes=30), timedelta(hours=1)])


@st.composite
def series(draw: st.DrawFn, zone: str = "DE") -> IntensitySeries:
    """A step function of any resolution, long enough to say something."""
    return IntensitySeries(
        zone=zone, start=START, step=draw(steps), values_gco2_per_kwh=draw(intensities), source="test"
    )


@st.composite
def evidence(draw: st.DrawFn, **fixed: object) -> Evidence:
    """A flexible job with a window inside the outlook."""
    outlook = draw(series())
    length_s = (outlook.end - outlook.start).total_seconds()
    duration_s = draw(st.floats(min_value=1, max_value=length_s / 4))
    now = outlook.start + timedelta(seconds=draw(st.floats(min_value=0, max_value=length_s / 4)))
    window_s = draw(st.floats(min_value=duration_s, max_value=length_s))
    spec = JobSpec(
        urgency="flexible",
        expected_duration=timedelta(seconds=duration_s),
        finish_within=timedelta(seconds=window_s),
        **fixed,
    )
    return Evidence(
        job=draw(st.uuids().map(str)),
        now=now,
        submitted_at=now,
        spec=spec,
        sites=(FAST, ECO),
        outlook={"DE": outlook},
    )
