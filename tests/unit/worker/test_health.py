"""What a carbon worker serves over HTTP."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest

from carbon_policy.worker.health import Health, HealthServer
from carbon_policy.worker.metrics import Metrics

WELL = Health(last_poll_s_ago=3.14159, planner=True, waiting=4, placed=2)
LOGGER = logging.getLogger("tests.worker")


@contextmanager
def served(
    health: Callable[[], Health] = lambda: WELL, metrics: Metrics | None = None
) -> Iterator[httpx.Client]:
    with (
        HealthServer("127.0.0.1", 0, (metrics or Metrics()).registry, health, LOGGER) as server,
        httpx.Client(base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as client,
    ):
        yield client


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("carbon-policy-health")]


def refuses(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_metrics_are_served_as_prometheus_reads_them() -> None:
    metrics = Metrics()
    metrics.waiting(4)
    with served(metrics=metrics) as client:
        answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    assert "carbon_policy_waiting_runs 4.0" in answer.text.splitlines()


def test_a_worker_that_is_well_says_so() -> None:
    with served() as client:
        answer, ready = client.get("/health"), client.get("/ready")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "status": "ok", "last_poll_s_ago": 3.1, "planner": True, "waiting": 4, "placed": 2,
    }  # fmt: skip
    assert (ready.status_code, ready.json()) == (200, {"ready": True})


def test_a_worker_that_reaches_no_api_is_failing() -> None:
    said = "The Prefect API did not answer in time."
    with served(lambda: Health(last_poll_s_ago=3, planner=False, waiting=4, placed=2, error=said)) as client:
        answer, ready = client.get("/health"), client.get("/ready")
    assert answer.status_code == 503
    assert answer.json()["status"] == "failing"
    assert answer.json()["error"] == said
    assert ready.status_code == 503


def test_a_worker_that_polls_no_more_is_failing() -> None:
    stuck = Health(last_poll_s_ago=31, planner=False, waiting=4, placed=2, stalled_after_s=30)
    with served(lambda: stuck) as client:
        answer = client.get("/health")
    assert answer.status_code == 503
    assert answer.json()["error"] == "The work pool was not polled for more than 30 s."


def test_before_its_first_poll_a_worker_is_well_but_not_ready() -> None:
    with served(lambda: Health(last_poll_s_ago=None, planner=False, waiting=0, placed=0)) as client:
        assert client.get("/health").json()["last_poll_s_ago"] is None
        assert client.get("/health").status_code == 200
        ready = client.get("/ready")
    assert (ready.status_code, ready.json()) == (503, {"ready": False})


def test_each_question_is_answered_anew() -> None:
    waiting = iter([1, 2])
    with served(lambda: Health(1, False, next(waiting), 0)) as client:
        assert [client.get("/health").json()["waiting"] for _ in range(2)] == [1, 2]


def test_a_worker_that_cannot_say_how_it_is_is_failing_and_tells_no_secret() -> None:
    def broken() -> Health:
        raise RuntimeError("password hunter2")

    with served(broken) as client:
        answer = client.get("/health")
    assert answer.status_code == 503
    assert answer.json() == {"status": "failing", "error": "The worker cannot say how it is: RuntimeError."}


def test_an_unknown_path_is_told_the_known_ones() -> None:
    with served() as client:
        for path in ("/", "/metric", "/health/"):
            answer = client.get(path)
            assert answer.status_code == 404
            assert answer.json()["paths"] == ["/metrics", "/health", "/ready"]


@pytest.mark.parametrize("path", ["/metrics", "/health", "/ready"])
def test_nothing_can_be_written(path: str) -> None:
    with served() as client:
        answer = client.post(path)
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET"


def test_a_port_that_is_taken_is_a_warning_and_no_end(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with HealthServer("127.0.0.1", port, Metrics().registry, lambda: WELL, LOGGER) as server:
            assert server.port is None
            assert not threads()
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert f"127.0.0.1, port {port}, cannot be listened at (Address already in use)" in record.getMessage()
    assert "PREFECT_INTEGRATIONS_CARBON_WORKER_PORT" in record.getMessage()


def test_without_a_port_nothing_is_served(caplog: pytest.LogCaptureFixture) -> None:
    with HealthServer("127.0.0.1", None, Metrics().registry, lambda: WELL, LOGGER) as server:
        assert server.port is None
        assert not threads()
    assert not caplog.records


def test_nothing_is_left_after_it() -> None:
    with HealthServer("127.0.0.1", 0, Metrics().registry, lambda: WELL, LOGGER) as server:
        port = server.port
        assert port is not None
        assert httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False).status_code == 200
    assert server.port is None
    assert not threads()
    assert refuses(port)
    # The port can be had again at once: a worker that is started anew finds it.
    with HealthServer("127.0.0.1", port, Metrics().registry, lambda: WELL, LOGGER) as again:
        assert again.port == port


def test_it_closes_when_the_worker_fails() -> None:
    with pytest.raises(ValueError, match="broken"), served():
        raise ValueError("broken")
    assert not threads()


def test_a_client_that_says_nothing_keeps_nobody_waiting() -> None:
    with HealthServer("127.0.0.1", 0, Metrics().registry, lambda: WELL, LOGGER) as server:
        assert server.port is not None
        with socket.create_connection(("127.0.0.1", server.port)) as silent:
            assert httpx.get(f"http://127.0.0.1:{server.port}/ready", trust_env=False).status_code == 200
            assert "carbon-policy-health-request" in threads()
            server.__exit__(None, None, None)
            assert not threads()
            assert silent.recv(1) == b""
