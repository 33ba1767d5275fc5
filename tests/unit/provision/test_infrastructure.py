"""Which form pools are made in where nobody says."""

from __future__ import annotations

import gc
import socket
import time
from pathlib import Path

import psutil
import pytest

from carbon_policy.provision.files import Infrastructure
from carbon_policy.provision.infrastructure import choose_infrastructure, find_docker

DOCKER, PROCESS = Infrastructure.DOCKER, Infrastructure.PROCESS


@pytest.mark.parametrize(
    ("chosen", "in_use", "version", "form", "why"),
    [
        (PROCESS, {DOCKER}, "27", PROCESS, "asked for"),
        (None, {PROCESS}, "27", PROCESS, "already"),
        (None, {PROCESS, DOCKER}, "27", DOCKER, "Docker 27 answers"),
        (None, (), "27", DOCKER, "Docker 27 answers"),
        (None, (), None, PROCESS, "no Docker engine answers"),
    ],
)
def test_the_choice_says_why(
    monkeypatch: pytest.MonkeyPatch,
    chosen: Infrastructure | None,
    in_use: set[Infrastructure],
    version: str | None,
    form: Infrastructure,
    why: str,
) -> None:
    monkeypatch.setattr("carbon_policy.provision.infrastructure.find_docker", lambda: version)
    found, sentence = choose_infrastructure(chosen, in_use)
    assert found is form
    assert why in sentence


@pytest.mark.parametrize("host", ["unix:///nowhere/docker.sock", "gibberish", "tcp://127.0.0.1:9"])
def test_no_engine_is_no_error(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    assert find_docker() is None


def test_no_socket_is_left_open_where_no_engine_answers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    nobody = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(nobody))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{nobody}")
    process = psutil.Process()
    find_docker()  # The first call opens files of its own: imports.
    gc.collect()
    gc.disable()
    try:
        before = process.num_fds()
        assert find_docker() is None
        assert process.num_fds() == before
    finally:
        gc.enable()


def test_an_engine_that_hangs_is_given_two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{hanging.getsockname()[1]}")
        started = time.monotonic()
        assert find_docker() is None
        assert time.monotonic() - started < 4
