"""What the server refuses for good, told from what it cannot do now: the one is for the user, the other is repeated."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from prefect.exceptions import PrefectHTTPStatusError

from carbon_policy.domain.errors import InvalidInputError

_FOR_GOOD = (
    # Parameters that cannot be filled in.
    httpx.codes.BAD_REQUEST,
    # Parameters that do not fit the flow's schema.
    httpx.codes.CONFLICT,
    # Job variables that do not fit the pool's template.
    httpx.codes.UNPROCESSABLE_ENTITY,
)


@contextmanager
def refused_input(what: str) -> Iterator[None]:
    """Tell the user what the server refuses.

    Args:
        what: Says who refuses what; the server's own words follow it.

    Raises:
        InvalidInputError: The server refuses it, and would again.
    """
    try:
        yield
    except PrefectHTTPStatusError as error:
        if error.response.status_code not in _FOR_GOOD:
            raise
        raise InvalidInputError(f"{what}: {_detail(error.response)}") from error


def _detail(response: httpx.Response) -> str:
    try:
        return str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return response.text
