"""What a machine says of its carbon workers."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from carbon_policy.orchestration.settings import CarbonSettings

PREFIX = "PREFECT_INTEGRATIONS_CARBON_WORKER_"


def test_a_worker_is_told_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PORT": "9464", "HOST": "::1", "THREADS": "3"}.items():
        monkeypatch.setenv(PREFIX + name, value)
    settings = CarbonSettings()
    assert (settings.worker_port, settings.worker_host, settings.worker_threads) == (9464, "::1", 3)


def test_unless_told_a_worker_serves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PORT", "HOST", "THREADS"):
        monkeypatch.delenv(PREFIX + name, raising=False)
    settings = CarbonSettings()
    assert (settings.worker_port, settings.worker_host, settings.worker_threads) == (None, "127.0.0.1", 8)


@pytest.mark.parametrize(
    ("name", "value"), [("PORT", "65536"), ("PORT", "-1"), ("HOST", ""), ("THREADS", "0")]
)
def test_what_cannot_be_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(PREFIX + name, value)
    with pytest.raises(ValidationError, match=f"worker_{name.lower()}"):
        CarbonSettings()
