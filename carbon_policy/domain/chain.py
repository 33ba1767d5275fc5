"""How far down the fallback chain an answer was found."""

from __future__ import annotations

from enum import StrEnum


class ChainStep(StrEnum):
    """The steps, in the order in which they are taken. A public contract: part of each decision's evidence."""

    PINNED = "pinned"
    """A source that the policy names."""
    KEYLESS = "keyless"
    """The zone's live source that takes no account."""
    KEYED = "keyed"
    """A source with an account, of which a block stands on the server."""
    LAST_GOOD = "last-good"
    """The last forecast that a live source gave, while it is fresh."""
    OWN_FORECAST = "own-forecast"
    """Our own forecast, from the zone's stored history."""
    YEARLY_MEAN = "yearly-mean"
    """The zone's mean over a year: nothing of the hours, so nothing to wait for."""


LIVE_STEPS = (ChainStep.PINNED, ChainStep.KEYLESS, ChainStep.KEYED)
"""Those that ask a source as it is now."""
