"""Checks of this machine: versions, and the ledger."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, version

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from carbon_policy.cli.checks.finding import Finding, Level
from carbon_policy.orchestration.settings import CarbonSettings
from carbon_policy.store.ledger import Ledger

_PACKAGE = "prefect-carbon-policy"
_BOUND = ("prefect", "fastapi")
"""Packages with which a version out of bounds has been seen to break something."""


def check_versions() -> Iterator[Finding]:
    """Whether what is installed is what was tested; the bounds are the package's own."""
    try:
        package = distribution(_PACKAGE)
    except PackageNotFoundError:
        yield Finding(Level.WARN, "versions", f"{_PACKAGE} is not installed here", "pip install -e .")
        return
    python = package.metadata["Requires-Python"] or ""
    yield _version("Python", platform.python_version(), SpecifierSet(python), "install one of these versions")
    bounds = {item.name: item for item in map(Requirement, package.requires or ()) if item.marker is None}
    for name in _BOUND:
        yield _version(name, version(name), bounds[name].specifier, f"pip install '{bounds[name]}'")


def _version(name: str, installed: str, bounds: SpecifierSet, mend: str) -> Finding:
    if bounds.contains(installed, prereleases=True):
        return Finding(Level.OK, name, installed)
    return Finding(Level.FAIL, name, f"{installed}, and tested is {bounds}", mend)


def check_ledger() -> Iterator[Finding]:
    """Whether the ledger opens."""
    with Ledger(CarbonSettings().ledger_address()) as ledger:
        jobs, missing = len(ledger.entries()), len(ledger.missing_actuals())
    unsettled = f", {missing} of them without final intensities" if missing else ""
    yield Finding(Level.OK, "ledger", f"{jobs} jobs{unsettled}")
