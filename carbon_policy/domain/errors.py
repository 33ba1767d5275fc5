"""One tree of errors; a class's docstring is its default message."""

from __future__ import annotations

from typing import ClassVar

from carbon_policy.domain.finding import FindingKind


class CarbonPolicyError(Exception):
    """Something went wrong in carbon-policy."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())


class InvalidInputError(CarbonPolicyError, ValueError):
    """A value was refused; the message says what to change."""


class ContradictoryWindowError(InvalidInputError):
    """The job's times contradict each other."""


class UnknownZoneError(InvalidInputError):
    """No source serves this zone."""


class SignalError(CarbonPolicyError):
    """A carbon-intensity signal cannot be trusted."""

    kind: ClassVar[FindingKind] = FindingKind.FAILED


class GapInSignalError(SignalError):
    """The signal has a gap."""

    kind = FindingKind.GAP


class AbsurdSignalError(SignalError):
    """The signal holds zeros, negatives, NaN or values no grid has."""

    kind = FindingKind.ABSURD


class HorizonError(SignalError):
    """The signal was read outside the time it covers."""

    kind = FindingKind.NOT_NOW


class SourceUnavailableError(SignalError):
    """A carbon-intensity source did not answer with usable data."""


class WrongZoneError(SourceUnavailableError):
    """A carbon-intensity source answered for another place than was asked for."""

    kind = FindingKind.WRONG_ZONE


class SetupError(CarbonPolicyError):
    """The server, a work pool, a block or Docker is not as it must be."""
