"""No grid, no answer, no sense in the answer: the job runs, and its record says why nothing was weighed."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from carbon_policy.demo.processes import free_port
from carbon_policy.domain.chain import ChainStep
from carbon_policy.domain.finding import Treatment
from carbon_policy.grid.neso import NesoGrid
from carbon_policy.orchestration.blocks import CarbonSite
from carbon_policy.orchestration.records import read_decision
from tests.support import grids
from tests.support.bench import CARBON, FAST, Bench, only, unique
from tests.support.gates import run_gate

pytestmark = [pytest.mark.server, pytest.mark.slow]

Answer = Callable[[BaseHTTPRequestHandler], None]


def _sends(status: int, body: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        request.end_headers()
        request.wfile.write(body.encode())

    return answer


def _says_nothing(request: BaseHTTPRequestHandler) -> None:
    time.sleep(60)


FAILURES: dict[str, Answer | None] = {
    "down": None,
    "slow": _says_nothing,
    "broken": _sends(500, "{}"),
    "malformed": _sends(200, "<html>sorry</html>"),
    "empty": _sends(200, json.dumps({"data": []})),
}


@pytest.fixture
def source(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a grid source that fails in one way."""
    answer: Answer | None = FAILURES[request.param]
    if answer is None:
        yield f"http://127.0.0.1:{free_port()}"
        return

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        # Those that still sleep are left behind.
        block_on_close = False

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("source", FAILURES, indirect=True)
def test_the_job_runs_at_once_and_the_record_says_why(bench: Bench, source: str) -> None:
    grid, site = unique("neso"), unique("gb-fast")
    NesoGrid(base_url=source).save(grid)
    CarbonSite(work_pool=FAST, tier="fast", zone="GB", power_w=60).save(site)
    policy = bench.policy(f"carbon-neso-grid/{grid}", sites=[site])
    said = {"urgency": "flexible", "finish_within": "12h", "policy_block": policy}
    run = bench.pending(bench.deploy(CARBON, job_variables=said))
    run_gate(bench.stack, run)

    assert bench.read(run).state_name == "PlacedFast"
    only(bench.jobs_of(run))
    decision = read_decision(bench.client, run.id)
    assert decision is not None
    # What is left is the zone's mean year, of which no hour is greener.
    assert decision.evidence.steps == {"GB": ChainStep.YEARLY_MEAN}
    assert decision.reason == "greenest-now"
    assert decision.evidence.findings[0].source == "neso"
    assert all(finding.treatment is Treatment.REFUSED for finding in decision.evidence.findings)


def test_a_trace_that_is_gone_does_not_stop_the_job(bench: Bench, tmp_path: Path) -> None:
    policy = bench.policy(grids.flat(tmp_path))
    for file in tmp_path.glob("*.csv"):
        file.unlink()
    run = bench.pending(bench.deploy(CARBON, job_variables={"policy_block": policy, "urgency": "flexible"}))
    run_gate(bench.stack, run)
    assert bench.read(run).state_name == "PlacedFast"
    decision = read_decision(bench.client, run.id)
    assert decision is not None
    assert decision.reason == "no-signal"
    assert decision.evidence.remarks[0] in decision.sentence
