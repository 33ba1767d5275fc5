from __future__ import annotations

import subprocess
import sys

import pytest

import carbon_policy
from carbon_policy.cli.main import app
from tests.unit.cli.conftest import RunCli

COMMANDS = (
    "demo",
    "init",
    "apply",
    "doctor",
    "explain",
    "plan",
    "report",
    "replay",
    "simulate",
    "release",
    "replan",
    "overdue",
    "forecast",
    "history",
    "zones",
    "refresh",
    "backfill",
    "backtest",
)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_examples(run_cli: RunCli, command: str) -> None:
    result = run_cli(command, "--help")
    assert result.exit_code == 0
    assert "Examples" in result.stdout
    assert f"carbon-policy {command}" in result.stdout


def test_no_command_is_forgotten_here() -> None:
    assert sorted(COMMANDS) == sorted(str(command.name) for command in app.registered_commands)


def test_help_lists_every_command(run_cli: RunCli) -> None:
    result = run_cli("--help")
    assert result.exit_code == 0
    assert all(command in result.stdout for command in COMMANDS)


def test_help_imports_nothing_heavy() -> None:
    code = f"""
import sys
from typer.testing import CliRunner
from carbon_policy.cli.main import app
for arguments in ([], *([name] for name in {COMMANDS!r})):
    assert CliRunner().invoke(app, [*arguments, "--help"]).exit_code == 0, arguments
heavy = {{"prefect", "httpx", "sqlalchemy", "numpy", "pandas", "matplotlib", "docker"}} & set(sys.modules)
sys.exit(f"imported: {{heavy}}" if heavy else 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_version(run_cli: RunCli) -> None:
    result = run_cli("--version")
    assert result.exit_code == 0
    assert f"prefect-carbon-policy {carbon_policy.__version__}" in result.stdout


def test_an_unknown_command_is_a_usage_error(run_cli: RunCli) -> None:
    assert run_cli("explian").exit_code == 2
