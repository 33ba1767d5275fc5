"""What was found amiss in a signal, and what was done about it."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class FindingKind(StrEnum):
    """What is amiss. A public contract: reports and automations match on these values, so they are never renamed."""

    FAILED = "failed"
    WRONG_ZONE = "wrong-zone"
    NULL = "null"
    NOT_A_NUMBER = "not-a-number"
    NEGATIVE = "negative"
    ABSURD = "absurd"
    ZERO = "zero"
    SPIKE = "spike"
    FROZEN = "frozen"
    GAP = "gap"
    OVERLAP = "overlap"
    OUT_OF_ORDER = "out-of-order"
    STALE = "stale"
    NOT_NOW = "not-now"
    LEVEL_JUMP = "level-jump"
    ESTIMATED = "estimated"
    SIGNAL_MIXED = "signal-mixed"
    FACTORS_MIXED = "factors-mixed"
    BASIS_MIXED = "basis-mixed"
    SIMULATED = "simulated"


class Treatment(StrEnum):
    """What was done about it."""

    REFUSED = "refused"
    """The whole answer was passed over."""
    LEFT_OUT = "left-out"
    """The values that it is about were not used; nothing was put in their place."""
    CORRECTED = "corrected"
    """Put right without adding a value: sorted, or shifted to the level that was measured."""
    NOTED = "noted"
    """Used as it is, and labelled."""


class Finding(BaseModel):
    """One thing that was found amiss.

    Attributes:
        kind: What.
        treatment: What was done about it.
        source: Of whose answer.
        sentence: Both for people, with the values and slots that it is about.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: FindingKind
    treatment: Treatment
    source: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.source}: {self.sentence} [{self.kind}, {self.treatment}]"
