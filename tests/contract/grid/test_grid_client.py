from __future__ import annotations

import base64
import logging
import threading
import time
from typing import Any

import pytest
from pydantic import SecretStr

from carbon_policy.domain.errors import SourceUnavailableError
from carbon_policy.grid import client
from carbon_policy.grid.breaker import Breaker, HostLeftAloneError
from carbon_policy.grid.client import get_json
from carbon_policy.grid.http_errors import HttpStatusError


class Clock:
    """Monotonic seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the cache and of the breaker."""
    clock = Clock()
    monkeypatch.setattr(client.ANSWERS, "clock", clock)
    monkeypatch.setattr(client.BREAKER, "clock", clock)
    return clock


def secret(text: str) -> SecretStr:
    return SecretStr(text)


def test_json_is_given_and_we_say_who_asks(server: Any, answer: Any) -> None:
    server.says(answer({"data": [1]}))
    assert get_json(f"{server.url}/a", {"zone": "DE"}) == {"data": [1]}
    assert server.asked == ["/a?zone=DE"]
    assert server.headers[0]["User-Agent"].startswith("prefect-carbon-policy/")


def test_the_same_question_is_asked_once_while_its_answer_lasts(
    server: Any, answer: Any, clock: Clock
) -> None:
    server.says(answer({"n": 1}), answer({"n": 2}), answer({"n": 3}))
    assert [get_json(f"{server.url}/a", ttl_s=60) for _ in range(3)] == [{"n": 1}] * 3
    assert get_json(f"{server.url}/b", ttl_s=30) == {"n": 2}
    clock.now_s += 29
    assert get_json(f"{server.url}/b", ttl_s=30) == {"n": 2}
    clock.now_s += 1
    assert get_json(f"{server.url}/b", ttl_s=30) == {"n": 3}


def test_a_failure_is_not_kept(server: Any, answer: Any) -> None:
    server.says(answer(status=400), answer({"n": 1}))
    with pytest.raises(SourceUnavailableError):
        get_json(f"{server.url}/a", ttl_s=60)
    assert get_json(f"{server.url}/a", ttl_s=60) == {"n": 1}


def test_the_cache_does_not_grow_for_ever(server: Any, answer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client.ANSWERS, "size", 2)
    server.says(answer({}))
    for path in "abc":
        get_json(f"{server.url}/{path}", ttl_s=60)
    assert len(client.ANSWERS) == 2


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again(server: Any, answer: Any, status: int) -> None:
    server.says(answer(status=status), answer(status=status), answer({"ok": True}))
    assert get_json(f"{server.url}/a") == {"ok": True}
    assert len(server.asked) == 3


def test_after_three_attempts_it_is_said(server: Any, answer: Any) -> None:
    server.says(answer(status=503))
    with pytest.raises(SourceUnavailableError, match=r"^127.0.0.1 answered HTTP 503; try later\.$"):
        get_json(f"{server.url}/a")
    assert len(server.asked) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_what_will_not_pass_is_not_tried_again(server: Any, answer: Any, status: int) -> None:
    server.says(answer({"error": {"message": "Please enter a valid region ID."}}, status=status))
    with pytest.raises(
        SourceUnavailableError, match=rf"HTTP {status} \(Please enter a valid region ID\.\); check"
    ):
        get_json(f"{server.url}/a")
    assert len(server.asked) == 1


def test_a_server_that_asks_to_wait_is_waited_for(server: Any, answer: Any) -> None:
    server.says(answer(status=429, headers={"Retry-After": "0"}), answer({"ok": True}))
    assert get_json(f"{server.url}/a") == {"ok": True}


def test_a_server_that_asks_to_be_left_alone_is_left_alone(server: Any, answer: Any) -> None:
    server.says(answer(status=429, headers={"Retry-After": "3600"}))
    with pytest.raises(SourceUnavailableError, match="left alone for 3600 s"):
        get_json(f"{server.url}/a")
    assert len(server.asked) == 1


DATE = {"Date": "Sun, 22 Nov 2026 06:00:00 GMT"}


@pytest.mark.parametrize(
    "headers",
    [
        DATE | {"Retry-After": "Sun, 22 Nov 2026 06:00:00 GMT"},
        DATE | {"Retry-After": "Sun, 22 Nov 2026 05:00:00 GMT"},
        DATE | {"Retry-After": "soon"},
    ],
    ids=["now", "past", "no date"],
)
def test_a_wait_that_is_a_date_is_reckoned_by_the_servers_own_clock(
    server: Any, answer: Any, headers: dict[str, str]
) -> None:
    server.says(answer(status=429, headers=headers), answer({"ok": True}))
    assert get_json(f"{server.url}/a") == {"ok": True}


def test_a_date_far_away_is_not_waited_for(server: Any, answer: Any) -> None:
    server.says(answer(status=503, headers=DATE | {"Retry-After": "Sun, 22 Nov 2026 06:10:00 GMT"}))
    with pytest.raises(HttpStatusError, match="left alone for 600 s"):
        get_json(f"{server.url}/a")
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(server: Any, answer: Any, status: int) -> None:
    server.says(answer(status=status, headers={"Location": "http://elsewhere.example.org/secret"}))
    with pytest.raises(SourceUnavailableError, match="points elsewhere, which is not followed") as refused:
        get_json(f"{server.url}/a")
    assert "elsewhere.example.org" not in str(refused.value)
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "body", [b"", b"<html>maintenance</html>", b'{"data": [{"from"', b"\xff\xfe", b"[" * 90_000]
)
def test_what_is_not_json_is_refused(server: Any, answer: Any, body: bytes) -> None:
    server.says(answer(body, headers={"Content-Type": "text/html; charset=utf-8"}))
    with pytest.raises(SourceUnavailableError, match=rf"{len(body)} bytes \(text/html\) that are not JSON"):
        get_json(f"{server.url}/a")


def test_an_answer_that_breaks_off_is_tried_again(server: Any, answer: Any) -> None:
    server.says(answer({"data": [1, 2, 3]}, cut=5), answer({"ok": True}))
    assert get_json(f"{server.url}/a") == {"ok": True}
    server.says(answer({"data": [1, 2, 3]}, cut=5))
    with pytest.raises(SourceUnavailableError, match="could not be reached"):
        get_json(f"{server.url}/a")


def test_a_slow_answer_is_given_up_in_bounded_time(server: Any, answer: Any) -> None:
    release = threading.Event()
    server.says(answer({}, after=release))
    began = time.monotonic()
    with pytest.raises(SourceUnavailableError, match="did not answer in time"):
        get_json(f"{server.url}/a")
    assert time.monotonic() - began < 2
    release.set()


def test_an_answer_that_is_packed_wrongly_is_refused(server: Any, answer: Any) -> None:
    server.says(answer(b"no zip at all", headers={"Content-Encoding": "gzip"}))
    with pytest.raises(SourceUnavailableError, match=r"no proper HTTP \(DecodingError\)"):
        get_json(f"{server.url}/a")


def test_an_endless_answer_is_not_read_to_its_end(server: Any, answer: Any) -> None:
    server.says(answer(b"[" + b"1," * 100_000 + b"1]"))
    with pytest.raises(SourceUnavailableError, match="more than 100,000 bytes"):
        get_json(f"{server.url}/a")


def test_a_server_that_is_not_there_is_named_without_secrets(server: Any) -> None:
    port = server.server.server_port
    server.server.socket.close()
    with pytest.raises(
        SourceUnavailableError, match=r"127\.0\.0\.1 could not be reached \(ConnectError\)"
    ) as refused:
        get_json(f"http://someone:hunter2@127.0.0.1:{port}/a", {"key": "hunter2"})
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("url", ["http://[", "ftp://127.0.0.1/a", "127.0.0.1/a"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(SourceUnavailableError):
        get_json(url)


def fails(server: Any, times: int = 3) -> None:
    for _ in range(times):
        with pytest.raises(SourceUnavailableError):
            get_json(f"{server.url}/a")


def test_a_host_that_fails_three_times_in_a_row_is_left_alone_for_a_minute(
    server: Any, answer: Any, clock: Clock
) -> None:
    server.says(answer(status=500))
    fails(server)
    asked = len(server.asked)
    with pytest.raises(
        HostLeftAloneError, match=r"127\.0\.0\.1:\d+ is left alone for 60 s more, after 3 failed"
    ):
        get_json(f"{server.url}/b")
    clock.now_s += 59.5
    with pytest.raises(HostLeftAloneError, match="for 1 s more"):
        get_json(f"{server.url}/b")
    assert len(server.asked) == asked


def test_one_question_decides_whether_it_is_asked_again(server: Any, answer: Any, clock: Clock) -> None:
    server.says(answer(status=500))
    fails(server)
    clock.now_s += 60
    fails(server, 1)
    with pytest.raises(HostLeftAloneError, match="for 60 s more, after 4 failed"):
        get_json(f"{server.url}/a")
    clock.now_s += 60
    server.says(answer({}))
    assert get_json(f"{server.url}/a") == {}
    server.says(answer(status=500))
    fails(server, 2)
    server.says(answer({}))
    assert get_json(f"{server.url}/a") == {}


def test_only_one_question_tries_a_host_that_failed() -> None:
    clock = Clock()
    breaker = Breaker(clock=clock)
    for _ in range(3):
        with pytest.raises(HttpStatusError), breaker.question("grid"):
            raise HttpStatusError("no", status=500)
    clock.now_s += 60
    with breaker.question("grid"):
        with pytest.raises(HostLeftAloneError), breaker.question("grid"):
            pytest.fail("a second probe was let through")
        with breaker.question("another"):
            pass
    with breaker.question("grid"), breaker.question("grid"):
        pass


def test_of_many_who_ask_at_once_one_tries_a_host_that_failed(server: Any, answer: Any, clock: Clock) -> None:
    server.says(answer(status=500))
    fails(server)
    clock.now_s += 60
    release, tried = threading.Event(), len(server.asked)
    server.says(answer({"ok": True}, after=release))
    refused = threading.Semaphore(0)
    outcomes: list[Any] = []

    def ask() -> None:
        try:
            outcomes.append(get_json(f"{server.url}/a"))
        except HostLeftAloneError as error:
            outcomes.append(error)
            refused.release()

    askers = [threading.Thread(target=ask) for _ in range(6)]
    for asker in askers:
        asker.start()
    for _ in range(5):
        assert refused.acquire(timeout=5)
    release.set()
    for asker in askers:
        asker.join()
    assert len(server.asked) == tried + 1
    assert outcomes.count({"ok": True}) == 1


def test_a_probe_that_ends_in_a_bug_of_ours_leaves_the_breaker_usable() -> None:
    clock = Clock()
    breaker = Breaker(failures=1, clock=clock)
    with pytest.raises(HttpStatusError), breaker.question("grid"):
        raise HttpStatusError("no", status=500)
    clock.now_s += 60
    with pytest.raises(ZeroDivisionError), breaker.question("grid"):
        raise ZeroDivisionError
    clock.now_s += 60
    with breaker.question("grid"):
        pass


def test_a_host_that_refuses_is_there(server: Any, answer: Any, clock: Clock) -> None:
    server.says(answer(status=404))
    fails(server, 5)
    server.says(answer(b"<html>"))
    fails(server, 5)
    assert len(server.asked) == 10


def test_a_host_that_asks_to_be_left_alone_is_not_asked_until_then(
    server: Any, answer: Any, clock: Clock
) -> None:
    server.says(answer(status=429, headers={"Retry-After": "600"}), answer({}))
    fails(server, 1)
    clock.now_s += 599
    with pytest.raises(HostLeftAloneError, match="for 1 s more, after a failed question"):
        get_json(f"{server.url}/a")
    clock.now_s += 1
    assert get_json(f"{server.url}/a") == {}


def test_secrets_go_out_as_headers_and_nowhere_else(
    server: Any, answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.says(answer({"ok": True}))
    get_json(f"{server.url}/a", headers={"auth-token": secret("hunter2")})
    get_json(f"{server.url}/a", auth=(secret("someone"), secret("hunter2")))
    address = server.url.replace("://", "://someone:hunter2@")
    get_json(f"{address}/a")
    basic = "Basic " + base64.b64encode(b"someone:hunter2").decode()
    assert server.headers[0]["auth-token"] == "hunter2"
    assert server.headers[1]["Authorization"] == server.headers[2]["Authorization"] == basic
    assert "HTTP Request" in caplog.text
    assert "hunter2" not in caplog.text


def test_the_answer_of_one_asker_is_not_anothers(server: Any, answer: Any) -> None:
    server.says(*(answer({"n": n}) for n in range(9)))

    def asks(**who: Any) -> Any:
        return get_json(f"{server.url}/a", ttl_s=60, **who)["n"]

    mine, yours = {"auth-token": secret("mine")}, {"auth-token": secret("yours")}
    assert [asks(headers=mine), asks(headers=yours), asks(), asks(headers=mine), asks()] == [0, 1, 2, 0, 2]
    me, you = (secret("me"), secret("pw")), (secret("you"), secret("pw"))
    assert [asks(auth=me), asks(auth=you), asks(auth=me)] == [3, 4, 3]
    assert "mine" not in repr(vars(client.ANSWERS))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"error": {"message": "Please enter a valid region ID."}}, "Please enter a valid region ID."),
        ({"error": "Invalid scope.", "message": "You lack access"}, "Invalid scope.: You lack access"),
        ({"detail": "Not Found"}, "Not Found"),
        ({"detail": [{"loc": ["query"], "msg": "field required"}]}, "field required"),
        (
            {"title": "One or more errors occurred.", "status": 400, "errors": {"location": ["is required"]}},
            "One or more errors occurred.: location: is required",
        ),
        (b"'xx' is not the code for an available country.", "'xx' is not the code for an available country."),
        (b"Access denied", "Access denied"),
        ({"error": "key hunter2 is unknown"}, "key *** is unknown"),
        (b"<html><h1>403 Forbidden</h1></html>", ""),
        (b"x" * 200, ""),
        ({"error": "y" * 900}, "y" * 199 + "…"),
        (b"", ""),
        ([1], ""),
    ],
)
def test_what_a_refusal_says_is_kept(server: Any, answer: Any, body: Any, said: str) -> None:
    server.says(answer(body, status=403))
    with pytest.raises(HttpStatusError) as refused:
        get_json(f"{server.url}/a", headers={"auth-token": secret("hunter2")})
    assert refused.value.status == 403
    assert refused.value.said == said
    assert refused.value.html is (isinstance(body, bytes) and body.startswith(b"<"))
    assert (f"({said})" in str(refused.value)) is bool(said)
