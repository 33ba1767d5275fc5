"""The names by which `carbon-policy simulate` is told what to try; it imports nothing, so help stays quick."""

from __future__ import annotations

from enum import StrEnum


class Rule(StrEnum):
    """The policies that can be tried."""

    OURS = "ours"
    OURS_INTERRUPTING = "ours-interrupting"
    THRESHOLD = "threshold"
    LOWEST_SLOT = "lowest-slot"
    BEST_WINDOW = "best-window"
    GAIA_LOWEST_WINDOW = "gaia-lowest-window"
    GAIA_CARBON_TIME = "gaia-carbon-time"
    WAIT_AWHILE = "wait-awhile"
    WAIT_AWHILE_INTERRUPTING = "wait-awhile-interrupting"


INTERRUPTING = frozenset({Rule.OURS_INTERRUPTING, Rule.WAIT_AWHILE_INTERRUPTING})


class Knowledge(StrEnum):
    """What the policies know of the hours to come."""

    OWN = "own"
    YESTERDAY = "yesterday"
    PERFECT = "perfect"
