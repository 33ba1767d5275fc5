"""What a recording changed."""

from __future__ import annotations

from typing import NamedTuple


class RecordResult(NamedTuple):
    """What a recording changed, in entries or slots."""

    added: int = 0
    updated: int = 0
    unchanged: int = 0
