from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings
from typer.testing import CliRunner, Result

from carbon_policy.cli.main import app
from carbon_policy.domain.errors import SourceUnavailableError
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.grid.source import Capabilities
from carbon_policy.store.history import History

RunCli = Callable[..., Result]
STEP = timedelta(minutes=30)


def floor(moment: datetime) -> datetime:
    return moment.replace(minute=moment.minute // 30 * 30, second=0, microsecond=0)


def wave(start: datetime, count: int, issued_at: datetime | None = None) -> IntensitySeries:
    """Half hours of DE, greenest at noon: 200 g/kWh, and 400 at midnight."""
    moments = [start + STEP * k for k in range(count)]
    values = (300 + 100 * math.cos(moment.timestamp() / 86400 * 2 * math.pi) for moment in moments)
    return IntensitySeries(
        zone="DE",
        start=start,
        step=STEP,
        values_gco2_per_kwh=tuple(round(value, 3) for value in values),
        source="stand-in",
        issued_at=issued_at,
    )


class StandInGrid:
    """A live source of DE that takes no account and no network: measured until an hour ago, 40 h ahead."""

    def __init__(self) -> None:
        self.asked: list[tuple[datetime, datetime]] = []
        self.begins = datetime.min.replace(tzinfo=UTC)
        self.answers = True

    def capabilities(self) -> Capabilities:
        return Capabilities(name="stand-in", zones=("DE",), horizon=timedelta(hours=40), live=True)

    def history(self, zone: str, start: datetime, end: datetime) -> IntensitySeries:
        self.asked.append((start, end))
        start = max(floor(start), self.begins)
        end = min(end, floor(datetime.now(UTC)) - 2 * STEP)
        if not self.answers or end <= start:
            raise SourceUnavailableError("it knows nothing of that time.")
        return wave(start, max(1, -(-(end - start) // STEP)))

    def forecast(self, zone: str, now: datetime) -> IntensitySeries:
        if not self.answers:
            raise SourceUnavailableError("it is out of order.")
        return wave(floor(now), 80, issued_at=floor(now))


@pytest.fixture
def ledger_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    monkeypatch.setenv("PREFECT_INTEGRATIONS_CARBON_LEDGER_URL", url)
    return url


@pytest.fixture
def history_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    url = f"sqlite:///{tmp_path / 'history.db'}"
    monkeypatch.setenv("PREFECT_INTEGRATIONS_CARBON_HISTORY_URL", url)
    return url


@pytest.fixture
def history(history_url: str) -> Iterator[History]:
    with History(history_url) as opened:
        yield opened


@pytest.fixture
def live_grid(monkeypatch: pytest.MonkeyPatch) -> StandInGrid:
    """DE's source, in place of the one on the network; no other zone has one."""
    grid = StandInGrid()

    def sources(zone: str) -> list[StandInGrid]:
        return [grid] if zone == "DE" else []

    monkeypatch.setattr("carbon_policy.outlook.chains.keyless_sources", sources)
    monkeypatch.setattr("carbon_policy.cli.checks.grid.keyless_sources", sources)
    return grid


@pytest.fixture
def run_cli(
    ledger_url: str, history_url: str, live_grid: StandInGrid, monkeypatch: pytest.MonkeyPatch
) -> Iterator[RunCli]:
    """The program with no server configured and no network, its output piped."""
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.delenv("CARBON_POLICY_DEBUG", raising=False)

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, list(arguments))

    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        yield run
