"""The live sources that take no account, and whose zones they are."""

from __future__ import annotations

from carbon_policy.grid.energinet import EnerginetGrid
from carbon_policy.grid.energy_charts import EnergyChartsGrid
from carbon_policy.grid.neso import NesoGrid
from carbon_policy.grid.source import GridSource

KEYLESS_KINDS: tuple[type[GridSource], ...] = (NesoGrid, EnerginetGrid, EnergyChartsGrid)


def keyless_sources(zone: str) -> list[GridSource]:
    """The sources to ask of a zone without an account, the operator's own first; none for most of the world."""
    sources = [kind() for kind in KEYLESS_KINDS]
    return [source for source in sources if zone in (source.capabilities().zones or ())]
