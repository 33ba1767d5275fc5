"""Reading a project's files: what is refused, and how it is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from carbon_policy.domain.errors import InvalidInputError, SetupError
from carbon_policy.provision.files import Infrastructure
from carbon_policy.provision.project import Project, read_project


def project(tmp_path: Path, text: str, environment: dict[str, str] | None = None) -> Project:
    (tmp_path / "blocks").mkdir(exist_ok=True)
    (tmp_path / "blocks" / "a.yaml").write_text(text)
    return read_project(tmp_path, environment or {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("work_pool: []", r"blocks/a\.yaml: This sets 'work_pool', .* 'work_pools'\?"),
        (
            "work_pools: [{name: a, type: process, concurency_limit: 2}]",
            r"blocks/a\.yaml: work_pools\[0\]: This sets 'concurency_limit', .* 'concurrency_limit'\?",
        ),
        (
            "work_pools: [{name: a, templates: {docker: {}}}, {name: b, templates: {docker: {variable: {}}}}]",
            r"work_pools\[1\]\.templates\.docker: This sets 'variable', .* 'variables'\?",
        ),
        ("work_pools: [{name: a, templates: {podman: {}}}]", r"work_pools\[0\]\.templates.*docker"),
        ("work_pools: [{name: a}]", "either a type or templates"),
        (
            "work_pools: [{name: a, type: docker, template: {base: gate}}]",
            "started by carbon-aware and process workers",
        ),
        (
            "work_pools: [{name: a, type: carbon-aware, template: {command: ls}}]",
            "give the pool the type process",
        ),
        ("blocks: [{name: A b, type: secret}]", r"blocks\[0\]\.name: .*pattern"),
        (
            "deployments: [{name: a, entrypoint: a, work_pool: {name: b, job_variables: {urgency: low}}}]",
            r"deployments\[0\]\.work_pool: .*write `work_pool: b`, and `job_variables:` beside it, one level up",
        ),
        (
            "deployments: [{name: a, entrypoint: a, work_pool: b, concurrency_limit: 0}]",
            "concurrency_limit: ",
        ),
        (
            "deployments: [{name: a, entrypoint: a, work_pool: b, schedule: daily at two}]",
            r"deployments\[0\]\.schedule: .*daily at two",
        ),
        ("blocks: [{name: a", r"blocks/a\.yaml: this is not YAML"),
        ("- 1", r"blocks/a\.yaml: a file holds the lists work_pools, blocks, deployments"),
        (
            "blocks: [{name: a, type: secret}, {name: a, type: secret}]",
            r"secret/a is in blocks/a\.yaml: blocks\[0\] too",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        project(tmp_path, text)


def test_without_files_the_way_to_them_is_said(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="carbon-policy init"):
        read_project(tmp_path, {})


def test_words_that_old_yaml_takes_for_booleans_and_dates_are_words(tmp_path: Path) -> None:
    read = project(
        tmp_path,
        "blocks: [{name: a, type: t, data: {mode: off, zone: NO, by: 2026-11-22T06:00:00Z, yes: true, n: 0.5}}]",
    )
    data = {"mode": "off", "zone": "NO", "by": "2026-11-22T06:00:00Z", "yes": True, "n": 0.5}
    assert read.blocks[0].data == data


def test_no_secret_is_in_a_refusal_or_a_repr(tmp_path: Path) -> None:
    environment = {"TOKEN": "hunter2!"}
    text = "work_pools: [{name: a, type: process, concurrency_limit: '${TOKEN}'}]"
    with pytest.raises(InvalidInputError) as refusal:
        project(tmp_path, text, environment)
    assert "hunter2!" not in str(refusal.value)
    assert refusal.value.__cause__ is None
    read = project(tmp_path, "blocks: [{name: a, type: secret, data: {value: '${TOKEN}'}}]", environment)
    assert read.blocks[0].data == {"value": "hunter2!"}
    assert "hunter2!" not in repr(read)


def test_a_cron_expression_alone_is_a_schedule_in_utc(tmp_path: Path) -> None:
    read = project(tmp_path, "deployments: [{name: a, entrypoint: a, work_pool: b, schedule: 0 2 * * *}]")
    assert read.deployments[0].schedule is not None
    assert read.deployments[0].schedule.timezone == "UTC"


def test_a_pool_without_a_form_for_the_infrastructure_is_refused(tmp_path: Path) -> None:
    (pool,) = project(tmp_path, "work_pools: [{name: a, templates: {docker: {}}}]").work_pools
    assert pool.form(Infrastructure.DOCKER)[0] == "docker"
    with pytest.raises(InvalidInputError, match="no template for process; add one, or choose docker"):
        pool.form(Infrastructure.PROCESS)
