"""When the waiting runs are to be decided again: what they were planned by has changed."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import numpy as np

from carbon_policy.domain.errors import CarbonPolicyError
from carbon_policy.domain.job import JobSpec
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.domain.times import format_duration
from carbon_policy.orchestration.directory import Directory
from carbon_policy.orchestration.world import World

_WORTH_A_LOOK = 0.01
"""A mean change of an outlook by this share may change plans. The policy itself says whether it is worth a move."""

_FURTHER = timedelta(hours=6)
"""Hours that nobody knew of when all was planned may be the greenest."""


class Watch:
    """Compares the world with how it was when all was planned last."""

    def __init__(self) -> None:
        self._policies: set[str] = set()
        self._teams: dict[str, Any] = {}
        self._outlooks: dict[tuple[str, str], IntensitySeries] = {}
        self._waiting: int | None = None

    def note(self, policies: Iterable[str]) -> None:
        """Watch what these policy blocks name."""
        self._policies |= set(policies)

    def why(self, world: World, waiting: int, *, jointly: bool) -> list[str]:
        """Why all is to be decided again, a sentence each; empty where it need not be.

        What it sees now is what it compares with when it is asked next.

        Args:
            world: As it is now.
            waiting: How many runs wait.
            jointly: Whether some of them are planned together: then each that comes or goes counts.
        """
        found = [
            reason
            for name in sorted(self._policies | {world.settings.policy_block})
            for reason in self._changes(world, name)
        ]
        if jointly and self._waiting is not None and waiting != self._waiting:
            found.append(f"The queue has changed: {waiting} runs wait, and {self._waiting} did.")
        self._waiting = waiting
        return found

    def _changes(self, world: World, policy: str) -> Iterable[str]:
        try:
            directory = world.directory(policy)
        except CarbonPolicyError:
            # The block is gone, or was never there: runs that name it say so themselves.
            return
        team = _as_seen(directory)
        if self._teams.get(policy, team) != team:
            yield f"The policy {policy}, its sites or their work pools have changed."
        self._teams[policy] = team
        for zone, series in world.grid(directory, JobSpec()).outlooks.items():
            before = self._outlooks.get((policy, zone))
            why = _why(zone, before, series) if before is not None else None
            if why is not None:
                yield why
            if before is None or why is not None:
                # Compared with what was planned by, or many small changes would never be a large one.
                self._outlooks[policy, zone] = series


def _why(zone: str, before: IntensitySeries, after: IntensitySeries) -> str | None:
    share = change_of(before, after)
    if share > _WORTH_A_LOOK:
        return f"The outlook of {zone} has changed by {share:.0%}."
    if after.end - before.end >= _FURTHER:
        return f"The outlook of {zone} reaches {format_duration(after.end - before.end)} further."
    return None


def change_of(before: IntensitySeries, after: IntensitySeries) -> float:
    """By what share, in the mean, an outlook differs from an earlier one where both speak; 1 where neither does."""
    if before.step != after.step:
        return 1.0
    shift, rest = divmod(after.start - before.start, before.step)
    if rest:
        return 1.0
    old = np.asarray(before.values_gco2_per_kwh)[max(shift, 0) :]
    new = np.asarray(after.values_gco2_per_kwh)[max(-shift, 0) :]
    both = min(len(old), len(new))
    if both == 0:
        return 1.0
    mean = float(np.mean(np.abs(old[:both])))
    difference = float(np.mean(np.abs(new[:both] - old[:both])))
    return difference / mean if mean else float(difference > 0)


def _as_seen(directory: Directory) -> Any:
    """What of a team's choices bears on plans."""
    pools = {
        name: (pool.is_paused, pool.concurrency_limit)
        for name, pool in directory.pools.items()
        if name in {site.work_pool for site in directory.sites}
    }
    return (
        directory.policy.as_settings(),
        directory.policy.as_layer(),
        directory.sites,
        pools,
        sorted(directory.asleep),
    )
