"""Every way in which a host can fail, for every source that asks one: an error of ours, in time, without a secret."""

from __future__ import annotations

import base64
import logging
import re
import threading
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

import pytest

from carbon_policy.domain.errors import CarbonPolicyError, SignalError, SourceUnavailableError, WrongZoneError
from carbon_policy.domain.finding import FindingKind
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.grid.breaker import HostLeftAloneError
from carbon_policy.grid.http_errors import HttpStatusError
from carbon_policy.grid.source import GridSource
from tests.support.grid_apis import APIS, NOW, PASSWORD, SECRETS, USER, Api

BASIC = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
WHAT_TO_DO = re.compile(r"\b(check|try|name another|set|ask|correct|change|write|give)\b", re.IGNORECASE)
HTML = {"Content-Type": "text/html; charset=utf-8"}
NGINX = b"<html><head><title>403 Forbidden</title></head><body><center>nginx</center></body></html>"

ASKS: dict[str, Callable[[GridSource, str], IntensitySeries]] = {
    "forecast": lambda source, zone: source.forecast(zone, NOW),
    "history": lambda source, zone: source.history(zone, NOW - timedelta(hours=3), NOW),
}

# A source, and where it fails: at everything that it asks, or only once it is let in.
PLACES = {
    **{name: (api, "") for name, api in APIS.items()},
    **{f"{name}, once inside": (api, api.at_the_door) for name, api in APIS.items() if api.at_the_door},
}

# Where data are answered: what comes before them, a login or a list of zones, has no rows.
AT_DATA = [name for name, (api, door) in PLACES.items() if door or not api.at_the_door]
WITH_ZONE = [name for name in AT_DATA if PLACES[name][0].moved is not None]


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> tuple[Api, str]:
    return PLACES[request.param]


@pytest.fixture(params=ASKS)
def ask(request: pytest.FixtureRequest) -> Callable[[GridSource, str], IntensitySeries]:
    return ASKS[request.param]


@pytest.fixture
def fails(
    server: Any,
    answer: Any,
    place: tuple[Api, str],
    ask: Callable[[GridSource, str], IntensitySeries],
    caplog: pytest.LogCaptureFixture,
) -> Callable[..., SignalError]:
    """Answers every question with what is given and takes the error, which must be fit to be shown."""
    api, door = place

    def fails(
        respond: Callable[[Any], Any], expected: type[SignalError] = SourceUnavailableError
    ) -> SignalError:
        caplog.set_level(logging.DEBUG)

        def by_path(path: str) -> Any:
            body = api.answer(path)
            return answer(body) if door and urlsplit(path).path == door else respond(body)

        server.answer = by_path
        with pytest.raises(expected) as caught:
            ask(api.source(server.url), api.zone)
        error = caught.value
        assert_fit(error, caplog.text, api)
        return error

    return fails


def assert_fit(error: BaseException, log: str, api: Api) -> None:
    """It names the host or the source, says what to do, and gives no secret away, nor does the log."""
    name = api.source("http://localhost").capabilities().name
    message = str(error)
    assert "127.0.0.1" in message or name in message
    assert message.count(f"{name}:") <= 1
    assert WHAT_TO_DO.search(message), message
    assert message.endswith(".")
    told = [log, *traceback.format_exception(error)]
    for one in chain(error):
        told += [str(one), repr(one), repr(one.args), repr(getattr(one, "said", ""))]
    for secret in (*SECRETS, BASIC):
        assert not any(secret in text for text in told)


def chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            yield one
            waiting += [one.__cause__, one.__context__]


def most_asked(server: Any) -> int:
    """How often one and the same question was asked."""
    return max(Counter(server.asked).values())


def echo(server: Any) -> str:
    """What the server was sent, as a careless one repeats it."""
    sent = server.headers[-1]
    authorization = sent.get("Authorization", "")
    pair = base64.b64decode(authorization[6:]).decode() if authorization.startswith("Basic ") else ""
    return f"no: {sent.get('auth-token', '')} {authorization} {pair.replace(':', ' ')}"


@pytest.mark.parametrize("status", [400, 404, 422])
def test_a_question_that_is_refused_is_not_asked_again(
    server: Any, answer: Any, fails: Callable[..., SignalError], status: int
) -> None:
    error = fails(lambda body: answer({"error": {"message": "No such thing."}}, status=status))
    assert isinstance(error, HttpStatusError)
    assert error.status == status
    assert "No such thing." in str(error)
    assert most_asked(server) == 1


@pytest.mark.parametrize("status", [401, 403])
def test_an_asker_who_is_refused_is_told_so_without_the_key(
    server: Any, answer: Any, fails: Callable[..., SignalError], status: int
) -> None:
    error = fails(lambda body: answer({"error": echo(server)}, status=status))
    assert isinstance(error, HttpStatusError)
    assert error.status == status
    # A token that has lapsed is renewed, once.
    assert most_asked(server) <= 2


def test_a_web_page_that_forbids_is_no_answer(
    server: Any, answer: Any, fails: Callable[..., SignalError]
) -> None:
    error = fails(lambda body: answer(NGINX, status=403, headers=HTML))
    assert isinstance(error, HttpStatusError)
    assert error.html
    assert "nginx" not in str(error)
    assert most_asked(server) <= 2


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_may_pass_is_tried_three_times(
    server: Any, answer: Any, fails: Callable[..., SignalError], status: int
) -> None:
    error = fails(lambda body: answer({"message": echo(server)}, status=status))
    assert isinstance(error, HttpStatusError)
    assert error.status == status
    assert most_asked(server) == 3


def test_what_passes_is_answered(
    server: Any, answer: Any, place: tuple[Api, str], ask: Callable[[GridSource, str], IntensitySeries]
) -> None:
    api, _ = place
    failed: set[str] = set()

    def by_path(path: str) -> Any:
        if path not in failed:
            failed.add(path)
            return answer(status=503, headers={"Retry-After": "0"})
        return answer(api.answer(path))

    server.answer = by_path
    assert ask(api.source(server.url), api.zone).zone == api.zone
    assert most_asked(server) == 2


@pytest.mark.parametrize("after", ["3600", "Sun, 22 Nov 2026 07:17:42 GMT"])
def test_a_host_that_asks_to_be_left_alone_is_left_alone(
    server: Any,
    answer: Any,
    place: tuple[Api, str],
    ask: Callable[[GridSource, str], IntensitySeries],
    fails: Callable[..., SignalError],
    after: str,
) -> None:
    headers = {"Date": "Sun, 22 Nov 2026 06:17:42 GMT", "Retry-After": after}
    error = fails(lambda body: answer(status=429, headers=headers))
    assert "left alone for 3600 s; try after that" in str(error)
    assert most_asked(server) == 1
    asked = len(server.asked)
    with pytest.raises(HostLeftAloneError, match=r"for 3\d\d\d s more"):
        ask(place[0].source(server.url), place[0].zone)
    assert len(server.asked) == asked


def test_a_slow_host_is_given_up(server: Any, answer: Any, fails: Callable[..., SignalError]) -> None:
    release = threading.Event()
    try:
        error = fails(lambda body: answer(body, after=release))
    finally:
        release.set()
    assert "did not answer in time" in str(error)
    assert most_asked(server) <= 3


def test_an_answer_that_breaks_off_is_no_answer(
    server: Any, answer: Any, fails: Callable[..., SignalError]
) -> None:
    error = fails(lambda body: answer(body, cut=5))
    assert "could not be reached" in str(error)
    assert most_asked(server) == 3


def test_a_redirect_is_not_followed(server: Any, answer: Any, fails: Callable[..., SignalError]) -> None:
    elsewhere = {"Location": "http://elsewhere.example.org/"}
    error = fails(lambda body: answer({"message": "elsewhere"}, status=302, headers=elsewhere))
    assert "points elsewhere, which is not followed" in str(error)
    assert "example.org" not in str(error)
    assert most_asked(server) == 1


@pytest.mark.parametrize("body", [b"", b"<html>Down for maintenance</html>", b'{"data": [', b"\xff\xfe"])
def test_what_is_not_json_is_named(
    server: Any, answer: Any, fails: Callable[..., SignalError], body: bytes
) -> None:
    error = fails(lambda _: answer(body, headers=HTML))
    assert "(text/html) that are not JSON" in str(error)
    assert most_asked(server) == 1


@pytest.mark.parametrize(
    "body", [None, [], {}, 7, "no", [None], {"data": 7}, {"data": [[]]}, {"error": "no"}]
)
def test_json_of_another_shape_is_named(
    server: Any, answer: Any, fails: Callable[..., SignalError], body: Any
) -> None:
    fails(lambda _: answer(body), SignalError)
    assert most_asked(server) == 1


@pytest.mark.parametrize("place", WITH_ZONE, indirect=True)
def test_another_zone_than_was_asked_for_is_refused(
    server: Any, answer: Any, place: tuple[Api, str], fails: Callable[..., SignalError]
) -> None:
    error = fails(lambda body: answer(place[0].moved(body)), WrongZoneError)
    assert error.kind is FindingKind.WRONG_ZONE
    assert "answered for" in str(error)


def emptied(api: Api, body: Any) -> Any:
    holder, key = api.rows(body)
    holder[key] = []
    return holder[0] if isinstance(key, int) else body


def nulled(api: Api, body: Any) -> Any:
    """All values null, in the two ways in which rows hold them."""
    if "unix_seconds" in body:
        nothing = [None] * len(body["unix_seconds"])
        return body | {"co2eq": nothing, "co2eq_forecast": nothing}
    holder, key = api.rows(body)
    for row in holder[key]:
        for name in api.value_keys:
            if name in row:
                row[name] = {"forecast": None, "actual": None} if name == "intensity" else None
    return body


def as_a_dict(api: Api, body: Any) -> Any:
    """The rows under names instead of in a list."""
    holder, key = api.rows(body)
    holder[key] = {str(number): row for number, row in enumerate(holder[key])}
    return holder[0] if isinstance(key, int) else body


@pytest.mark.parametrize("place", AT_DATA, indirect=True)
@pytest.mark.parametrize("change", [emptied, nulled, as_a_dict])
def test_no_rows_only_nulls_and_a_dict_for_a_list_are_named(
    server: Any,
    answer: Any,
    place: tuple[Api, str],
    fails: Callable[..., SignalError],
    change: Callable[[Api, Any], Any],
) -> None:
    fails(lambda body: answer(change(place[0], body)), SignalError)
    assert most_asked(server) == 1


def test_an_empty_range_is_not_asked_for(server: Any, answer: Any, place: tuple[Api, str]) -> None:
    api, _ = place
    for start, end in pairwise([NOW, NOW, NOW - timedelta(hours=1)]):
        with pytest.raises(CarbonPolicyError, match="let it end later"):
            api.source(server.url).history(api.zone, start, end)
    assert server.asked == []


def test_a_host_that_keeps_failing_is_left_alone(
    server: Any, answer: Any, place: tuple[Api, str], ask: Callable[[GridSource, str], IntensitySeries]
) -> None:
    api, door = place
    server.answer = lambda path: (
        answer(api.answer(path)) if door and urlsplit(path).path == door else answer(status=500)
    )
    for _ in range(3):
        with pytest.raises(HttpStatusError):
            ask(api.source(server.url), api.zone)
    asked = len(server.asked)
    with pytest.raises(HostLeftAloneError, match="after 3 failed questions in a row"):
        ask(api.source(server.url), api.zone)
    assert len(server.asked) == asked


def test_a_host_that_is_not_there_is_named(
    server: Any,
    place: tuple[Api, str],
    ask: Callable[[GridSource, str], IntensitySeries],
    caplog: pytest.LogCaptureFixture,
) -> None:
    api, _ = place
    server.server.socket.close()
    with pytest.raises(SourceUnavailableError, match="could not be reached") as caught:
        ask(api.source(server.url), api.zone)
    assert_fit(caught.value, caplog.text, api)
