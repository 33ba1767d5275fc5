"""The files that `carbon-policy init` writes."""

from __future__ import annotations

from pathlib import Path

from carbon_policy.provision.project import read_project
from carbon_policy.provision.starter import Outcome, write_starter


def test_it_writes_a_project_that_can_be_applied(tmp_path: Path) -> None:
    written = write_starter(tmp_path / "new")
    assert {file.outcome for file in written} == {Outcome.WROTE}
    assert {"prefect.yaml", "deployments/pools.yaml", "blocks/sites.yaml"} <= {
        f.path.as_posix() for f in written
    }
    assert not [file for file in written if "__pycache__" in file.path.parts]
    assert [pool.name for pool in read_project(tmp_path / "new", {}).work_pools] == ["carbon", "fast", "eco"]


def test_it_replaces_no_file_unless_it_is_told_to(tmp_path: Path) -> None:
    write_starter(tmp_path)
    mine = tmp_path / "blocks" / "sites.yaml"
    mine.write_text("blocks: []\n")
    assert {file.outcome for file in write_starter(tmp_path)} == {Outcome.SKIPPED}
    assert mine.read_text() == "blocks: []\n"
    outcomes = {file.path.as_posix(): file.outcome for file in write_starter(tmp_path, force=True)}
    assert outcomes.pop("blocks/sites.yaml") is Outcome.REPLACED
    assert set(outcomes.values()) == {Outcome.SKIPPED}
    assert mine.read_text() != "blocks: []\n"
