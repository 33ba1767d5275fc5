"""The maintenance flow against a real server and an API over real HTTP; then the API goes, and decisions go on."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from carbon_policy.domain.chain import ChainStep
from carbon_policy.domain.errors import CarbonPolicyError
from carbon_policy.forecasting.forecaster import SOURCE
from carbon_policy.grid import client as grid_client
from carbon_policy.grid.energy_charts import EnergyChartsGrid
from carbon_policy.orchestration.maintenance import backfill_history, refresh_grid
from carbon_policy.orchestration.records import read_decision
from carbon_policy.orchestration.settings import CarbonSettings
from carbon_policy.store.history import History
from tests.support.bench import CARBON, Bench, unique
from tests.support.gates import run_gate
from tests.support.history import forget_what_was_just_asked
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.server, pytest.mark.slow]

QUARTER_S = 900


class EnergyCharts:
    """The API: measured to the last full hour, forecast for a day, greenest at 03 UTC; `down` turns it into 500s."""

    def __init__(self) -> None:
        self.down = False
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = b"{}" if api.down else json.dumps(api.body(self.path)).encode()
                self.send_response(500 if api.down else 200)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def body(self, path: str) -> dict[str, Any]:
        query = {
            name: int(values[0])
            for name, values in parse_qs(urlsplit(path).query).items()
            if name != "country"
        }
        seconds = range(query["start"], query["end"], QUARTER_S)
        now_s = int(datetime.now(UTC).timestamp())
        known, ends = now_s - now_s % 3600, now_s + 86_400
        values = [300 + abs(s % 86_400 - 10_800) // 300 for s in seconds]
        return {
            "unix_seconds": list(seconds),
            "co2eq": [value if s < known else None for s, value in zip(seconds, values, strict=True)],
            "co2eq_forecast": [
                value if known <= s < ends else None for s, value in zip(seconds, values, strict=True)
            ],
            "deprecated": False,
        }


@pytest.fixture
def api() -> Iterator[EnergyCharts]:
    api = EnergyCharts()
    thread = threading.Thread(target=api.server.serve_forever, args=(0.01,))
    thread.start()
    yield api
    api.server.shutdown()
    api.server.server_close()
    thread.join()


@pytest.fixture
def policy(bench: Bench, api: EnergyCharts, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A policy that pins the API, and is this machine's; with a store of its own, which gates use too."""
    name = unique("charts")
    EnergyChartsGrid(base_url=api.url).save(name)
    policy = bench.policy(f"carbon-energy-charts-grid/{name}")
    url = f"sqlite:///{bench.stack.home / unique('history')}.db"
    monkeypatch.setenv("PREFECT_INTEGRATIONS_CARBON_HISTORY_URL", url)
    monkeypatch.setitem(bench.stack.env, "PREFECT_INTEGRATIONS_CARBON_HISTORY_URL", url)
    monkeypatch.setenv("PREFECT_INTEGRATIONS_CARBON_POLICY_BLOCK", policy)
    grid_client.clear_cache()
    yield policy
    grid_client.clear_cache()


def store() -> History:
    return History(CarbonSettings().history_address())


def decided(bench: Bench, policy: str) -> Any:
    said = {"urgency": "flexible", "finish_within": "12h", "policy_block": policy}
    run = bench.pending(bench.deploy(CARBON, job_variables=said))
    run_gate(bench.stack, run)
    decision = read_decision(bench.client, run.id)
    assert decision is not None
    return decision


def test_a_refreshed_zone_outlives_its_source(bench: Bench, policy: str, api: EnergyCharts) -> None:
    assert refresh_grid() == {}
    with store() as history:
        kept = {entry.source: entry for entry in history.zones()}
        assert kept["energy-charts"].slots >= 27 * 96
        assert kept["energy-charts"].forecasts == kept[SOURCE].forecasts == 1

    live = decided(bench, policy)
    assert live.evidence.steps == {"DE": ChainStep.PINNED}
    assert live.evidence.outlook["DE"].source == f"energy-charts + {SOURCE}"
    # Quarters of an hour as the provider has them, and a week as our own forecast reaches.
    assert live.evidence.outlook["DE"].step == timedelta(minutes=15)
    assert live.evidence.outlook["DE"].end - live.evidence.now > timedelta(days=6)

    api.down = True
    # Within a slot the next gate takes what the last one was told.
    assert decided(bench, policy).evidence.steps == {"DE": ChainStep.PINNED}
    forget_what_was_just_asked(CarbonSettings().history_address())
    stored = decided(bench, policy)
    assert stored.evidence.steps == {"DE": ChainStep.LAST_GOOD}
    assert stored.evidence.findings[0].source == "energy-charts"

    with store() as history:
        history.forget(datetime.now(UTC) + timedelta(days=1))
    at_the_end = decided(bench, policy)
    assert at_the_end.evidence.steps == {"DE": ChainStep.YEARLY_MEAN}
    assert at_the_end.action == "run"


def test_a_change_of_plans_is_an_event(bench: Bench, policy: str) -> None:
    refresh_grid(["DE"])
    worst = datetime.now(UTC).replace(hour=13, minute=0, second=0, microsecond=0)
    worst += timedelta(days=worst < datetime.now(UTC))
    with store() as history:
        history.note("DE", "outlook", {"step": "pinned", "start": worst.isoformat()})
    # As its deployment runs it: this process may have sent events to another test's server before.
    code = (
        "from carbon_policy.orchestration.maintenance import refresh_grid; print(refresh_grid(['DE'])['DE'])"
    )
    env = bench.stack.env | {"PREFECT_INTEGRATIONS_CARBON_POLICY_BLOCK": policy}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    why = done.stdout.strip().splitlines()[-1]
    assert "the greenest 4 h were to begin at" in why

    def emitted() -> list[Any]:
        asked = {"filter": {"event": {"name": ["carbon-policy.outlook-changed"]}}}
        found = bench.client.request("POST", "/events/filter", json=asked).json()["events"]
        return [event for event in found if event["payload"]["why"] == why]

    [event] = wait_for(emitted, 30, "the event has come")
    assert event["resource"]["prefect.resource.id"] == "carbon-policy.zone.DE"
    assert event["resource"]["carbon-policy.step"] == "pinned"


def test_backfill_as_a_flow_goes_on_where_it_was(bench: Bench, policy: str) -> None:
    assert backfill_history(["DE"], days=40) >= 40 * 96 - 8
    assert backfill_history(["DE"], days=40) <= 4


def test_a_refresh_that_learns_nothing_fails(bench: Bench, policy: str) -> None:
    with pytest.raises(CarbonPolicyError, match="Nothing is known of QQ"):
        refresh_grid(["QQ"])
