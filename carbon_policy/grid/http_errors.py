"""What a host answers instead of data, as an error that a source can look into."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from carbon_policy.domain.errors import SourceUnavailableError

_LONGEST_TEXT = 200


class NoAnswerError(SourceUnavailableError):
    """A host could not be reached, or broke off; it may well answer in a moment."""


class HttpStatusError(SourceUnavailableError):
    """A host answered, and not with data.

    Attributes:
        status: The HTTP status.
        said: The body's own message, without secrets; empty where it has none.
        html: Whether the body is a web page, as proxies and login walls send it.
        after_s: For how long the host asks to be left alone, seconds; `None` where it does not say.
    """

    def __init__(
        self, message: str, *, status: int, said: str = "", html: bool = False, after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.said = said
        self.html = html
        self.after_s = after_s

    def saying(self, message: str) -> HttpStatusError:
        """The same refusal in a source's own words."""
        return HttpStatusError(
            message, status=self.status, said=self.said, html=self.html, after_s=self.after_s
        )

    @property
    def is_passing(self) -> bool:
        """Whether the same question may be answered in a moment."""
        return self.status == 429 or self.status >= 500


def refusal(
    response: httpx.Response, body: bytes, longest_wait_s: float, secrets: Iterable[str]
) -> HttpStatusError:
    """The error for an answer that is no 200.

    Args:
        response: Its status and headers.
        body: Its body.
        longest_wait_s: For longer than this nobody waits.
        secrets: What was sent with the question, and must not be repeated.
    """
    host, status = response.url.host, response.status_code
    kind = response.headers.get("content-type", "")
    said = message_of(body, kind, secrets)
    begins = f"{host} answered HTTP {status}{said and f' ({said})'}"
    passing = status == 429 or status >= 500
    after_s = _retry_after_s(response) if passing else None
    if after_s is not None and after_s > longest_wait_s:
        message = f"{begins} and asks to be left alone for {after_s:.0f} s; try after that."
    elif passing:
        message = f"{begins}; try later."
    elif response.is_redirect:
        # The body may say where to, which is not for messages.
        message = (
            f"{host} answered HTTP {status} and points elsewhere, which is not followed;"
            " set the source's address."
        )
    elif status in (401, 403):
        message = f"{begins}; check the source's key and what its plan covers."
    else:
        message = f"{begins}; check the source's address and what it is asked for."
    return HttpStatusError(message, status=status, said=said, html=is_html(body, kind), after_s=after_s)


def is_html(body: bytes, content_type: str) -> bool:
    """Whether a body is a web page, whatever its header calls it."""
    return "html" in content_type.lower() or body.lstrip()[:1] == b"<"


def message_of(body: bytes, content_type: str, secrets: Iterable[str]) -> str:
    """What an error's body says of itself: its JSON's message, or short plain text; never a web page.

    Args:
        body: As it came.
        content_type: Its header.
        secrets: Blanked, should the host repeat them.
    """
    try:
        text = _message(json.loads(body))
    except (ValueError, RecursionError):
        plain = body.decode("utf-8", errors="replace").strip()
        text = "" if is_html(body, content_type) or len(plain) >= _LONGEST_TEXT else plain
    text = blanked(" ".join(text.split()), secrets)
    return text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 1]}…"


def blanked(text: str, secrets: Iterable[str]) -> str:
    """A text without the secrets that were sent with the question."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def _message(answer: Any) -> str:
    """Of `{"error": {"message"}}`, `{"error", "message"}`, `{"detail"}` and RFC 7807's problem details."""
    if isinstance(answer, str):
        return answer
    if not isinstance(answer, dict):
        return ""
    error = answer.get("error")
    parts = [error.get("message") if isinstance(error, dict) else error, answer.get("message")]
    if not any(isinstance(part, str) for part in parts):
        parts = [answer.get("title"), _details(answer.get("detail")), _details(answer.get("errors"))]
    found = [part.strip() for part in parts if isinstance(part, str) and part.strip()]
    return ": ".join(part.rstrip(":") for part in dict.fromkeys(found))


def _details(detail: Any) -> str:
    """A detail as it is; FastAPI's list of them, or RFC 7807's lists by field, as one text."""
    if isinstance(detail, str):
        return detail
    if isinstance(detail, dict):
        return "; ".join(f"{field}: {_details(said)}" for field, said in detail.items())
    if isinstance(detail, list):
        told = [one.get("msg") if isinstance(one, dict) else one for one in detail]
        return "; ".join(one for one in told if isinstance(one, str))
    return ""


def _retry_after_s(response: httpx.Response) -> float | None:
    """The seconds that the server asks to wait, as such or as a date; `None` where it does not say."""
    header = response.headers.get("retry-after", "").strip()
    if header.isdecimal():
        return float(header)
    try:
        # Its own clock, where it tells it: ours may be wrong by more than the wait.
        told = response.headers.get("date")
        now = parsedate_to_datetime(told) if told else datetime.now(UTC)
        return max(0.0, (parsedate_to_datetime(header) - now).total_seconds())
    except (TypeError, ValueError):
        return None
