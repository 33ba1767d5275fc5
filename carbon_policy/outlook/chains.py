"""The fallback chain of a zone, put together: pinned, keyless, keyed, and what is left without a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from carbon_policy.domain.chain import LIVE_STEPS, ChainStep
from carbon_policy.domain.signal import SignalKind
from carbon_policy.grid.chain import Chain, Link, signal_of
from carbon_policy.grid.keyless import keyless_sources
from carbon_policy.grid.source import GridSource, IntensitySource
from carbon_policy.grid.yearly_mean import YearlyMean
from carbon_policy.outlook.stored import (
    LAST_GOOD,
    OWN_OLDEST,
    LastGood,
    OwnForecast,
    Remembered,
    StoredHistory,
)

if TYPE_CHECKING:
    from carbon_policy.store.history import History  # SQLAlchemy takes a while to import.

Keyed = Callable[[], Sequence[GridSource]]


def forecast_chain(
    zone: str, pinned: Sequence[GridSource] = (), keyed: Keyed | None = None, history: History | None = None
) -> Chain:
    """Whom to ask what a zone's intensity will be.

    Where a team pins a recording or a simulation, it has chosen a world of its own, and nothing of the real
    grid is asked or believed beside it.

    Args:
        zone: Electricity Maps' key.
        pinned: The policy's sources, the preferred first.
        keyed: Gives the other sources with an account that the team has; called only when it comes to them.
        history: The store; `None` where there is none.
    """
    signal = signal_of(pinned)
    links = []
    if history is not None:
        last_good, own = LastGood(history, signal), OwnForecast(history, signal)
        links.append(Link(ChainStep.LAST_GOOD, lambda: [last_good], LAST_GOOD))
        links.append(Link(ChainStep.OWN_FORECAST, lambda: [own], OWN_OLDEST))
    if signal is SignalKind.AVERAGE:
        links.append(Link(ChainStep.YEARLY_MEAN, lambda: [YearlyMean()]))
    chain = _chain(zone, pinned, keyed, links)
    if history is None or of_its_own_world(pinned):
        return chain
    return Chain(tuple(_remembering(link, history) for link in chain.links), chain.signal)


def history_chain(
    zone: str, pinned: Sequence[GridSource] = (), keyed: Keyed | None = None, history: History | None = None
) -> Chain:
    """Whom to ask what a zone's intensity was; arguments as of `forecast_chain`."""
    if history is None or of_its_own_world(pinned):
        return _chain(zone, pinned, keyed, [])
    settled = StoredHistory(history, signal_of(pinned), settled=True)
    stored = StoredHistory(history, signal_of(pinned))
    asked = _chain(zone, pinned, keyed, [Link(ChainStep.LAST_GOOD, lambda: [stored])])
    return Chain((Link(ChainStep.LAST_GOOD, lambda: [settled]), *asked.links), asked.signal)


def live_chain(zone: str, pinned: Sequence[GridSource] = (), keyed: Keyed | None = None) -> Chain:
    """Only those that speak of the grid as it is: what the store is filled from."""
    alive = [source for source in pinned if _is_live(source)]
    return Chain((_pinned(alive), *_live(zone, pinned, keyed)), signal_of(alive))


def _chain(zone: str, pinned: Sequence[GridSource], keyed: Keyed | None, rest: Sequence[Link]) -> Chain:
    if of_its_own_world(pinned):
        return Chain((_pinned(pinned),), signal_of(pinned))
    return Chain((_pinned(pinned), *_live(zone, pinned, keyed), *rest), signal_of(pinned))


def _pinned(sources: Sequence[GridSource]) -> Link:
    return Link(ChainStep.PINNED, lambda: sources)


def _remembering(link: Link, history: History) -> Link:
    if link.step not in LIVE_STEPS:
        return link
    return replace(link, sources=lambda: [Remembered(source, history) for source in link.sources()])


def _same(source: GridSource, other: GridSource) -> bool:
    """Whether two blocks ask the same thing, if perhaps at another address."""
    return type(source) is type(other) and _asks(source) == _asks(other)


def _asks(source: GridSource) -> dict[str, object]:
    return {name: getattr(source, name) for name in type(source).model_fields if name != "base_url"}


def of_its_own_world(pinned: Sequence[GridSource]) -> bool:
    """Whether a team has pinned recordings or simulations, and nothing live."""
    return bool(pinned) and not any(_is_live(source) for source in pinned)


def _is_live(source: GridSource) -> bool:
    try:
        return source.capabilities().live
    except Exception:  # It will say so again when it is asked, and be a finding then.
        return True


def _live(zone: str, pinned: Sequence[GridSource], keyed: Keyed | None) -> list[Link]:
    """The live sources that are not pinned already."""

    def others(sources: Sequence[GridSource]) -> Sequence[IntensitySource]:
        return [source for source in sources if not any(_same(source, other) for other in pinned)]

    links = [Link(ChainStep.KEYLESS, lambda: others(keyless_sources(zone)))]
    if keyed is not None:
        links.append(Link(ChainStep.KEYED, lambda: others(keyed())))
    return links
