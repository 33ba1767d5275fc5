from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import URL

from carbon_policy.domain.ledger import LedgerEntry
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.store import History, Ledger
from tests.support.postgresql import NoPostgresqlError, database, postgresql

START = datetime(2026, 11, 22, 6, tzinfo=UTC)


@pytest.fixture
def make_entry() -> Callable[..., LedgerEntry]:
    """An entry with settled grams; any field by keyword, and `hour` to start so much later."""

    def make(job_run_id: str = "run-1", hour: float = 0, **fields: Any) -> LedgerEntry:
        started_at = START + timedelta(hours=hour)
        known: dict[str, Any] = {
            "job_run_id": job_run_id,
            "flow": "train",
            "site": "fast",
            "tier": "fast",
            "zone": "DE",
            "reason": "greenest-now",
            "state": "COMPLETED",
            "submitted_at": started_at,
            "started_at": started_at,
            "ended_at": started_at + timedelta(hours=1),
            "energy_kwh": 0.1,
            "measured_kwh": 0.0,
            "estimated_kwh": 0.1,
            "energy_methods": "site-power-estimate",
            "gco2": 30.0,
            "counterfactual_gco2": 42.0,
        }
        return LedgerEntry(**known | fields)

    return make


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[URL]:
    """One real server for all tests that need one; without it they are skipped, but on CI they fail."""
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(postgresql())
        except NoPostgresqlError as error:
            if os.environ.get("CI", "").lower() in ("true", "1"):
                pytest.fail(f"CI must run the PostgreSQL tests: {error}")
            pytest.skip(str(error))
        yield server


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'ledger.db'}"


@pytest.fixture
def postgresql_url(postgresql_server: URL) -> Iterator[str]:
    with database(postgresql_server) as url:
        yield url.render_as_string(hide_password=False)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    """A database that does not exist yet, of each kind in turn."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    with Ledger(url) as opened:
        yield opened


@pytest.fixture
def history(url: str) -> Iterator[History]:
    with History(url) as opened:
        yield opened


@pytest.fixture
def make_series() -> Callable[..., IntensitySeries]:
    """Measured hours of Germany from `START`; `hour` to start so much later, any field by keyword."""

    def make(*values: float, hour: float = 0, **fields: Any) -> IntensitySeries:
        known: dict[str, Any] = {
            "zone": "DE",
            "start": START + timedelta(hours=hour),
            "step": timedelta(hours=1),
            "values_gco2_per_kwh": values or (300.0, 310.0, 320.0),
            "source": "energy-charts",
        }
        return IntensitySeries(**known | fields)

    return make
