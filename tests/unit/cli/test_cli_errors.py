from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from carbon_policy.cli.server import NoServerError
from carbon_policy.demo.processes import free_port
from tests.unit.cli.conftest import RunCli

NEEDS_A_SERVER = (
    ("explain", "train/nightly"),
    ("apply",),
    ("release", "otter"),
    ("overdue",),
    ("forecast", "DE", "--source", "carbon-neso-grid/gb"),
    ("backfill", "DE", "--source", "carbon-neso-grid/gb"),
)


@pytest.mark.parametrize("arguments", NEEDS_A_SERVER, ids=lambda arguments: arguments[0])
def test_without_a_server_the_error_says_how_to_get_one(run_cli: RunCli, arguments: tuple[str, ...]) -> None:
    result = run_cli(*arguments)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("error: No Prefect server is configured.")
    assert "prefect server start" in result.stderr
    assert "PREFECT_API_URL" in result.stderr
    assert result.stderr.count("\n") == 1, "one line a message where it is piped"


def test_a_server_that_is_not_there_is_named(run_cli: RunCli) -> None:
    url = f"http://127.0.0.1:{free_port()}/api"
    with temporary_settings({PREFECT_API_URL: url}):
        result = run_cli("explain", "train/nightly")
    assert result.exit_code == 1
    assert f"{url} cannot be used" in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize("how", ["option", "environment"])
def test_debug_shows_where_an_error_came_from(
    run_cli: RunCli, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if how == "environment":
        monkeypatch.setenv("CARBON_POLICY_DEBUG", "1")
    result = run_cli(*(["--debug"] if how == "option" else []), "overdue")
    assert isinstance(result.exception, NoServerError)


def test_ctrl_c_is_quiet(run_cli: RunCli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("carbon_policy.provision.starter.write_starter", interrupted)
    result = run_cli("init")
    assert (result.exit_code, result.output) == (130, "")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("explain", "a/b", "--at", "2026-11-22T06:00:00"), "no time zone"),
        (("explain", "a/b", "-jv", "urgency"), "--job-variable urgency=flexible"),
        (("forecast", "UK"), "did you mean GB?"),
        (("forecast", "aws:eu-west-9"), "did you mean aws:eu-west-"),
        (("history", "eu-west-1"), "write aws:eu-west-1"),
        (("history", "DE"), "`carbon-policy backfill DE` fetches it"),
        (
            ("history", "DE", "--from", "2026-11-02T00:00:00Z", "--to", "2026-11-01T00:00:00Z"),
            "later than --from",
        ),
        (("history", "DE", "--from", "2026-11-02"), "no time zone"),
        (("refresh",), "write carbon-policy refresh DE"),
        (("backtest",), "--store ZONE"),
        (("backtest", "nowhere.csv"), "There is no trace at"),
        (("backtest", "--store", "DE"), "`carbon-policy backfill DE` fetches it"),
        (("backtest", "x.csv", "--plot", "x.svg"), "x.svg is neither"),
        (("forecast", "DE", "--plot", "day.gif"), "day.gif is neither"),
        (("report", "--since", "yesterday"), "is not a time"),
        (("report", "--since", "2026-11-22"), "no time zone"),
        (("demo", "--zone", "XX"), "no grid zone"),
    ],
)
def test_what_was_mistyped_is_explained(run_cli: RunCli, arguments: tuple[str, ...], says: str) -> None:
    result = run_cli(*arguments)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith("error: ")
    assert says in result.stderr


def test_a_ledger_that_cannot_be_opened(
    run_cli: RunCli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PREFECT_INTEGRATIONS_CARBON_LEDGER_URL", f"sqlite:///{tmp_path}")
    result = run_cli("report", "--no-collect")
    assert result.exit_code == 1
    assert "cannot be used" in result.stderr


def test_the_doctor_without_a_server_says_so_and_checks_the_rest(run_cli: RunCli) -> None:
    result = run_cli("doctor")
    assert result.exit_code == 1
    assert "No Prefect server is configured" in result.stdout
    assert "→ Start one with `prefect server start`" in result.stdout
    assert "ledger" in result.stdout
