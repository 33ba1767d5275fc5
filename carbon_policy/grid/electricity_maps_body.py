"""What Electricity Maps' bodies hold: rows in four envelopes, and what a key may ask for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from carbon_policy.domain.errors import SourceUnavailableError, UnknownZoneError, WrongZoneError
from carbon_policy.domain.signal import BasisKind
from carbon_policy.domain.times import parse_moment
from carbon_policy.grid.http_errors import HttpStatusError
from carbon_policy.grid.rows import Row
from carbon_policy.grid.slots import floor, grams
from carbon_policy.grid.zones import suggest_zones

NAME = "electricity-maps"
SLOT = timedelta(hours=1)

_ENVELOPES = ("forecast", "history", "data")
# The texts that are known of a key that is good for something else.
_PLAN = ("unauthorized for zonekey", "do not have access", "endpoint not available", "not available for your")


@dataclass(frozen=True)
class Body:
    """An answer of rows.

    Attributes:
        rows: Slots as they were given.
        basis: Consumption, which is the API's default, or production where it says that flows are not traced.
        updated_at: When it was answered, UTC; `None` where it is not said.
    """

    rows: list[Row]
    basis: BasisKind
    updated_at: datetime | None


def read(answer: Any, zone: str, factor_type: str) -> Body:
    """The rows of an answer, which must be of the zone and the factors that were asked for.

    Raises:
        WrongZoneError: It is of another zone.
        SourceUnavailableError: It is made up, of other factors, or of no shape that is known here.
    """
    try:
        rows = _rows(answer)
        _refuse_sandbox([answer, *rows])
        _refuse_others([answer, *rows], zone, factor_type)
        traced = {said.get("flowTraced") for said in (answer, *rows)} - {None}
        if len(traced) > 1:
            raise ValueError("flows are traced in some slots only")
        updated = answer.get("updatedAt")
        return Body(
            rows=[_row(row) for row in rows],
            basis=BasisKind.PRODUCTION if traced == {False} else BasisKind.CONSUMPTION,
            updated_at=None if updated is None else parse_moment(updated),
        )
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise SourceUnavailableError(
            f"{NAME} answered in a shape that is not known here ({type(error).__name__}: {error});"
            " check base_url and api_version, or name another source."
        ) from error


def access_of(answer: Any, zone: str) -> frozenset[str] | None:
    """What a key may ask of a zone, such as `carbon-intensity/history`; `None` where the list does not say.

    Args:
        answer: The body of `/zones`.
        zone: Electricity Maps' key.

    Raises:
        UnknownZoneError: The zone is not in the list.
        SourceUnavailableError: It is no such list.
    """
    if (
        not isinstance(answer, dict)
        or not answer
        or not all(isinstance(one, dict) for one in answer.values())
    ):
        raise SourceUnavailableError(
            f"{NAME} answered with no list of zones; check base_url and api_version, or name another source."
        )
    if zone not in answer:
        near = " or ".join(suggest_zones(zone, tuple(answer)))
        raise UnknownZoneError(
            f"{NAME} has no zone {zone!r}; {f'did you mean {near}?' if near else 'write its key, such as DE.'}"
        )
    access = answer[zone].get("access")
    return frozenset(map(str, access)) if isinstance(access, list) else None


def allows(access: frozenset[str] | None, what: str) -> bool:
    """Whether a key may ask for `carbon-intensity/forecast` and the like; what is not said is tried."""
    return access is None or not access.isdisjoint({what, f"{what.split('/')[0]}/*", "*"})


def is_of_the_plan(error: HttpStatusError) -> bool:
    """Whether a refusal is of what the plan covers, and not of the key."""
    return error.status in (400, 402, 404, 422) or any(text in error.said.lower() for text in _PLAN)


def _rows(answer: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    for name in _ENVELOPES:
        if name in answer:
            held = answer[name]
            return [held] if isinstance(held, dict) else list(held)
    if "carbonIntensity" in answer:
        return [answer]
    raise KeyError("none of forecast, history, data, carbonIntensity")


def _refuse_sandbox(said: list[Mapping[str, Any]]) -> None:
    texts = (text for one in said for text in one.values() if isinstance(text, str))
    if any("SANDBOX" in text.upper() for text in texts):
        raise SourceUnavailableError(
            f"{NAME} answers with made-up sandbox data; give a key that is not of the sandbox."
        )


def _refuse_others(said: list[Mapping[str, Any]], zone: str, factor_type: str) -> None:
    for one in said:
        if one.get("zone", zone) != zone:
            raise WrongZoneError(
                f"{NAME} answered for {one['zone']} instead of {zone}; check the zone, or name another source."
            )
        if one.get("emissionFactorType", factor_type) != factor_type:
            raise SourceUnavailableError(
                f"{NAME} answered with {one['emissionFactorType']} factors instead of {factor_type};"
                " set emission_factor_type to what the key gives."
            )
        if one.get("temporalGranularity", "hourly") != "hourly":
            raise ValueError(f"slots that are {one['temporalGranularity']} and not hourly")
    if "zone" not in said[0] and not all("zone" in one for one in said[1:]):
        raise KeyError("zone")


def _row(row: Mapping[str, Any]) -> Row:
    start = parse_moment(row["datetime"])
    if start != floor(start, SLOT):
        raise ValueError(f"{row['datetime']} is no start of an hour")
    return Row(start, grams(row["carbonIntensity"]), bool(row.get("isEstimated")))
