"""The grid's commands against a real server, whose policy names a source that is asked over HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, PREFECT_LOGGING_TO_API_ENABLED, temporary_settings
from typer.testing import CliRunner, Result

from carbon_policy.cli.main import app
from carbon_policy.demo.processes import PrefectStack
from carbon_policy.grid import client
from carbon_policy.grid.energy_charts import EnergyChartsGrid
from carbon_policy.orchestration.blocks import CarbonPolicy
from carbon_policy.store.history import History
from tests.support import grid_apis
from tests.support.events import send_events
from tests.support.history import forget_what_was_just_asked

pytestmark = pytest.mark.server

PROJECT = Path(__file__).parents[2]


class Api:
    """Energy-Charts as it was recorded, on an ephemeral port; it can be switched off."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.works = True
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                api.asked.append(self.path)
                body = json.dumps(grid_apis.energy_charts(self.path)).encode() if api.works else b"{}"
                self.send_response(200 if api.works else 500)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    local = Api()
    thread = threading.Thread(target=local.server.serve_forever, args=(0.01,))
    thread.start()
    yield local
    local.server.shutdown()
    local.server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def stack(api: Api) -> Iterator[PrefectStack]:
    """A server with this project on it, its policy pinned to the API here, and one deployment; no worker."""
    with (
        pytest.MonkeyPatch.context() as patch,
        PrefectStack() as stack,
        temporary_settings({PREFECT_API_URL: stack.api_url, PREFECT_LOGGING_TO_API_ENABLED: False}),
    ):
        patch.setenv("PREFECT_INTEGRATIONS_CARBON_LEDGER_URL", f"sqlite:///{stack.home / 'ledger.db'}")
        patch.setenv("COLUMNS", "300")
        patch.setattr(client, "POLICY", client.ClientPolicy(attempts=1, total_s=3, backoff_s=0.01))
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            patch.delenv(name, raising=False)
            patch.delenv(name.lower(), raising=False)
        client.clear_cache()
        assert invoke("apply", str(PROJECT), "--infrastructure", "process").exit_code == 0
        EnergyChartsGrid(base_url=api.url).save("here")
        policy = CarbonPolicy.load("default")
        policy.grid_sources = ["carbon-energy-charts-grid/here"]
        policy.save("default", overwrite=True)
        with get_client(sync_client=True) as server:
            server.create_deployment(
                flow_id=server.create_flow_from_name("train"),
                name="nightly",
                work_pool_name="carbon",
                entrypoint="nowhere.py:train",
                job_variables={"urgency": "flexible", "finish_within": "12h", "expected_duration": "45m"},
            )
        yield stack
        send_events()
        client.clear_cache()


@pytest.fixture(autouse=True)
def _as_of_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """The recorded API has a clock of its own."""
    monkeypatch.setattr(grid_apis, "NOW", datetime.now(UTC).replace(microsecond=0))


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def test_the_doctor_calls_live_sources_only_when_told_to(stack: PrefectStack, api: Api) -> None:
    before = len(api.asked)
    quiet = invoke("doctor").stdout
    assert "energy-charts: not asked, as it is on the network" in quiet, quiet
    assert "→ carbon-policy backfill DE" in quiet
    assert len(api.asked) == before
    live = invoke("doctor", "--live").stdout
    assert len(api.asked) == before + 1, "one call of each live source"
    assert "ok     grid DE" in live
    assert " g/kWh now, " in live
    assert "ahead in steps of 15m" in live


def test_refresh_fills_the_store_for_the_zones_of_the_sites(stack: PrefectStack) -> None:
    result = invoke("refresh", "--json")
    assert result.exit_code == 0, result.output
    (zone,) = json.loads(result.stdout)["zones"]
    assert (zone["zone"], zone["chain_step"], zone["own_forecast"]) == ("DE", "pinned", True)
    assert zone["added"] > 2000
    with History(f"sqlite:///{stack.home / 'ledger.db'}") as history:
        assert {entry.source for entry in history.zones()} == {"energy-charts", "own forecast"}
    assert "ok     history DE" in invoke("doctor").stdout


def test_backfill_adds_what_was_before(stack: PrefectStack) -> None:
    result = invoke("backfill", "DE", "--days", "35")
    assert result.exit_code == 0
    assert "slots added" in result.stdout
    stored = json.loads(invoke("zones", "--stored", "--json").stdout)["zones"]
    assert [zone["zone"] for zone in stored] == ["DE"]
    shown = invoke("history", "aws:eu-central-1", "--days", "3")
    assert "Carbon intensity of DE, measured" in shown.stdout


def test_forecast_has_a_band_and_our_own_after_theirs(stack: PrefectStack) -> None:
    document = json.loads(invoke("forecast", "DE", "--json").stdout)
    assert document["chain_step"] == "pinned"
    assert [part["source"].split(" ")[0] for part in document["parts"]] == ["energy-charts", "own"]
    assert len(document["quantiles_gco2_per_kwh"]["0.9"]) == len(document["values_gco2_per_kwh"])
    assert len(document["windows"]) == 3


def test_explain_says_where_the_outlook_was_found(stack: PrefectStack) -> None:
    result = invoke("explain", "train/nightly")
    assert result.exit_code == 0, result.output
    assert "found at step pinned: a source that the policy names." in result.stdout


def test_when_the_source_is_down_what_was_kept_is_taken_and_said_once(stack: PrefectStack, api: Api) -> None:
    api.works = False
    client.clear_cache()
    forget_what_was_just_asked(f"sqlite:///{stack.home / 'ledger.db'}")
    try:
        shown = invoke("forecast", "DE", "--hours", "24").stdout
        explained = invoke("explain", "train/nightly").stdout
        doctor = invoke("doctor", "--live").stdout
    finally:
        api.works = True
        client.clear_cache()
    for output in (shown, explained):
        assert "found at step last-good" in output
        assert output.count("failed, refused: energy-charts: ") == 1
    assert "warn   grid DE" in doctor
