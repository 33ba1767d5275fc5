"""Checks of the grid sources."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from carbon_policy.cli.checks.finding import Finding, Level
from carbon_policy.domain.times import format_duration
from carbon_policy.grid.chain import Outlook, name_of, outlook
from carbon_policy.grid.chain import pinned as only
from carbon_policy.grid.keyless import KEYLESS_KINDS, keyless_sources
from carbon_policy.grid.source import GridSource, IntensitySource
from carbon_policy.outlook.chains import Keyed, of_its_own_world

_LIVE = "carbon-policy doctor --live"


def check_grid(
    zones: Sequence[str],
    pinned: Sequence[GridSource],
    *,
    live: bool,
    keyed: Keyed | None = None,
) -> Iterator[Finding]:
    """Whether each zone has a source that answers with what a decision would believe.

    Every source that could be asked is asked once for each zone, and not only the first that answers.

    Args:
        zones: Of the sites.
        pinned: The policy's sources.
        live: Ask those too that are asked over the network.
        keyed: Gives the team's other sources with an account.
    """
    now = datetime.now(UTC)
    others: Sequence[IntensitySource] = []
    if keyed is not None and not of_its_own_world(pinned):
        others = keyed()
    for zone in zones:
        answers = 0
        for source in _sources(zone, pinned, others):
            finding = _ask(zone, source, now, live=live)
            answers += finding.level is Level.OK
            yield finding
        if not answers:
            yield Finding(
                Level.FAIL,
                f"grid {zone}",
                "no source answers: jobs are placed by what is stored, or by the yearly mean",
                "name one that serves it in grid_sources of blocks/policy.yaml",
            )


def check_keyless(*, live: bool) -> Iterator[Finding]:
    """Each source that takes no account, asked for one of its zones: where no team says which zones matter."""
    now = datetime.now(UTC)
    for source in (kind() for kind in KEYLESS_KINDS):
        zones = source.capabilities().zones or ()
        if zones:
            yield _ask("DE" if "DE" in zones else zones[0], source, now, live=live)


def _sources(
    zone: str, pinned: Sequence[GridSource], others: Sequence[IntensitySource]
) -> list[IntensitySource]:
    """In the order of the chain; of the sources with an account those that may serve the zone."""
    sources: list[IntensitySource] = list(pinned)
    if of_its_own_world(pinned):
        return sources
    for source in (*keyless_sources(zone), *others):
        known = source.capabilities()
        if type(source) not in {type(one) for one in sources} and (
            known.zones is None or zone in known.zones
        ):
            sources.append(source)
    return sources


def _ask(zone: str, source: IntensitySource, now: datetime, *, live: bool) -> Finding:
    what = f"grid {zone}"
    try:
        known = source.capabilities()
    except Exception as error:
        return Finding(Level.WARN, what, f"{name_of(source)}: {error}")
    if known.live and not live:
        return Finding(Level.OK, what, f"{known.name}: not asked, as it is on the network", _LIVE)
    answer = outlook(zone, now, only([source]))
    return Finding(Level.WARN if answer.series is None else Level.OK, what, _says(known.name, answer, now))


def _says(name: str, answer: Outlook, now: datetime) -> str:
    """What came back: the value now, the horizon, how old the issue is, and what was amiss."""
    series = answer.series
    if series is None:
        return answer.notes[0]
    simulated = "made up, " if series.simulated else ""
    parts = [
        f"{simulated}{series.at(now):.0f} g/kWh now",
        f"{format_duration(series.end - now)} ahead in steps of {format_duration(series.step)}",
    ]
    if series.issued_at is not None and not series.simulated:
        age = now - series.issued_at
        parts.append(f"issued {format_duration(age)} ago" if age.total_seconds() >= 60 else "issued just now")
    said = f"{name}: {', '.join(parts)} ({series.labels})"
    return "\n".join([said, *(f"{one.kind}, {one.treatment}: {one.sentence}" for one in answer.findings)])
