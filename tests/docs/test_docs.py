"""The documentation is tested: its code runs, its files are taken, its commands, links and tables hold."""

from __future__ import annotations

import importlib.util
import re
import shlex
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import cache
from inspect import isabstract
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from prefect.blocks.core import Block
from prefect.flows import load_flow_from_entrypoint
from pydantic import BaseModel
from pydantic.fields import FieldInfo

import carbon_policy.collection  # noqa: F401  The grid sources are known once they are imported.
from carbon_policy.cli.main import app
from carbon_policy.domain.chain import ChainStep
from carbon_policy.domain.decision import Action, ReasonCode
from carbon_policy.domain.energy import EnergyMethod
from carbon_policy.domain.finding import FindingKind, Treatment
from carbon_policy.domain.job import JobSpec
from carbon_policy.domain.precedence import DEPLOYMENT, LAYERS, resolve
from carbon_policy.domain.site import Tier
from carbon_policy.domain.times import format_duration
from carbon_policy.grid.source import GridSource
from carbon_policy.orchestration import names
from carbon_policy.orchestration.blocks import CarbonPolicy, CarbonSite
from carbon_policy.orchestration.deferral import _LABEL_RETRIES
from carbon_policy.orchestration.overdue import OverdueKind
from carbon_policy.orchestration.settings import CarbonSettings
from carbon_policy.orchestration.variables import check_names, policy_part
from carbon_policy.provision.block_documents import block_class
from carbon_policy.provision.files import (
    DeploymentEntry,
    Infrastructure,
    WorkPoolEntry,
    refuse_unknown_keys,
)
from carbon_policy.provision.project import read_project
from carbon_policy.provision.templates import base_job_template

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
README, REFERENCE, ARCHITECTURE = PAGES[0], ROOT / "docs" / "reference.md", ROOT / "docs" / "architecture.md"
MOST_NOT_RUN = 2
LONGEST_README = 150

_FENCE = re.compile(
    r"^(?:<!-- (?P<mark>[^\n]*?) -->\n)?```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
_SPAN = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_OF_A_MACHINE = re.compile(r"(?<![\w.])/(?:home|root|tmp|work|Users)/|index-url|pypi", re.IGNORECASE)


@dataclass(frozen=True)
class Code:
    """A block of code in a page, with the comment right above it."""

    page: Path
    line: int
    kind: str
    mark: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


@cache
def code_of(page: Path) -> list[Code]:
    text = page.read_text(encoding="utf-8")
    assert text.count("\n```") % 2 == 0, f"{page.name}: a block of code is not closed"
    return [
        Code(page, text.count("\n", 0, found.start()) + 1, found["kind"], found["mark"] or "", found["text"])
        for found in _FENCE.finditer(text)
    ]


def code(kind: str) -> list[Code]:
    return [item for page in PAGES for item in code_of(page) if item.kind == kind]


def prose_of(page: Path) -> str:
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def commands_of(page: Path) -> Iterator[str]:
    """What a reader may type: the lines of consoles, and the spans of code in the prose."""
    for item in code_of(page):
        if item.kind in ("console", "mermaid"):
            yield from item.text.splitlines()
    yield from (" ".join(span.split()) for span in _SPAN.findall(prose_of(page)))


# --- code


PYTHON = [item for item in code("python") if not item.mark.startswith("not run")]
NOT_RUN = [item for item in code("python") if item.mark.startswith("not run")]


@pytest.mark.parametrize(
    "item",
    [
        pytest.param(item, id=str(item), marks=[pytest.mark.server] * (item.mark == "server"))
        for item in PYTHON
    ],
)
def test_python_runs(
    item: Code, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    if item.mark == "server":
        request.getfixturevalue("bench")
    # A file and a module, so that everything finds its source; `__main__` is not run.
    name, path = f"documented_{item.page.stem}_{item.line}", tmp_path / "documented.py"
    path.write_text(item.text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)


def test_little_python_is_not_run_and_each_says_why() -> None:
    assert len(NOT_RUN) <= MOST_NOT_RUN
    for item in NOT_RUN:
        assert re.fullmatch(r"not run: \w.{10,}", item.mark), f"{item}: say why it is not run"
        compile(item.text, str(item), "exec")


@cache
def known_job_variables() -> frozenset[str]:
    """Of the pools that are shipped, in every form."""
    templates = [
        base_job_template(*pool.form(form))
        for pool in read_project(ROOT, {}).work_pools
        for form in Infrastructure
    ]
    return frozenset(name for template in templates for name in template["variables"]["properties"])


def check_job(variables: dict[str, Any], where: str) -> None:
    check_names(variables, known_job_variables(), where)
    resolve({DEPLOYMENT: policy_part(variables)})


@pytest.mark.parametrize("item", [pytest.param(item, id=str(item)) for item in code("yaml")])
def test_yaml_is_what_its_file_may_hold(item: Code, tmp_path: Path) -> None:
    named = re.match(r"# ((?:blocks|deployments)/[\w-]+\.yaml|prefect\.yaml)\n", item.text)
    assert named, f"{item}: begin with a comment that names the file"
    if named[1] == "prefect.yaml":
        for deployment in yaml.safe_load(item.text)["deployments"]:
            assert {"name", "entrypoint", "work_pool"} <= set(deployment)
            check_job(deployment["work_pool"].get("job_variables", {}), str(item))
        return
    path = tmp_path / named[1]
    path.parent.mkdir()
    path.write_text(item.text, encoding="utf-8")
    project = read_project(tmp_path, {})
    for block in project.blocks:
        kind = block_class(block)
        refuse_unknown_keys(block.data, kind.model_fields)
        kind.model_validate(block.data)
    for deployment in project.deployments:
        check_job(deployment.variables, str(item))
        if ":" not in deployment.entrypoint:
            load_flow_from_entrypoint(deployment.entrypoint)
    for pool in project.work_pools:
        base_job_template(*pool.form(Infrastructure.PROCESS))


# --- commands


def cli_commands() -> dict[str, Any]:
    return dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def make_targets() -> set[str]:
    return set(
        re.findall(r"^([a-z][a-z-]*):(?!=)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_and_option_exists(page: Path) -> None:
    known = cli_commands()
    for text in commands_of(page):
        for name, rest in re.findall(r"(?<![\w./-])carbon-policy ([a-z][\w-]*)([^&|]*)", text):
            assert name in known, f"{page.name}: `{text}`: there is no carbon-policy {name}"
            options = {"--help", "-h"} | {
                option for param in known[name].params for option in (*param.opts, *param.secondary_opts)
            }
            for word in shlex.split(rest, comments=True):
                if word.startswith("-"):
                    assert word in options, f"{page.name}: `{text}`: carbon-policy {name} has no {word}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_make_target_exists(page: Path) -> None:
    mentioned = {
        name for text in commands_of(page) for name in re.findall(r"(?<![\w-])make ([a-z][\w-]*)", text)
    }
    assert mentioned <= make_targets()


def test_the_readme_shows_every_command_and_the_reference_every_target() -> None:
    text = "\n".join(commands_of(README))
    assert not [name for name in cli_commands() if f"carbon-policy {name}" not in text]
    assert make_targets() - {"help"} == {name.removeprefix("make ") for name in first_cells("Make")}


# --- links


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to a page's headings."""
    headings = _HEADING.findall(prose_of(page))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_resolves(page: Path) -> None:
    for link in _LINK.findall(prose_of(page)):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_file(), f"{page.name}: {link} leads nowhere"
        assert not anchor or anchor in anchors(target), f"{page.name}: {link}: there is no such heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_nothing_is_of_one_machine(page: Path) -> None:
    found = _OF_A_MACHINE.search(page.read_text(encoding="utf-8"))
    assert found is None, f"{page.name}: {found}"


def test_the_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= LONGEST_README


# --- tables


def rows(heading: str, page: Path = REFERENCE) -> list[list[str]]:
    """The rows of the tables right under a heading, code marks taken off."""
    lines = prose_of(page).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("#") and line.lstrip("# ") == heading)
    section = []
    for line in lines[start + 1 :]:
        if line.startswith("#"):
            break
        section.append(line)
    cells = [
        [cell.strip().strip("`") for cell in line.strip("|").split("|")]
        for line in section
        if line[:1] == "|"
    ]
    return [row for i, row in enumerate(cells) if not _is_head(cells, i)]


def _is_head(cells: list[list[str]], index: int) -> bool:
    ruled = [all(set(cell) <= set("-: ") for cell in row) for row in cells[index : index + 2]]
    return any(ruled)


def first_cells(heading: str, page: Path = REFERENCE) -> list[str]:
    return [row[0] for row in rows(heading, page)]


def assert_same(documented: Iterable[str], real: Iterable[str], where: str) -> None:
    documented, real = list(documented), set(real)
    assert len(documented) == len(set(documented)), f"{where}: something is there twice"
    missing, invented = real - set(documented), set(documented) - real
    assert not missing, f"{where} lacks {sorted(missing)}"
    assert not invented, f"{where} has what is no more: {sorted(invented)}"


def shown_default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, StrEnum):
        return value.value
    return str(value) if isinstance(value, (str, int)) else "empty"


def assert_fields(heading: str, model: type[BaseModel], prefix: str = "") -> None:
    """A table under a heading has a model's fields, with their defaults in the column of that name."""
    own = [
        name for name in model.model_fields if not (issubclass(model, Block) and name in Block.model_fields)
    ]
    shown = {name: f"{prefix}{name.upper() if prefix else name}" for name in own}
    assert_same(first_cells(heading), shown.values(), f"{REFERENCE.name}, {heading}")
    by_name = {row[0]: row[1:] for row in rows(heading)}
    for name, written in shown.items():
        default = shown_default(model.model_fields[name])
        assert default in by_name[written][:-1], f"{heading}: the default of {written} is {default}"


def ours(kind: type[Block]) -> list[type[Block]]:
    found = [cls for direct in kind.__subclasses__() for cls in (direct, *ours(direct))]
    return [cls for cls in found if cls.__module__.startswith("carbon_policy.") and not isabstract(cls)]


def test_the_reference_has_every_field_of_a_job() -> None:
    assert_fields("What is said of a job", JobSpec)
    assert f"`{names.POLICY_BLOCK}`" in prose_of(REFERENCE)


def test_the_reference_has_every_layer_of_precedence_in_order() -> None:
    listed = re.findall(
        r"^\d\. ((?:the |this )?[^:\n]+)", prose_of(REFERENCE).split("### Precedence")[1], re.MULTILINE
    )
    assert [line.removeprefix("the ") for line in listed[: len(LAYERS)]] == [
        layer.removeprefix("the ") for layer in LAYERS
    ]
    everything = CarbonPolicy(
        mode="on", policy="greenest", minimum_saving=0, max_deferrals=1, expected_duration="1h",
        allowed_hours="22:00-06:00", timezone="UTC",
    ).as_layer()  # fmt: skip
    sentence = prose_of(REFERENCE).split("4. the policy block: ")[1].split("5. ")[0]
    assert_same(_SPAN.findall(sentence), {*everything, "flexible_finish_within"}, "The policy block's layer")


def test_the_reference_has_every_reason_code() -> None:
    assert_same(first_cells("Reason codes"), list(ReasonCode), "Reason codes")
    assert all(f"`{action}`" in prose_of(REFERENCE) for action in Action)


def test_the_reference_has_every_schema() -> None:
    written = (path.read_text(encoding="utf-8") for path in (ROOT / "carbon_policy").rglob("*.py"))
    schemas = {found for text in written for found in re.findall(r'"(carbon-policy-[a-z]+/\d)"', text)}
    assert_same(first_cells("JSON of the commands"), schemas, "JSON of the commands")


def test_the_reference_has_every_step_and_every_finding() -> None:
    assert first_cells("Steps of the fallback chain") == list(ChainStep)
    assert_same(first_cells("Findings"), list(FindingKind), "Findings")
    assert all(f"`{treatment}`" in prose_of(REFERENCE) for treatment in Treatment)


def test_the_reference_has_every_setting() -> None:
    prefix = str(CarbonSettings.model_config["env_prefix"])
    assert_fields("Settings", CarbonSettings, prefix)


@pytest.mark.parametrize(
    "kind", [CarbonSite, CarbonPolicy, *ours(GridSource)], ids=lambda kind: kind.__name__
)
def test_the_reference_has_every_field_of_every_block(kind: type[Block]) -> None:
    assert_fields(kind.get_block_type_name(), kind)
    assert f"Slug `{kind.get_block_type_slug()}`" in prose_of(REFERENCE)


@pytest.mark.parametrize(
    ("heading", "model"), [("Work pools", WorkPoolEntry), ("Deployments", DeploymentEntry)]
)
def test_the_reference_has_every_key_of_the_files(heading: str, model: type[BaseModel]) -> None:
    assert_fields(heading, model)


def test_the_reference_has_every_name_on_the_server() -> None:
    constants = {name: value for name, value in vars(names).items() if name.isupper()}

    def named(start: str) -> set[str]:
        return {value for name, value in constants.items() if name.startswith(start)}

    assert_same(first_cells("Labels"), named("LABEL_") | {_LABEL_RETRIES}, "Labels")
    assert_same(first_cells("Tags"), named("TAG_"), "Tags")
    assert_same(first_cells("Job variables"), names.OWN_VARIABLES - {names.POLICY_BLOCK}, "Job variables")


def test_the_reference_has_every_state_kind_and_method() -> None:
    placed = {f"Placed{tier.value.capitalize()}" for tier in Tier}
    assert {names.DEFERRED, *placed, "Skipped", "Refused"} <= set(first_cells("States"))
    assert_same(first_cells("Overdue runs"), list(OverdueKind), "Overdue runs")
    assert all(f"`{kind}`" in prose_of(ARCHITECTURE) for kind in OverdueKind)
    methods = {row[0]: row[1] for row in rows("The ledger")}
    assert methods == {
        method.value: "measured" if method.measured else "estimated" for method in EnergyMethod
    }


def test_the_architecture_names_every_module_and_no_other() -> None:
    package = ROOT / "carbon_policy"
    modules = {
        path.relative_to(package).as_posix() for path in package.rglob("*.py") if path.stem != "__init__"
    }
    listed = re.findall(r"^\| `([\w/]+\.py)` \|", prose_of(ARCHITECTURE), re.MULTILINE)
    assert_same(listed, modules, "The modules in architecture.md")


def test_the_architecture_has_the_floors_in_their_order() -> None:
    import tomllib

    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = config["tool"]["importlinter"]["contracts"][0]["layers"]
    assert first_cells("Floors", ARCHITECTURE) == [layer.removeprefix("carbon_policy.") for layer in layers]
