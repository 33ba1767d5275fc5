"""The grid as one team sees it: its sources, its store, and the questions that decisions and accounts ask."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from carbon_policy.domain.finding import Finding, FindingKind, Treatment
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.grid.chain import Chain, Outlook, actuals
from carbon_policy.grid.source import GridSource
from carbon_policy.outlook import chains
from carbon_policy.outlook.expected import Expectation, expected
from carbon_policy.outlook.skill import Skill, skill_of

if TYPE_CHECKING:
    from carbon_policy.store.history import History


PATIENCE_S = 5.0
"""A decision goes on without a store that keeps it waiting for longer."""


@dataclass(frozen=True)
class GridView:
    """What one team may ask of the grid.

    Attributes:
        pinned: The policy's sources, the preferred first.
        keyed: Gives the team's other sources with an account; called only when it comes to them.
        history: The store; `None` where none is open.
        findings: Why none is open, where one should be.
    """

    pinned: tuple[GridSource, ...] = ()
    keyed: chains.Keyed | None = None
    history: History | None = None
    findings: tuple[Finding, ...] = ()

    def expected(self, zone: str, now: datetime) -> Expectation:
        """What a decision is to expect of a zone from `now`, UTC, on."""
        chain = chains.forecast_chain(zone, self.pinned, self.keyed, self.history)
        answer = expected(zone, now, chain, self.history)
        return replace(answer, outlook=self._also(answer.outlook))

    def actuals(self, zone: str, start: datetime, end: datetime) -> Outlook:
        """What was measured of a zone from `start` to `end`, UTC."""
        chain = chains.history_chain(zone, self.pinned, self.keyed, self.history)
        return self._also(actuals(zone, start, end, chain))

    def skill(self, series: IntensitySeries, now: datetime) -> Skill | None:
        """What following the forecasts of an outlook's zone has been worth; `None` where that is not known.

        Args:
            series: The outlook.
            now: UTC.
        """
        if self.history is None:
            return None
        try:
            return skill_of(self.history, series, now)
        except Exception:  # The store is a help and never a need; nor is another release's note in it.
            return None

    def live(self, zone: str) -> Chain:
        """The sources of a zone that the store is filled from."""
        return chains.live_chain(zone, self.pinned, self.keyed)

    def whole(self, zone: str) -> Chain:
        """The chain that a decision asks."""
        return chains.forecast_chain(zone, self.pinned, self.keyed, self.history)

    def _also(self, answer: Outlook) -> Outlook:
        return replace(answer, findings=(*self.findings, *answer.findings)) if self.findings else answer


@contextmanager
def grid_view(
    store_url: Callable[[], str],
    pinned: Sequence[GridSource] = (),
    keyed: chains.Keyed | None = None,
    patience_s: float = PATIENCE_S,
) -> Iterator[GridView]:
    """A team's view, with the store open while it lasts.

    A team that pins a recording or a simulation needs no store, and none is opened. A store that cannot be
    opened is a finding: nothing is stopped by it.

    Args:
        store_url: Gives the SQLAlchemy URL of the history.
        pinned: The policy's sources, the preferred first.
        keyed: Gives the team's other sources with an account.
        patience_s: For how long the store may keep a decision waiting; then it counts as failed.
    """
    if chains.of_its_own_world(pinned):
        yield GridView(tuple(pinned), keyed)
        return
    from carbon_policy.store.history import History  # SQLAlchemy takes a while to import.

    try:
        history = History(store_url(), patience_s)
    except Exception as error:  # No failure of ours, of whatever kind, may block a job.
        missing = Finding(
            kind=FindingKind.FAILED,
            treatment=Treatment.NOTED,
            source="history store",
            sentence=str(error) or type(error).__name__,
        )
        yield GridView(tuple(pinned), keyed, findings=(missing,))
        return
    with history:
        yield GridView(tuple(pinned), keyed, history)
