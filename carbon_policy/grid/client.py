"""How grid sources are asked over HTTP: patient for seconds, never for minutes, and in one place."""

from __future__ import annotations

import json
import ssl
import time
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import httpx
from pydantic import SecretStr
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    stop_before_delay,
    wait_exponential,
    wait_random,
)

from carbon_policy.domain.errors import SourceUnavailableError
from carbon_policy.grid.answers import Answers
from carbon_policy.grid.breaker import Breaker
from carbon_policy.grid.http_errors import HttpStatusError, NoAnswerError, refusal


@dataclass(frozen=True)
class ClientPolicy:
    """Limits of one question, however many attempts it takes.

    Attributes:
        connect_s: For a connection to stand.
        read_s: For the next bytes to come.
        total_s: For all attempts and the waits between them; after it no attempt is begun or read on.
        attempts: The first one and its retries.
        backoff_s: Wait before the first retry; it doubles, and as much again at most is added at random.
        longest_wait_s: A server that asks to be left alone for longer is left alone.
        largest_body_bytes: A longer answer is not read to its end.
    """

    connect_s: float = 3.0
    read_s: float = 8.0
    total_s: float = 15.0
    attempts: int = 3
    backoff_s: float = 0.5
    longest_wait_s: float = 5.0
    largest_body_bytes: int = 5_000_000


POLICY = ClientPolicy()
BREAKER = Breaker()
ANSWERS = Answers()


@dataclass(frozen=True)
class _Question:
    """One GET. Its secrets are read where they go out, and are in no repr.

    Attributes:
        url: Without a user and a password.
        headers: Beside our own.
        auth: User and password of Basic authentication.
    """

    url: httpx.URL
    headers: Mapping[str, SecretStr]
    auth: tuple[SecretStr, SecretStr] | None

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must appear nowhere; of `Bearer abc`, `abc` too, and what Basic authentication makes of both parts."""
        pair = [part.get_secret_value() for part in self.auth or ()]
        whole = [*pair, *(value.get_secret_value() for value in self.headers.values())]
        basic = [b64encode(":".join(pair).encode()).decode()] if pair else []
        return (*whole, *basic, *(part for value in whole for part in value.split()[1:]))

    @property
    def credentials(self) -> tuple[str, ...]:
        """What tells one asker from another."""
        told = [f"{name.lower()}={value.get_secret_value()}" for name, value in sorted(self.headers.items())]
        return (*told, *(part.get_secret_value() for part in self.auth or ()))

    @property
    def host(self) -> str:
        """The host, with its port where that is not the usual one."""
        return self.url.netloc.decode("ascii", errors="replace")


def get_json(
    url: str,
    params: Mapping[str, str | int] | None = None,
    *,
    ttl_s: float = 0.0,
    headers: Mapping[str, SecretStr] | None = None,
    auth: tuple[SecretStr, SecretStr] | None = None,
    afresh: bool = False,
) -> Any:
    """The JSON that a URL answers with.

    Errors of transport, 429 and 5xx are tried again within the limits of `POLICY`; a host that fails several
    questions in a row is left alone for a while. A redirect is not followed: what was configured is what is
    asked. Messages name the host and never the URL, which may hold a secret.

    Args:
        url: An absolute http or https URL.
        params: Its query; it is logged, so that no secret belongs there.
        ttl_s: For how long the same question of the same asker takes the same answer, seconds.
        headers: Secrets that go along, such as a key.
        auth: User and password of Basic authentication.
        afresh: Whether to ask although the answer is still kept.

    Raises:
        HttpStatusError: The host answered, and not with data; the error holds the status and what was said.
        SourceUnavailableError: There was no such answer; the message says what to do.
    """
    question = _question(url, params, headers or {}, auth)
    key = ANSWERS.key(str(question.url), question.credentials)
    kept = None if afresh else ANSWERS.get(key)
    if kept is not None:
        return kept[0]
    with BREAKER.question(question.host):
        answer = _ask(question, POLICY)
    ANSWERS.keep(key, answer, ttl_s)
    return answer


def clear_cache() -> None:
    """Forget all answers, and which hosts failed."""
    ANSWERS.clear()
    BREAKER.reset()


def _question(
    url: str,
    params: Mapping[str, str | int] | None,
    headers: Mapping[str, SecretStr],
    auth: tuple[SecretStr, SecretStr] | None,
) -> _Question:
    try:
        asked = httpx.URL(url, params=params) if params else httpx.URL(url)
    except httpx.InvalidURL:
        # Not `from error`: its message may quote the address, with a password in it.
        raise SourceUnavailableError("The source's address is no URL; correct its base_url.") from None
    if asked.userinfo:
        # httpx logs the URL with the password that it holds; as a header, it is not logged.
        auth = auth or (SecretStr(asked.username), SecretStr(asked.password))
        asked = asked.copy_with(username=None, password=None)
    if not all(_can_be_sent(value.get_secret_value()) for value in headers.values()):
        # Said here: the error of those who write the header would quote it.
        raise SourceUnavailableError(
            f"The key for {asked.host} is empty or holds what no key has; copy it anew, without blanks around it."
        )
    return _Question(asked, headers, auth)


def _can_be_sent(key: str) -> bool:
    return bool(key) and key == key.strip() and key.isascii() and key.isprintable()


def _ask(question: _Question, policy: ClientPolicy) -> Any:
    ends = time.monotonic() + policy.total_s
    jitter = wait_random(0, policy.backoff_s)
    back_off = wait_exponential(policy.backoff_s, max=policy.longest_wait_s)

    def wait(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked_for = error.after_s if isinstance(error, HttpStatusError) else None
        return (back_off(state) if asked_for is None else asked_for) + jitter(state)

    def may_pass(error: BaseException) -> bool:
        if isinstance(error, HttpStatusError):
            return error.is_passing and (error.after_s or 0) <= policy.longest_wait_s
        return isinstance(error, NoAnswerError)

    retrying = Retrying(
        wait=wait,
        stop=stop_after_attempt(policy.attempts) | stop_before_delay(policy.total_s),
        retry=retry_if_exception(may_pass),
        reraise=True,
    )
    return retrying(_attempt, question, policy, ends)


def _attempt(question: _Question, policy: ClientPolicy, ends: float) -> Any:
    url = question.url
    left_s = max(0.01, ends - time.monotonic())
    limits = httpx.Timeout(min(policy.read_s, left_s), connect=min(policy.connect_s, left_s))
    headers = {"User-Agent": _user_agent(), "Accept": "application/json"}
    headers |= {name: value.get_secret_value() for name, value in question.headers.items()}
    auth = httpx.BasicAuth(*(part.get_secret_value() for part in question.auth)) if question.auth else None
    try:
        with (
            httpx.Client(verify=_tls(), timeout=limits, headers=headers, follow_redirects=False) as client,
            client.stream("GET", url, auth=auth) as response,
        ):
            body = _body(response, policy, ends)
            if response.status_code != 200:
                raise refusal(response, body, policy.longest_wait_s, question.secrets)
            return _json(response, body)
    except httpx.TimeoutException as error:
        raise NoAnswerError(
            f"{url.host} did not answer in time; try later, or name another source."
        ) from error
    except httpx.TransportError as error:
        raise NoAnswerError(
            f"{url.host} could not be reached ({type(error).__name__}); check the network and the address."
        ) from error
    except httpx.HTTPError as error:
        raise SourceUnavailableError(
            f"{url.host} sent what is no proper HTTP ({type(error).__name__}); check the address."
        ) from error


def _body(response: httpx.Response, policy: ClientPolicy, ends: float) -> bytes:
    body = bytearray()
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) > policy.largest_body_bytes:
            raise SourceUnavailableError(
                f"{response.url.host} sent more than {policy.largest_body_bytes:,} bytes; ask for less."
            )
        if time.monotonic() > ends:
            raise NoAnswerError(f"{response.url.host} answers too slowly; try later.")
    return bytes(body)


def _json(response: httpx.Response, body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        # Not `from error`: it holds the whole body, and of a login that is a token.
        kind = response.headers.get("content-type", "no type").split(";")[0]
        raise SourceUnavailableError(
            f"{response.url.host} answered with {len(body)} bytes ({kind}) that are not JSON;"
            " check the address, or try later."
        ) from None


@cache
def _tls() -> ssl.SSLContext:
    # To read the certificates takes longer than most answers do.
    return httpx.create_ssl_context()


def _user_agent() -> str:
    try:
        return f"prefect-carbon-policy/{version('prefect-carbon-policy')}"
    except PackageNotFoundError:
        return "prefect-carbon-policy"
