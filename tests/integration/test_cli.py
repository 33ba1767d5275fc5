"""The program against a real server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import State
from prefect.settings import PREFECT_API_URL, PREFECT_LOGGING_TO_API_ENABLED, temporary_settings
from prefect.states import Crashed, Failed, Scheduled
from typer.testing import CliRunner, Result

from carbon_policy.cli.checks.finding import Level
from carbon_policy.cli.checks.runs import check_crashes, check_ends
from carbon_policy.cli.main import app
from carbon_policy.demo.processes import PrefectStack
from carbon_policy.domain.errors import CarbonPolicyError
from carbon_policy.orchestration.blocks import CarbonPolicy
from carbon_policy.orchestration.maintenance import collect_emissions, find_overdue_runs
from carbon_policy.orchestration.names import DEFERRED, LABEL_DEFERRALS, TAG_PLACED
from tests.support.events import send_events

pytestmark = pytest.mark.server

PROJECT = Path(__file__).parents[2]
NOON = "2026-11-22T12:00:00Z"

RunCli = Callable[..., Result]


@pytest.fixture(scope="module")
def stack() -> Iterator[PrefectStack]:
    """A server with this project's own pools and blocks on it, and one deployment; no worker."""
    with (
        pytest.MonkeyPatch.context() as patch,
        PrefectStack() as stack,
        # Logs of the flows that are run here would be sent when the server is gone.
        temporary_settings({PREFECT_API_URL: stack.api_url, PREFECT_LOGGING_TO_API_ENABLED: False}),
    ):
        patch.setenv("PREFECT_INTEGRATIONS_CARBON_LEDGER_URL", f"sqlite:///{stack.home / 'ledger.db'}")
        patch.delenv("COLUMNS", raising=False)
        assert "carbon" in invoke("apply", str(PROJECT), "--infrastructure", "process").stdout
        # No test may depend on whether the zone's own source can be reached from here.
        policy = CarbonPolicy.load("default")
        policy.grid_sources = ["carbon-simulated-grid/simulated"]
        policy.save("offline")
        patch.setenv("PREFECT_INTEGRATIONS_CARBON_POLICY_BLOCK", "offline")
        with get_client(sync_client=True) as client:
            client.create_deployment(
                flow_id=client.create_flow_from_name("train"),
                name="nightly",
                work_pool_name="carbon",
                entrypoint="nowhere.py:train",
                job_variables={"urgency": "flexible", "finish_within": "12h", "expected_duration": "45m"},
            )
        yield stack
        send_events()


@pytest.fixture
def client(stack: PrefectStack) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        yield client


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def defer(client: SyncPrefectClient, name: str, due: timedelta) -> Any:
    """A run that was deferred, to be woken so long from now."""
    deployment = client.read_deployment_by_name("train/nightly")
    run = client.create_flow_run_from_deployment(
        deployment.id,
        name=name,
        # Not due yet: the server would mark it late, and might do so after the next line.
        state=Scheduled(scheduled_time=datetime.now(UTC) + timedelta(days=1)),
        labels={LABEL_DEFERRALS: 1},
    )
    state = Scheduled(name=DEFERRED, scheduled_time=datetime.now(UTC) + due)
    client.set_flow_run_state(run.id, state, force=True)
    return run


def everything(client: SyncPrefectClient) -> dict[str, Any]:
    """What the server holds, as far as a command could have changed it."""
    kinds = ("flow_runs", "task_runs", "deployments", "flows", "artifacts", "work_pools", "block_documents")
    found = {}
    for kind in kinds:
        items = client.request("POST", f"/{kind}/filter", json={}).json()
        found[kind] = sorted((item["id"], str(item["updated"])) for item in items)
    return found


def test_apply_again_changes_nothing_and_names_the_workers_to_start(stack: PrefectStack) -> None:
    result = invoke("apply", str(PROJECT), "--infrastructure", "process")
    assert result.exit_code == 0
    assert "0 created, 0 updated" in result.stdout
    assert "prefect worker start --pool carbon" in result.stdout


def test_apply_shows_what_would_change(stack: PrefectStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CARBON_ZONE", "FR")
    result = invoke("apply", str(PROJECT), "--infrastructure", "process", "--dry-run")
    assert "~ update     block       carbon-site/fast" in result.stdout
    assert "zone: DE -> " in result.stdout
    assert "0 to create, 2 to update" in result.stdout
    assert invoke("explain", "train/nightly", "--json").stdout.count('"zone": "FR"') == 0


def test_apply_says_how_a_pool_gets_its_other_worker(stack: PrefectStack, tmp_path: Path) -> None:
    (tmp_path / "deployments").mkdir()
    pools = "work_pools: [{name: carbon, type: process, template: {base: gate}}]"
    (tmp_path / "deployments" / "pools.yaml").write_text(pools)
    result = invoke("apply", str(tmp_path), "--infrastructure", "process")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    [start] = [line for line in lines if "worker start --pool carbon" in line]
    assert start.strip() == "prefect worker start --pool carbon --type process"
    assert "is of type carbon-aware, and the files say process" in " ".join(lines)
    assert "stop its carbon-aware workers" in result.stdout


def test_explain_says_what_why_and_from_where_and_changes_nothing(client: SyncPrefectClient) -> None:
    before = everything(client)
    result = invoke("explain", "train/nightly", "--at", NOON)
    assert everything(client) == before
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith(("DEFER ", "RUN "))
    assert "placed by the worker of work pool carbon" in result.stdout
    for words in (
        "chosen",
        "at once on fast",
        "SIMULATED",
        "the deployment's job variables",
        "default",
        "max_deferrals",
        "note: Site eco was left out: its work pool eco has no worker online.",
    ):
        assert words in result.stdout


def test_explain_gives_the_same_answer_twice_and_as_data(stack: PrefectStack) -> None:
    arguments = ("explain", "train/nightly", "--at", NOON, "--json", "-jv", "urgency=critical")
    first, second = (json.loads(invoke(*arguments).stdout) for _ in range(2))
    assert first == second
    assert first["decision"]["reason"] == "critical"
    assert first["decision"]["evidence"]["sources"]["urgency"] == "this run's job variables"


@pytest.mark.parametrize("width", [80, 120])
def test_explain_fits_the_terminal(stack: PrefectStack, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    lines = invoke("explain", "train/nightly").stdout.splitlines()
    assert max(map(len, lines)) <= width
    assert not any("…" in line for line in lines)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("explain", "train/nightyl"), "Did you mean train/nightly?"),
        (("explain", "nightly"), "Did you mean train/nightly?"),
        (("explain", "train/nightly", "-jv", "urgncy=flexible"), "Did you mean 'urgency'?"),
        (("explain", "train/nightly", "-jv", "policy_block=mine"), "no block carbon-policy/mine"),
        (("forecast", "DE", "--source", "carbon-foo/bar"), "names no grid source"),
        (("forecast", "DE", "--source", "carbon-neso-grid/bar"), "no block carbon-neso-grid/bar"),
        (("release", "nobody"), "No waiting run is called 'nobody'."),
        (("release", "0193b2c4-5d1e-7a10-9c55-1f0e6b7a2d11"), "No waiting run is called"),
    ],
)
def test_what_does_not_exist_is_explained(stack: PrefectStack, arguments: tuple[str, ...], says: str) -> None:
    result = invoke(*arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: ")
    assert says in result.stderr


def test_forecast_asks_the_sources_of_the_policy_or_the_one_that_is_named(stack: PrefectStack) -> None:
    result = invoke("forecast", "FR", "--hours", "6")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "SIMULATED" in result.stdout
    assert "found at step pinned" in result.stdout
    named = invoke("forecast", "FR", "--json", "--source", "carbon-simulated-grid/simulated")
    assert json.loads(named.stdout)["source"] == "simulated"


def test_the_doctor_names_what_is_missing_and_how_to_mend_it(stack: PrefectStack) -> None:
    result = invoke("doctor")
    assert result.exit_code == 1
    assert "→ prefect worker start --pool carbon" in result.stdout
    assert "the server's and ours agree" in result.stdout
    # Other tests have left runs on this server, of which it may warn; nothing but these two fails.
    assert ", 2 fail" in result.stdout
    for row in (
        "ok     policy offline",
        "fail   pool carbon",
        "fail   site fast",
        "warn   site eco",
        "ok     grid DE",
        "ok     history",
    ):
        assert row in result.stdout


def test_the_doctor_says_what_was_refused_lately_and_no_more_than_is_read(client: SyncPrefectClient) -> None:
    deployment = client.read_deployment_by_name("train/nightly")

    def ended(name: str, number: int) -> None:
        run = client.create_flow_run_from_deployment(deployment.id, name=f"{name.lower()}-{number}")
        state: State[Any] = Failed(name=name, message=f"Say number {number} better.")
        client.set_flow_run_state(run.id, state, force=True)

    now = datetime.now(UTC)
    assert list(check_ends(client, now)) == []
    ended("Refused", 0)
    ended("JobDeleted", 1)
    deleted, refused = check_ends(client, now)
    assert (deleted.what, refused.what) == ("run jobdeleted-1", "run refused-0")
    assert refused.says == "Refused, just now: Say number 0 better."
    assert "retry the run" in refused.mend
    assert "start a new run" in deleted.mend
    assert list(check_ends(client, now + timedelta(hours=25))) == []
    for number in range(2, 7):
        ended("Refused", number)
    *shown, rest = check_ends(client, now)
    assert [finding.what for finding in shown] == [f"run refused-{number}" for number in (6, 5, 4, 3, 2)]
    assert rest.says == "7 runs of the last 24 h came to nothing; the newest 5 are above"
    assert "Say number 6 better." in invoke("doctor").stdout


def test_the_doctor_says_how_many_placed_jobs_crashed_lately_and_what_the_newest_says(
    client: SyncPrefectClient,
) -> None:
    deployment = client.read_deployment_by_name("train/nightly")

    def crashed(name: str, *tags: str) -> None:
        run = client.create_flow_run_from_deployment(deployment.id, name=name, tags=list(tags))
        state: State[Any] = Crashed(message="Process exited with status code: 1")
        client.set_flow_run_state(run.id, state, force=True)

    crashed("nobody-placed-it")
    now = datetime.now(UTC)
    assert list(check_crashes(client, now)) == []
    crashed("first", TAG_PLACED)
    crashed("second", TAG_PLACED)
    [found] = check_crashes(client, now)
    assert (found.level, found.what) == (Level.WARN, "placed jobs")
    assert found.says == (
        "2 jobs crashed in the last 24 h; the newest just now, second of deployment train/nightly:"
        " Process exited with status code: 1"
    )
    assert "not in the image" in found.mend
    assert list(check_crashes(client, now + timedelta(hours=25))) == []


def test_the_doctor_without_a_policy(stack: PrefectStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_INTEGRATIONS_CARBON_POLICY_BLOCK", "missing")
    result = invoke("doctor")
    assert result.exit_code == 1
    assert "There is no block carbon-policy/missing" in result.stdout


def test_release_by_name_by_id_and_not_where_two_have_the_name(client: SyncPrefectClient) -> None:
    alone, one, two = (defer(client, name, timedelta(hours=3)) for name in ("alone", "twice", "twice"))
    ambiguous = invoke("release", "twice")
    assert ambiguous.exit_code == 1
    assert all(str(run.id) in ambiguous.stderr for run in (one, two))
    unknown = invoke("release", "aloen")
    assert str(alone.id) in unknown.stderr
    assert invoke("release", "alone", "--note", "needed by noon").exit_code == 0
    released = client.read_flow_run(alone.id)
    assert released.state is not None
    assert released.state.message == "Released: needed by noon"
    assert released.state_name == "Scheduled"
    assert invoke("release", str(one.id)).exit_code == 0
    assert client.read_flow_run(two.id).state_name == DEFERRED
    for run in (alone, one, two):
        client.delete_flow_run(run.id)


def test_overdue_runs_are_listed_and_then_placed(client: SyncPrefectClient) -> None:
    assert invoke("overdue").stdout == "No run is overdue.\n"
    run = defer(client, "forgotten", -timedelta(hours=1))
    listed = invoke("overdue")
    assert listed.exit_code == 1
    assert "forgotten" in listed.stdout
    assert "1 overdue" in invoke("doctor").stdout
    with pytest.raises(CarbonPolicyError, match="forgotten"):
        find_overdue_runs(fix=False)
    fixed = invoke("overdue", "--fix")
    assert fixed.exit_code == 0
    assert "placed on fast" in fixed.stdout
    assert client.read_flow_run(run.id).state_name == "PlacedFast"
    assert invoke("overdue").exit_code == 0
    find_overdue_runs()


def test_a_twin_is_not_explained_but_its_original_named(client: SyncPrefectClient) -> None:
    client.create_deployment(
        flow_id=client.create_flow_from_name("score"),
        name="hourly@eco",
        work_pool_name="eco",
        job_variables={"carbon_placed": "eco"},
    )
    result = invoke("explain", "score/hourly@eco")
    assert result.exit_code == 1
    assert "Explain score/hourly." in result.stderr


def test_a_deployment_that_nobody_places_is_explained_with_a_warning(client: SyncPrefectClient) -> None:
    client.create_deployment(
        flow_id=client.create_flow_from_name("score"), name="plain", work_pool_name="fast"
    )
    result = invoke("explain", "score/plain")
    assert result.exit_code == 0
    assert "Nobody asks for this decision at present" in result.stdout


def test_a_report_first_collects(stack: PrefectStack) -> None:
    result = invoke("report", "--format", "json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["entries"] == []
    assert result.stderr.startswith("Collected: 0 recorded")
    assert collect_emissions() == 0
