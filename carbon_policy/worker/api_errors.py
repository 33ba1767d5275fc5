"""What went wrong with the Prefect API, in words that are safe to show.

The text of such an error may hold the server's address with a password in it, or what was sent: a run's parameters.
So only its kind is ever told, and there are few of them.
"""

from __future__ import annotations

from http import HTTPStatus

import httpx
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

TIMEOUT = "timeout"
NO_CONNECTION = "no-connection"
OTHER = "other"


def kind_of(error: BaseException) -> str:
    """The kind of an error: `http-503` for an answer, `timeout`, `no-connection`, or `other`."""
    status = _status_of(error)
    if status is not None:
        return f"http-{status}"
    if isinstance(error, httpx.TimeoutException):
        return TIMEOUT
    return NO_CONNECTION if isinstance(error, httpx.TransportError) else OTHER


def sentence_of(error: BaseException) -> str:
    """The error as one sentence for people, without a word of the error's own text."""
    status = _status_of(error)
    if status is not None:
        try:
            phrase = f" ({HTTPStatus(status).phrase})"
        except ValueError:
            phrase = ""
        return f"The Prefect API answered {status}{phrase}."
    if isinstance(error, httpx.TimeoutException):
        return "The Prefect API did not answer in time."
    if isinstance(error, httpx.TransportError):
        return "The Prefect API cannot be reached."
    return f"The worker met an error of the kind {type(error).__name__}."


def _status_of(error: BaseException) -> int | None:
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code
    # Prefect's client turns these two answers into errors that are not httpx's.
    if isinstance(error, ObjectNotFound):
        return int(HTTPStatus.NOT_FOUND)
    return int(HTTPStatus.CONFLICT) if isinstance(error, ObjectAlreadyExists) else None
