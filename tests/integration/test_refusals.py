"""What is said wrongly of a job ends its run as Failed 'Refused', with a message that says what to change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import PrefectHTTPStatusError

from tests.support import grids
from tests.support.bench import CARBON, Bench
from tests.support.gates import run_gate

pytestmark = [pytest.mark.server, pytest.mark.slow]


def refused(bench: Bench, folder: Path, on_deployment: dict[str, Any], on_run: dict[str, Any]) -> str:
    """The message of a run that must be refused, and that leaves no job."""
    said = {"policy_block": bench.policy(grids.flat(folder)), **on_deployment}
    run: FlowRun = bench.pending(bench.deploy(CARBON, job_variables=said), job_variables=on_run)
    run_gate(bench.stack, run)
    state = bench.read(run).state
    assert state is not None
    assert (state.name, state.type.value) == ("Refused", "FAILED"), bench.describe(run)
    assert bench.jobs_of(run) == []
    return str(state.message)


NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("on_deployment", "on_run", "says"),
    [
        pytest.param({"urgncy": "flexible"}, {}, ["urgncy", "urgency"], id="unknown-on-the-deployment"),
        pytest.param(
            {}, {"finish_whithin": "2h"}, ["finish_whithin", "finish_within"], id="unknown-on-the-run"
        ),
        pytest.param(
            {"expected_duration": "2h"},
            {"finish_within": "1h"},
            ["finish_within", "expected_duration"],
            id="too-short",
        ),
        pytest.param(
            {},
            {"start_by": NOON.isoformat(), "finish_by": (NOON - timedelta(hours=1)).isoformat()},
            ["finish_by", "start_by"],
            id="contradictory-window",
        ),
        pytest.param({}, {"start_by": "2030-01-01T12:00:00"}, ["start_by", "zone"], id="naive-time"),
        pytest.param({"policy_block": "not-there"}, {}, ["not-there"], id="no-such-policy"),
    ],
)
def test_the_message_names_what_is_wrong(
    bench: Bench, tmp_path: Path, on_deployment: dict[str, Any], on_run: dict[str, Any], says: list[str]
) -> None:
    message = refused(bench, tmp_path, on_deployment, on_run)
    for word in says:
        assert word in message


def test_no_usable_site_fails_and_names_the_sites(bench: Bench, tmp_path: Path) -> None:
    said = {"policy_block": bench.policy(grids.flat(tmp_path)), "allowed_zones": "FR"}
    run = bench.pending(bench.deploy(CARBON, job_variables=said))
    run_gate(bench.stack, run)
    state = bench.read(run).state
    assert state is not None
    assert state.name == "Failed"
    for site in ("fast", "eco"):
        assert f"{site}: its zone DE is not among allowed_zones" in (state.message or "")


def test_the_server_itself_refuses_an_unknown_urgency(bench: Bench) -> None:
    """The pool's form knows the three; the run is not even created."""
    deployment = bench.deploy(CARBON)
    with pytest.raises(PrefectHTTPStatusError, match=r"(?s)'urgent' is not one of.*critical.*flexible"):
        bench.run(deployment, job_variables={"urgency": "urgent"})
