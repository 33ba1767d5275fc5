"""What a carbon worker tells who asks over HTTP: its metrics, whether it is well, whether it has begun."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from socket import AF_INET, AF_INET6, SHUT_RDWR
from socketserver import TCPServer, ThreadingMixIn
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

PATHS = ("/metrics", "/health", "/ready")

_IDLE_S = 5.0
"""After which a client that sends nothing is left."""


@dataclass(frozen=True)
class Health:
    """How a worker is. Everybody who reaches the port can read it: no secrets, no paths.

    Attributes:
        last_poll_s_ago: Seconds since the work pool was last polled; `None` before the first time.
        planner: Whether this worker is the one that plans.
        waiting: Runs that wait.
        placed: Placed jobs that have not ended.
        error: What is wrong with the Prefect API, as `api_errors.sentence_of` says it; `None` while it answers.
        stalled_after_s: Without a poll for so long, the worker is taken to be stuck.
    """

    last_poll_s_ago: float | None
    planner: bool
    waiting: int
    placed: int
    error: str | None = None
    stalled_after_s: float = 120.0

    @property
    def trouble(self) -> str | None:
        """What is wrong, as a sentence; `None` where all is well."""
        if self.error is None and (self.last_poll_s_ago or 0) > self.stalled_after_s:
            return f"The work pool was not polled for more than {self.stalled_after_s:g} s."
        return self.error

    @property
    def ready(self) -> bool:
        """Whether it has polled its pool, and all is well."""
        return self.last_poll_s_ago is not None and self.trouble is None

    def as_json(self) -> dict[str, Any]:
        """The answer at `/health`."""
        ago = self.last_poll_s_ago
        said = {
            "status": "ok" if self.trouble is None else "failing",
            "last_poll_s_ago": None if ago is None else round(ago, 1),
            "planner": self.planner,
            "waiting": self.waiting,
            "placed": self.placed,
        }
        return said if self.trouble is None else said | {"error": self.trouble}


class HealthServer:
    """Serves `/metrics`, `/health` and `/ready` from a thread of its own, while the context lasts.

    A port that cannot be had is a warning: a worker that nobody can watch still places runs.

    Args:
        host: The address to listen at. There is no password: beyond this machine, a network's own rules must do.
        port: 0 takes any free one; with `None` nothing is served.
        registry: The metrics.
        health: Says how the worker is; called from other threads, and must answer at once.
        logger: For what goes wrong.
    """

    def __init__(
        self,
        host: str,
        port: int | None,
        registry: CollectorRegistry,
        health: Callable[[], Health],
        logger: logging.Logger | logging.LoggerAdapter[Any],
    ) -> None:
        self._host = host
        self._port = port
        self._app = _App(registry, health)
        self._logger = logger
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int | None:
        """Where it listens; `None` where it does not."""
        return self._server.server_port if self._server is not None else None

    def __enter__(self) -> Self:
        if self._port is None:
            return self
        try:
            self._server = _Server(self._host, self._port)
        except OSError as error:
            self._logger.warning(
                "Metrics and health are not served: %s, port %s, cannot be listened at (%s). Name another port by"
                " PREFECT_INTEGRATIONS_CARBON_WORKER_PORT, or another address by"
                " PREFECT_INTEGRATIONS_CARBON_WORKER_HOST, and start the worker again. It goes on without.",
                self._host,
                self._port,
                error.strerror or type(error).__name__,
            )
            return self
        self._server.set_app(self._app)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.2,), name="carbon-policy-health", daemon=True
        )
        self._thread.start()
        self._logger.info(
            "Metrics and health are served at port %s of %s: %s.", self.port, self._host, ", ".join(PATHS)
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
        self._server = self._thread = None


class _App:
    """The answers, as WSGI."""

    def __init__(self, registry: CollectorRegistry, health: Callable[[], Health]) -> None:
        self._metrics = make_wsgi_app(registry)
        self._health = health

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path not in PATHS:
            said = {"error": "There is nothing here; ask for one of the paths.", "paths": list(PATHS)}
            return _answer(start_response, HTTPStatus.NOT_FOUND, said)
        if environ["REQUEST_METHOD"] != "GET":
            said = {"error": "This can only be read; use GET."}
            return _answer(start_response, HTTPStatus.METHOD_NOT_ALLOWED, said, ("Allow", "GET"))
        if path == "/metrics":
            answer: Iterable[bytes] = self._metrics(environ, start_response)
            return answer
        try:
            health = self._health()
        except Exception as error:
            # Its text is not ours to show; that it cannot say how it is means that it is not well.
            said = {"status": "failing", "error": f"The worker cannot say how it is: {type(error).__name__}."}
            return _answer(start_response, HTTPStatus.SERVICE_UNAVAILABLE, said)
        if path == "/ready":
            return _answer(start_response, _status(health.ready), {"ready": health.ready})
        return _answer(start_response, _status(health.trouble is None), health.as_json())


def _status(good: bool) -> HTTPStatus:
    return HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE


def _answer(
    start_response: StartResponse, status: HTTPStatus, said: dict[str, Any], *headers: tuple[str, str]
) -> Iterable[bytes]:
    body = (json.dumps(said) + "\n").encode()
    start_response(
        f"{status.value} {status.phrase}",
        [("Content-Type", "application/json"), ("Content-Length", str(len(body))), *headers],
    )
    return [body]


class _Handler(WSGIRequestHandler):
    """One request, of which nothing is logged: a scrape comes every few seconds."""

    timeout = _IDLE_S

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class _Server(ThreadingMixIn, WSGIServer):
    """A thread a request, so that a slow client keeps nobody waiting; closing ends them all."""

    def __init__(self, host: str, port: int) -> None:
        self.address_family = AF_INET6 if ":" in host else AF_INET
        self._requests: dict[threading.Thread, Any] = {}
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        """Bind, without what HTTPServer does besides: looking up the machine's name can take many seconds."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer in a thread that is kept in mind, and that never keeps the process from ending."""
        for thread in [thread for thread in self._requests if not thread.is_alive()]:
            del self._requests[thread]
        thread = threading.Thread(
            target=self.process_request_thread,
            args=(request, client_address),
            name="carbon-policy-health-request",
            daemon=True,
        )
        thread.start()
        self._requests[thread] = request

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away or said nothing is its own affair."""

    def server_close(self) -> None:
        """Stop listening, and end the requests that are still open."""
        super().server_close()
        for request in self._requests.values():
            with suppress(OSError):  # It has ended by itself.
                request.shutdown(SHUT_RDWR)
        until = time.monotonic() + _IDLE_S
        for thread in self._requests:
            thread.join(max(0.0, until - time.monotonic()))
        self._requests.clear()
