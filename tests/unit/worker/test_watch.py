"""When the waiting runs are to be decided again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbon_policy.domain.chain import ChainStep
from carbon_policy.domain.errors import SetupError
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.orchestration.blocks import CarbonPolicy
from carbon_policy.orchestration.directory import Directory
from carbon_policy.orchestration.evidence import Asked
from carbon_policy.worker.watch import Watch, change_of
from tests.unit.worker.decided import NOW
from tests.unit.worker.server import ECO, FAST, Told

HOUR = timedelta(hours=1)
intensities = st.lists(st.floats(0, 1000, allow_subnormal=False), min_size=1, max_size=48)


def series(values: Any, begins_h: int = 0, step: timedelta = HOUR) -> IntensitySeries:
    return IntensitySeries(
        zone="DE", start=NOW + begins_h * HOUR, step=step, values_gco2_per_kwh=tuple(values), source="a test"
    )


class TestChange:
    """By how much an outlook differs from an earlier one."""

    @given(intensities, st.integers(0, 47))
    def test_one_that_has_only_moved_on_is_the_same(self, values: list[float], hours: int) -> None:
        later = values[hours:] + [123.0] * 5
        if hours < len(values):
            assert change_of(series(values), series(later, hours)) == 0
        else:
            assert change_of(series(values), series(later, hours)) == 1

    @given(intensities, intensities, st.integers(-50, 50))
    def test_it_is_a_share_whatever_is_compared(
        self, before: list[float], after: list[float], shift: int
    ) -> None:
        change = change_of(series(before), series(after, shift))
        assert change >= 0
        assert change != float("inf")

    @given(st.lists(st.floats(1, 1000), min_size=1, max_size=48), st.floats(0, 2))
    def test_all_of_it_higher_or_lower_by_a_share_is_that_share(
        self, values: list[float], share: float
    ) -> None:
        after = [value * share for value in values]
        assert change_of(series(values), series(after)) == pytest.approx(abs(share - 1))

    def test_only_what_both_speak_of_is_compared(self) -> None:
        before = series([100, 200, 300])
        assert change_of(before, series([300, 999, 999], 2)) == 0
        assert change_of(before, series([999, 999, 100], -2)) == 0
        assert change_of(before, series([330], 2)) == pytest.approx(0.1)

    def test_a_zone_that_had_nothing_to_emit(self) -> None:
        assert change_of(series([0, 0]), series([0, 0])) == 0
        assert change_of(series([0, 0]), series([0, 5])) == 1

    def test_what_cannot_be_compared_has_changed(self) -> None:
        before = series([100, 100])
        assert change_of(before, series([100, 100], 2)) == 1
        assert change_of(before, series([100] * 4, step=HOUR / 2)) == 1
        shifted = before.model_copy(update={"start": NOW + timedelta(minutes=17)})
        assert change_of(before, shifted) == 1


class World(Told):
    """One whose grid, sites and policies may change."""

    def __init__(self, *missing: str) -> None:
        super().__init__()
        self.missing = set(missing)
        self.sites = (FAST, ECO)

    def directory(self, name: str) -> Directory:
        if name in self.missing:
            raise SetupError(f"There is no block carbon-policy/{name} on the server.")
        return Directory(name, CarbonPolicy(), self.sites, {}, ())

    def grid(self, *_: Any) -> Asked:
        return Asked(outlooks={"DE": series(self.expected)}, steps={"DE": ChainStep.PINNED})


class TestWhy:
    """What it says of two looks at the world."""

    def test_at_first_there_is_nothing_to_compare_with(self) -> None:
        watch = Watch()
        assert watch.why(World(), 5, jointly=True) == []
        assert watch.why(World(), 5, jointly=True) == []

    def test_an_outlook_that_has_changed_is_named_once(self) -> None:
        watch, world = Watch(), World()
        watch.why(world, 1, jointly=False)
        world.expected = (440.0,) * 24
        assert watch.why(world, 1, jointly=False) == ["The outlook of DE has changed by 10%."]
        assert watch.why(world, 1, jointly=False) == []

    def test_many_small_changes_are_a_large_one(self) -> None:
        """An outlook is given out anew every few minutes: none of the steps may be worth a look, all of them are."""
        watch, world = Watch(), World()
        found = []
        for step in range(20):
            world.expected = (400.0 * 1.009**step,) * 24
            found += watch.why(world, 1, jointly=False)
        assert found

    def test_a_change_of_the_team_is_named(self) -> None:
        watch, world = Watch(), World()
        watch.why(world, 1, jointly=False)
        world.sites = (FAST,)
        [why] = watch.why(world, 1, jointly=False)
        assert why.startswith("The policy default, its sites or their work pools have changed")

    @pytest.mark.parametrize(("jointly", "says"), [(True, 1), (False, 0)])
    def test_a_queue_that_has_changed_counts_where_it_is_planned_as_one(
        self, jointly: bool, says: int
    ) -> None:
        watch = Watch()
        watch.why(World(), 5, jointly=jointly)
        assert len(watch.why(World(), 6, jointly=jointly)) == says
        assert watch.why(World(), 6, jointly=jointly) == []

    @pytest.mark.parametrize("missing", ["default", "deleted"])
    def test_a_policy_that_is_not_there_keeps_none_of_the_others_from_being_watched(
        self, missing: str
    ) -> None:
        """A team need have no policy of the name that settings begin with, and may delete one."""
        watch, world = Watch(), World()
        watch.note({"ours", "deleted"})
        watch.why(world, 1, jointly=False)
        world.missing = {missing}
        watch.why(world, 1, jointly=False)
        world.expected = (800.0,) * 24
        assert any("100%" in why for why in watch.why(world, 1, jointly=False))
