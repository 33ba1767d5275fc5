"""The Prefect server that a command talks to, and what to say when it is not there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import WorkerStatus
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import get_current_settings

from carbon_policy.domain.errors import SetupError

_HOW_TO_CONNECT = (
    "Start one with `prefect server start`, and point here with"
    " `prefect config set PREFECT_API_URL=http://127.0.0.1:4200/api`, or with the environment variable of that name."
)
_HOW_TO_SIGN_IN = (
    "Set PREFECT_API_KEY for Prefect Cloud, or PREFECT_API_AUTH_STRING for a server of your own."
)


class NoServerError(SetupError):
    """There is no Prefect server to talk to."""


@contextmanager
def connected() -> Iterator[SyncPrefectClient]:
    """A client of the configured server, which has answered.

    Raises:
        NoServerError: None is configured, or it cannot be reached; the message says what to do.
        SetupError: It refused something later on.
    """
    url = get_current_settings().api.url
    if not url:
        raise NoServerError(f"No Prefect server is configured. {_HOW_TO_CONNECT}")
    with get_client(sync_client=True) as client:
        unwell = client.api_healthcheck()
        if unwell is not None:
            remedy = _HOW_TO_SIGN_IN if _is_sign_in(unwell) else _HOW_TO_CONNECT
            raise NoServerError(f"The Prefect server at {url} cannot be used: {_reason(unwell)}. {remedy}")
        try:
            yield client
        except (httpx.HTTPError, ObjectNotFound) as error:
            remedy = f" {_HOW_TO_SIGN_IN}" if _is_sign_in(error) else ""
            raise SetupError(f"The Prefect server at {url} failed: {_reason(error)}.{remedy}") from error


def online_workers(client: SyncPrefectClient, pool: str) -> list[str]:
    """The names of a pool's workers that were heard of lately."""
    workers = client.read_workers_for_work_pool(pool)
    return sorted(worker.name for worker in workers if worker.status is WorkerStatus.ONLINE)


def _is_sign_in(error: Exception) -> bool:
    return isinstance(error, httpx.HTTPStatusError) and error.response.status_code in (
        httpx.codes.UNAUTHORIZED,
        httpx.codes.FORBIDDEN,
    )


def _reason(error: Exception) -> str:
    if isinstance(error, ObjectNotFound):
        error = error.http_exc
    if isinstance(error, PrefectHTTPStatusError):
        try:
            detail = error.response.json()["detail"]
        except (ValueError, KeyError, TypeError):
            detail = error.response.reason_phrase
        return f"it says {error.response.status_code}: {detail}"
    return str(error).rstrip(".") or type(error).__name__
