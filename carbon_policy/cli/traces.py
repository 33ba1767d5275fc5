"""Histories to back-test on: of a file, or of the store; each is read when its turn comes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from carbon_policy.cli.grid import opened_history, resolved
from carbon_policy.domain.errors import SourceUnavailableError
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.grid.trace_columns import TraceLayout, find_columns
from carbon_policy.grid.trace_file import load_trace
from carbon_policy.grid.trace_table import open_table


@dataclass(frozen=True)
class Histories:
    """Zones and how to read them.

    Attributes:
        source: Where they are from, for people.
        zones: In order.
        read: Of a zone.
        named: Whether the user named them; one that cannot be read is an error then, and a remark else.
    """

    source: str
    zones: Sequence[str]
    read: Callable[[str], IntensitySeries]
    named: bool


def of_file(path: Path, zones: Sequence[str], layout: TraceLayout) -> Histories:
    """The zones of a recording; a file that names none is one zone, called like the file.

    Raises:
        SignalError: There is no such file, or it cannot be read.
        InvalidInputError: Its columns cannot be made sense of.
    """
    named = resolved(zones, lenient=True)
    known = _zones_in(path, layout) if not named else []
    keys = named or known or [path.name.split(".")[0]]
    return Histories(path.name, keys, lambda zone: load_trace(path, zone, layout), len(keys) == len(named))


def of_store(zones: Sequence[str]) -> Histories:
    """What is stored of these zones, up to its end: after the last gap, if it has any."""
    from carbon_policy.outlook.stored import TRAINED_ON

    now = datetime.now(UTC)

    def read(zone: str) -> IntensitySeries:
        with opened_history() as history:
            series = history.measured(zone, now - TRAINED_ON, now)
        if series is None:
            raise SourceUnavailableError(
                f"Nothing of {zone} is stored; `carbon-policy backfill {zone}` fetches it."
            )
        return series

    return Histories("stored history", resolved(zones), read, named=True)


def _zones_in(path: Path, layout: TraceLayout) -> list[str]:
    if not path.expanduser().exists():
        load_trace(path)  # Says so as it always does.
    with open_table(path.expanduser()) as table:
        column = find_columns(table.header, layout).zone
        if column is None:
            return []
        # A row that is too short is refused where its zone is read.
        return sorted({cells[column] for _, cells in table.rows if len(cells) > column})
