"""Energy by time in bounded memory."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_policy.energy.profile import MAX_SEGMENTS, EnergyProfile

START = datetime(2026, 11, 22, tzinfo=UTC)


def profile_of(samples: int) -> EnergyProfile:
    profile = EnergyProfile(START)
    for index in range(1, samples + 1):
        profile.add(START + timedelta(seconds=15 * index), 0.001)
    return profile


def test_every_sample_is_kept_while_there_is_room() -> None:
    assert len(profile_of(MAX_SEGMENTS).segments()) == MAX_SEGMENTS


@pytest.mark.parametrize("samples", [MAX_SEGMENTS + 1, 3 * MAX_SEGMENTS, 40_003])
def test_a_long_run_stays_bounded_even_and_whole(samples: int) -> None:
    segments = profile_of(samples).segments()
    assert MAX_SEGMENTS / 2 <= len(segments) <= MAX_SEGMENTS
    assert len({segment.end - segment.start for segment in segments[:-1]}) == 1
    assert math.fsum(segment.energy_kwh for segment in segments) == pytest.approx(0.001 * samples)
    assert segments[-1].end == START + timedelta(seconds=15 * samples)


@given(st.lists(st.tuples(st.floats(-600, 600), st.floats(0, 10)), min_size=1, max_size=50))
def test_segments_are_dense_and_never_go_back(steps: list[tuple[float, float]]) -> None:
    profile, moment = EnergyProfile(START), START
    for step_s, energy_kwh in steps:
        moment += timedelta(seconds=step_s)
        profile.add(moment, energy_kwh)
    segments = profile.segments()
    assert segments[0].start == START
    assert all(before.end == after.start for before, after in pairwise(segments))
    assert math.fsum(s.energy_kwh for s in segments) == pytest.approx(math.fsum(kwh for _, kwh in steps))
