"""Checks of the Prefect server: its version, its clock, and our block types."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import prefect
from prefect.client.orchestration import SyncPrefectClient
from prefect.exceptions import ObjectNotFound

from carbon_policy.cli.checks.finding import Finding, Level
from carbon_policy.orchestration.blocks import CarbonPolicy, CarbonSite
from carbon_policy.orchestration.directory import source_kinds

_MOST_CLOCK_SKEW_S = 5.0
_CLOCK_TRIES = 3


def check_api(client: SyncPrefectClient) -> Iterator[Finding]:
    """Whether the server is of our version."""
    theirs, ours = client.api_version(), prefect.__version__
    if theirs == ours:
        yield Finding(Level.OK, "server", f"Prefect {theirs} at {client.api_url}")
    else:
        yield Finding(
            Level.WARN,
            "server",
            f"it is Prefect {theirs}, and here is {ours}",
            f"pip install prefect=={theirs}",
        )


def check_clock(client: SyncPrefectClient) -> Iterator[Finding]:
    """Whether the server's clock is ours: deadlines are set by the one and kept by the other."""
    # A busy server's header may be old when it arrives: the best of a few answers is the truest.
    skews = [skew for skew in (_clock_skew_s(client) for _ in range(_CLOCK_TRIES)) if skew is not None]
    if not skews:
        yield Finding(Level.WARN, "clock", "the server does not tell the time")
        return
    skew_s = min(skews, key=abs)
    if abs(skew_s) <= _MOST_CLOCK_SKEW_S:
        yield Finding(Level.OK, "clock", "the server's and ours agree")
    else:
        way = "ahead of" if skew_s > 0 else "behind"
        yield Finding(
            Level.WARN,
            "clock",
            f"the server's is {abs(skew_s):.0f} s {way} ours",
            "synchronise both by NTP; else runs wait too long, or not long enough",
        )


def _clock_skew_s(client: SyncPrefectClient) -> float | None:
    """How far the server's clock is ahead of ours, seconds; `None` where its answer has no date."""
    asked = datetime.now(UTC)
    answer = client.request("GET", "/health")
    answered = datetime.now(UTC)
    date = answer.headers.get("Date")
    if date is None:
        return None
    # The header has whole seconds, cut off; half a second more is the best guess.
    return (parsedate_to_datetime(date) - asked - (answered - asked) / 2).total_seconds() + 0.5


def check_block_types(client: SyncPrefectClient) -> Iterator[Finding]:
    """Whether the UI can make our blocks."""
    missing = []
    for slug in (CarbonPolicy.get_block_type_slug(), CarbonSite.get_block_type_slug(), *source_kinds()):
        try:
            client.read_block_type_by_slug(slug)
        except ObjectNotFound:
            missing.append(slug)
    if missing:
        yield Finding(
            Level.WARN,
            "block types",
            f"not registered: {', '.join(missing)}",
            "prefect block register -m carbon_policy.collection",
        )
    else:
        yield Finding(Level.OK, "block types", "all are registered")
