"""What every carbon-intensity source is: a Prefect block with a history and a forecast."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import datetime
from typing import Annotated, Any, ClassVar, Protocol
from urllib.parse import urlsplit

from prefect.blocks.core import Block
from pydantic import AfterValidator, BaseModel, ConfigDict

from carbon_policy.domain.errors import InvalidInputError, UnknownZoneError
from carbon_policy.domain.signal import BasisKind, FactorKind, IntensitySeries, SignalKind
from carbon_policy.domain.times import Duration, parse_moment


def _address(url: str) -> str:
    if not url.startswith(("https://", "http://")) or not _has_host(url):
        # Not quoted, nor raised from what quotes it: an address may hold a user and a password.
        raise InvalidInputError("This is no address; write https:// and the host's name.")
    return url.rstrip("/")


def _has_host(url: str) -> bool:
    try:
        parts = urlsplit(url)
        # A port that is no number, such as half a password, is refused only where it is read.
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


BaseUrl = Annotated[str, AfterValidator(_address)]
"""A pydantic field: where an API is, without a path and without a slash at its end."""


class Capabilities(BaseModel):
    """What a source can be asked, and how its answers are to be read.

    Attributes:
        name: What messages call it, and what the `source` of its series begins with: the place that a zone
            stands for may follow.
        zones: The zones that it serves; `None` where that is for each question to show.
        horizon: How far ahead its forecast reaches at most.
        needs_key: Whether it takes an account.
        signal: Average or marginal.
        factors: Direct or life-cycle; `None` where each answer says it for itself.
        basis: Of what is consumed or produced; `None` where each answer says it, or nobody does.
        live: Whether it speaks of the grid as it is today.
        simulated: Whether its values are made up.
        flat: Whether hours of identical values are right for it, and no sign of a frozen feed.
        zeros: Whether 0 g/kWh is a value of it, whatever the zone's history says.
        speed: Seconds of its own time that pass in one second: 1, but for a replay.
        attribution: Licence and credit that go with the values.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    zones: tuple[str, ...] | None = None
    horizon: Duration
    needs_key: bool = False
    signal: SignalKind = SignalKind.AVERAGE
    factors: FactorKind | None = None
    basis: BasisKind | None = None
    live: bool = False
    simulated: bool = False
    flat: bool = False
    zeros: bool = False
    speed: float = 1.0
    attribution: str = ""


class IntensitySource(Protocol):
    """What the fallback chain asks: a block of the server's, or a part of this package."""

    def capabilities(self) -> Capabilities:
        """What it can be asked; answered without asking it."""

    def history(self, zone: str, start: datetime, end: datetime) -> IntensitySeries:
        """The known slots that overlap `start` to `end`, UTC."""

    def forecast(self, zone: str, now: datetime) -> IntensitySeries:
        """What is expected from the slot that contains `now`, UTC, to the horizon."""


class GridSource(Block, ABC):
    """A source of carbon intensity.

    Sources are stateless, synchronous and know no clock: `now` is always an argument. They answer
    with a dense `IntensitySeries` or raise one of `carbon_policy.domain.errors`.
    """

    # An error of one field would otherwise quote all of them, a key or a password too.
    model_config = ConfigDict(hide_input_in_errors=True)

    _logo_url: ClassVar[Any] = (
        "https://raw.githubusercontent.com/PrefectHQ/prefect/main/docs/images/favicon.svg"
    )
    _documentation_url: ClassVar[Any] = "https://github.com/prefect-carbon-policy/prefect-carbon-policy"
    _block_schema_capabilities: ClassVar[list[str] | None] = ["carbon-intensity"]

    @abstractmethod
    def capabilities(self) -> Capabilities:
        """What this source can be asked; answered without asking it."""

    @abstractmethod
    def history(self, zone: str, start: datetime, end: datetime) -> IntensitySeries:
        """What the intensity was: the known slots that overlap `start` to `end`.

        It may end before `end`, where the newest slots are not measured yet; they are never
        filled with a forecast.

        Args:
            zone: Electricity Maps' key, such as `DE`.
            start: UTC.
            end: UTC.

        Raises:
            SignalError: There is no such history, or it cannot be trusted.
            UnknownZoneError: The source does not serve the zone.
        """

    @abstractmethod
    def forecast(self, zone: str, now: datetime) -> IntensitySeries:
        """What the intensity will be, from the slot that contains `now` to the horizon.

        Args:
            zone: Electricity Maps' key, such as `DE`.
            now: UTC.

        Raises:
            SignalError: There is no such forecast, or it cannot be trusted.
            UnknownZoneError: The source does not serve the zone.
        """

    def source_name(self, zone: str) -> str:
        """What the series of a zone call their source; more than the source's own name where there is a choice.

        Args:
            zone: Electricity Maps' key.

        Raises:
            UnknownZoneError: The source does not serve the zone.
        """
        self._refuse_other_zones(zone)
        return self.capabilities().name

    def _refuse_other_zones(self, zone: str) -> None:
        known = self.capabilities()
        if known.zones is not None and zone not in known.zones:
            raise UnknownZoneError(
                f"{known.name} serves {', '.join(known.zones)}, and not {zone!r}; name another source for it."
            )


def checked_range(start: datetime, end: datetime) -> tuple[datetime, datetime]:
    """A range to ask history of, in UTC.

    Raises:
        InvalidInputError: It is empty or backwards, or a moment has no time zone.
    """
    start, end = parse_moment(start), parse_moment(end)
    if end <= start:
        raise InvalidInputError(
            f"There is no time from {start.isoformat()} to {end.isoformat()}; let it end later."
        )
    return start, end
