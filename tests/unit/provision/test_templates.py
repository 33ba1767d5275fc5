"""Base job templates, and the pools that are shipped."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from prefect.utilities.processutils import command_from_string
from prefect.utilities.schema_tools import is_valid_schema, validate

from carbon_policy.domain.errors import SetupError
from carbon_policy.orchestration.names import POLICY_VARIABLES
from carbon_policy.orchestration.process_command import process_command
from carbon_policy.provision.files import Infrastructure, Template
from carbon_policy.provision.project import read_project
from carbon_policy.provision.templates import base_job_template, merge_patch

ROOT = Path(__file__).resolve().parents[3]
SHIPPED = {pool.name: pool for pool in read_project(ROOT, {}).work_pools}


def shipped(name: str, infrastructure: str) -> dict[str, Any]:
    return base_job_template(*SHIPPED[name].form(Infrastructure(infrastructure)))


def test_a_patch_merges_takes_away_and_replaces() -> None:
    target = {"a": {"b": 1, "c": 2}, "d": [1, 2], "e": "x"}
    assert merge_patch(target, {"a": {"b": None, "f": 3}, "d": [3], "e": {"g": None, "h": 1}}) == {
        "a": {"c": 2, "f": 3},
        "d": [3],
        "e": {"h": 1},
    }
    assert target == {"a": {"b": 1, "c": 2}, "d": [1, 2], "e": "x"}


def test_an_unknown_worker_type_names_what_to_install() -> None:
    with pytest.raises(SetupError, match="prefect-kubernetes"):
        base_job_template("kubernetes", Template())


def test_docker_without_its_extra_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "carbon_policy.provision.templates.BaseWorker.get_worker_class_from_type", lambda _: None
    )
    with pytest.raises(SetupError, match=r"prefect-carbon-policy\[docker\]"):
        base_job_template("docker", Template())


def test_the_gate_offers_every_policy_variable_as_a_form_field_without_a_default() -> None:
    template = shipped("carbon", "process")
    fields = template["variables"]["properties"]
    assert set(fields) == POLICY_VARIABLES | {"env", "working_dir", "stream_output"}
    assert "additionalProperties" not in template["variables"]
    for name in POLICY_VARIABLES:
        assert "default" not in fields[name]
        assert fields[name]["title"]
        assert len(fields[name]["description"].split(" Unset:")[0]) > 10, name
    assert fields["urgency"]["enum"] == ["critical", "normal", "flexible"]
    assert fields["minimum_saving"].items() >= {"type": "number", "minimum": 0, "maximum": 1}.items()
    assert fields["finish_within"]["type"] == "string"
    is_valid_schema(template["variables"])


def test_a_pool_has_one_template_whichever_worker_places_its_runs() -> None:
    gate = base_job_template("process", Template(base="gate"))
    assert base_job_template("carbon-aware", Template()) == gate
    # Who changes the type alone leaves the base where it is.
    assert base_job_template("carbon-aware", Template(base="gate")) == gate


@pytest.mark.parametrize(
    "said",
    [
        {"urgency": "flexible", "finish_within": "12h", "allowed_zones": "DE, FR", "wait": True},
        {"allowed_sites": ["eco"], "max_deferrals": 3, "start_by": "2026-11-22T06:00:00Z", "nano_cpus": 1},
        {"finish_within": None},
    ],
)
def test_the_gate_takes_what_may_be_said_of_a_job_and_what_is_for_its_site(said: dict[str, Any]) -> None:
    assert not validate(said, shipped("carbon", "process")["variables"])


@pytest.mark.parametrize(
    "said", [{"urgency": "high"}, {"finish_within": 3600}, {"minimum_saving": 2}, {"wait": "yes"}]
)
def test_the_gate_refuses_what_cannot_be_meant(said: dict[str, Any]) -> None:
    assert validate(said, shipped("carbon", "process")["variables"])


@pytest.mark.parametrize("pool", ["carbon", "eco"])
def test_the_command_is_literal(pool: str) -> None:
    template = shipped(pool, "process")
    assert "{{" not in template["job_configuration"]["command"]
    assert "command" not in template["variables"]["properties"]


def test_no_job_variable_reaches_around_the_caps_of_eco() -> None:
    template = shipped("eco", "docker")
    offered = template["variables"]["properties"]
    for name in ("container_create_kwargs", "privileged"):
        assert name not in offered
    assert template["job_configuration"]["privileged"] is False
    # `null` is taken for a variable that has a default and is not required: it would be no limit.
    assert set(template["variables"]["required"]) == {"nano_cpus", "mem_limit", "memswap_limit", "pids_limit"}
    sizes = offered["memswap_limit"]["enum"]
    # With any memory that may be asked for, the default of both together is one that Docker accepts.
    assert offered["memswap_limit"]["default"] == sizes[-1] == offered["mem_limit"]["enum"][-1]


def run(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What a worker does: argv, no shell; this process stands for the worker."""
    return subprocess.run(
        command_from_string(command),
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.skipif(
    not Path("/proc/self/cmdline").exists(), reason="the worker's command line is not in /proc here"
)
def test_a_process_command_finds_the_workers_python_without_the_path() -> None:
    command = process_command('exec "$python" -c "import sys; print(sys.prefix)"')
    assert run(command, PATH="/usr/bin:/bin").stdout.strip() == sys.prefix


def test_a_worker_can_be_told_which_python_to_use() -> None:
    assert (
        run(process_command('echo "$python"'), CARBON_POLICY_PYTHON="/a b/python").stdout == "/a b/python\n"
    )
