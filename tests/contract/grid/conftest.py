from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from carbon_policy.grid import client


@dataclass
class Answer:
    """One HTTP answer: JSON for anything but bytes.

    `after` holds it back until it is set, and `cut` closes the connection that many bytes too early.
    """

    body: Any = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    after: threading.Event | None = None
    cut: int = 0

    def payload(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


class LocalServer:
    """A real HTTP server on an ephemeral port that says what `answer` tells it to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.answer: Callable[[str], Answer] = lambda path: Answer({})
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                outer.headers.append(dict(self.headers))
                answer = outer.answer(self.path)
                if answer.after is not None:
                    answer.after.wait(5)
                payload = answer.payload()
                try:
                    self.send_response_only(answer.status)
                    for name, value in answer.headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(payload)))
                    self.end_headers()
                    self.wfile.write(payload[: len(payload) - answer.cut])
                except (BrokenPipeError, ConnectionResetError):
                    pass  # The client had enough.
                self.close_connection = True

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def says(self, *answers: Answer) -> None:
        """Give these answers in turn, and the last one from then on."""
        left = list(answers)
        self.answer = lambda path: left.pop(0) if len(left) > 1 else left[0]


@pytest.fixture
def server() -> Iterator[LocalServer]:
    local = LocalServer()
    # The loop looks every 10 ms whether it is to end; half a second is the default.
    thread = threading.Thread(target=local.server.serve_forever, args=(0.01,))
    thread.start()
    yield local
    local.server.shutdown()
    local.server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def _hasty_client(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The client's own rules with shorter waits, an empty cache, and no proxy before localhost."""
    hasty = client.ClientPolicy(
        connect_s=1, read_s=0.2, total_s=1, backoff_s=0.01, largest_body_bytes=100_000
    )
    monkeypatch.setattr(client, "POLICY", hasty)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    client.clear_cache()
    yield
    client.clear_cache()


@pytest.fixture
def answer() -> type[Answer]:
    return Answer
