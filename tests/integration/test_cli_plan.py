"""`plan` and `replay` against a real server: what waits and what ran is read, and nothing is changed."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prefect.states import Completed, Pending, Running, Scheduled
from typer.testing import CliRunner, Result

from carbon_policy.cli.main import app
from carbon_policy.grid.simulated import SimulatedGrid
from tests.support.bench import CARBON, FAST, Bench, unique

pytestmark = pytest.mark.server

HOUR = timedelta(hours=1)
SAID = {"urgency": "flexible", "finish_within": "12h", "expected_duration": "45m"}


@pytest.fixture
def policy(bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A policy on a made-up grid, and a ledger of this test's own."""
    monkeypatch.setenv("PREFECT_INTEGRATIONS_CARBON_LEDGER_URL", f"sqlite:///{tmp_path / 'ledger.db'}")
    SimulatedGrid().save("made-up", overwrite=True)
    name = bench.policy("carbon-simulated-grid/made-up")
    monkeypatch.setenv("PREFECT_INTEGRATIONS_CARBON_POLICY_BLOCK", name)
    return name


def invoke(*arguments: str) -> Result:
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def test_the_waiting_queue_is_planned_and_left_as_it_is(bench: Bench, policy: str, tmp_path: Path) -> None:
    bench.tidy()
    nightly = bench.deploy(CARBON, job_variables={**SAID, "policy_block": policy})
    elsewhere = bench.deploy(FAST, job_variables={})
    due = datetime.now(UTC) + HOUR
    run = bench.run(nightly, name=unique("waits"), state=Scheduled(scheduled_time=due))
    bench.run(elsewhere, name=unique("nobody-asks"), state=Scheduled(scheduled_time=due))
    before = bench.state_names(run)

    page = tmp_path / "queue.html"
    document = json.loads(invoke("plan", "--json", "--html", str(page)).stdout)

    (job,) = document["jobs"]
    assert job["run_id"] == str(run.id)
    assert job["site"] in ("fast", "eco")
    assert job["plan_gco2"] <= job["at_once_gco2"]
    assert document["simulated"]
    assert run.name in page.read_text()
    shown = invoke("plan").stdout
    assert run.name in shown
    assert bench.state_names(run) == before
    bench.tidy()


def test_runs_of_no_time_are_no_jobs_and_replay_says_so(bench: Bench, policy: str) -> None:
    flow = unique("flow")
    run = bench.run(bench.deploy(FAST, flow=flow, job_variables={}), state=Pending())
    bench.client.set_flow_run_state(run.id, Running())
    bench.client.set_flow_run_state(run.id, Completed())
    before = bench.state_names(run)

    result = CliRunner().invoke(app, ["replay", "--flow", flow])

    assert result.exit_code == 1
    assert "1 without a duration" in " ".join(result.stderr.split())
    assert bench.state_names(run) == before
    assert policy
