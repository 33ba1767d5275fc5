"""Checks of the history store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from carbon_policy.cli.checks.finding import Finding, Level
from carbon_policy.cli.words import counted
from carbon_policy.domain.times import format_duration
from carbon_policy.forecasting.forecaster import SOURCE
from carbon_policy.orchestration.settings import CarbonSettings
from carbon_policy.store.history import History
from carbon_policy.store.upkeep import ZoneHistory

OLDEST_SLOT = timedelta(hours=6)
"""Older than this, nobody refreshes the zone, or its source has stopped."""

OLDEST_FORECAST = timedelta(hours=6)
"""Older than this, our own forecast is not mixed in any more."""


def check_history(zones: Sequence[str], now: datetime | None = None) -> Iterator[Finding]:
    """Whether the store opens, and how old what it holds of each zone is.

    Args:
        zones: Of the sites; empty for all that are stored.
        now: UTC; the present, if not said.
    """
    now = now or datetime.now(UTC)
    with History(CarbonSettings().history_address()) as history:
        kept = history.zones()
    slots, forecasts = sum(one.slots for one in kept), sum(one.forecasts for one in kept)
    yield Finding(
        Level.OK,
        "history",
        f"{counted(len({one.zone for one in kept}), 'zone')}, {counted(slots, 'slot')},"
        f" {counted(forecasts, 'forecast')}",
    )
    for zone in zones or list(dict.fromkeys(one.zone for one in kept)):
        yield _zone(zone, [one for one in kept if one.zone == zone], now)


def _zone(zone: str, kept: Sequence[ZoneHistory], now: datetime) -> Finding:
    what = f"history {zone}"
    newest = max((one.last_slot for one in kept if one.last_slot is not None), default=None)
    if newest is None:
        return Finding(
            Level.WARN,
            what,
            "nothing is stored, so there is no forecast of our own",
            f"carbon-policy backfill {zone}",
        )
    issued = max(
        (one.last_issued_at for one in kept if one.source == SOURCE and one.last_issued_at), default=None
    )
    own = f"own forecast of {_ago(now, issued)}" if issued else "no forecast of our own"
    slots = sum(one.slots for one in kept)
    says = f"{counted(slots, 'slot')}, the newest of {_ago(now, newest)}; {own}"
    old = now - newest > OLDEST_SLOT or issued is None or now - issued > OLDEST_FORECAST
    return Finding(
        Level.WARN if old else Level.OK, what, says, f"carbon-policy refresh {zone}" if old else ""
    )


def _ago(now: datetime, then: datetime) -> str:
    age = now - then
    return f"{format_duration(age)} ago" if age >= timedelta(minutes=1) else "just now"
