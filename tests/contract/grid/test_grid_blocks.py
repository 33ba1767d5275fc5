"""The grid sources as Prefect blocks: Prefect's own suite, and a round through a real server."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prefect.blocks.core import Block
from prefect.testing.standard_test_suites.blocks import BlockStandardTestSuite
from prefect.testing.utilities import prefect_test_harness
from pydantic import SecretStr

from carbon_policy.domain.signal import BasisKind, SignalKind
from carbon_policy.grid.carbon_aware_sdk import CarbonAwareSdkGrid
from carbon_policy.grid.electricity_maps import ElectricityMapsGrid
from carbon_policy.grid.energinet import EnerginetGrid
from carbon_policy.grid.energy_charts import EnergyChartsGrid
from carbon_policy.grid.neso import NesoGrid
from carbon_policy.grid.simulated import SimulatedGrid
from carbon_policy.grid.trace import TraceGrid
from carbon_policy.grid.watttime import WattTimeGrid

BEGAN = datetime(2026, 11, 22, 9, 0, 0, 123456, tzinfo=UTC)
SHOWN = datetime(2023, 6, 1, tzinfo=UTC)
KINDS: list[type[Block]] = [
    CarbonAwareSdkGrid,
    ElectricityMapsGrid,
    EnerginetGrid,
    EnergyChartsGrid,
    NesoGrid,
    SimulatedGrid,
    TraceGrid,
    WattTimeGrid,
]


@pytest.mark.parametrize("block", KINDS)
class TestGridBlocks(BlockStandardTestSuite):
    # A parameter stands in for the suite's fixture.
    block = None  # type: ignore[assignment]

    def test_has_a_valid_image(self, block: type[Block]) -> None:
        # Prefect's own test fetches the picture, and there may be no network.
        assert str(block._logo_url).startswith("https://")

    def test_the_slug_is_a_contract(self, block: type[Block]) -> None:
        assert block.get_block_type_slug() in {
            "carbon-aware-sdk-grid",
            "carbon-electricity-maps-grid",
            "carbon-energinet-grid",
            "carbon-energy-charts-grid",
            "carbon-neso-grid",
            "carbon-simulated-grid",
            "carbon-trace-grid",
            "carbon-watttime-grid",
        }
        assert "carbon-intensity" in block.get_block_capabilities()


@pytest.fixture(scope="module")
def prefect_server() -> Iterator[None]:
    with prefect_test_harness(server_startup_timeout=120):
        yield


@pytest.mark.server
@pytest.mark.usefixtures("prefect_server")
@pytest.mark.parametrize(
    ("block", "changed"),
    [
        (NesoGrid(regionid=13), {"regionid": 13}),
        (EnerginetGrid(), {}),
        (EnergyChartsGrid(), {}),
        (
            ElectricityMapsGrid(api_key="em-key", api_version="v3", emission_factor_type="direct"),
            {"api_version": "v3", "api_key": SecretStr("em-key")},
        ),
        (
            WattTimeGrid(username="freddo", password="the-frog", regions={"US-MIDA-PJM": "PJM_DC"}),
            {"password": SecretStr("the-frog"), "regions": {"US-MIDA-PJM": "PJM_DC"}},
        ),
        (
            CarbonAwareSdkGrid(
                base_url="http://carbon.example.com",
                locations={"IE": "northeurope"},
                step="1h",
                signal="marginal",
                basis="consumption",
            ),
            {"step": timedelta(hours=1), "signal": SignalKind.MARGINAL, "basis": BasisKind.CONSUMPTION},
        ),
        (
            SimulatedGrid(
                seed=7, began_at=BEGAN, trace_start="2023-06-01T02:00:00+02:00", speed=60, horizon="48h"
            ),
            {"began_at": BEGAN, "trace_start": SHOWN, "horizon": timedelta(hours=48)},
        ),
        (
            TraceGrid(path="day.csv", zone="DE", factors="direct", began_at=BEGAN, trace_start=SHOWN),
            {"began_at": BEGAN, "zone": "DE"},
        ),
    ],
)
def test_a_block_comes_back_from_the_server_as_it_was(block: Any, changed: dict[str, Any]) -> None:
    block.save("mine", overwrite=True)
    loaded = type(block).load("mine")
    assert loaded.model_dump() == block.model_dump()
    for field, value in changed.items():
        assert getattr(loaded, field) == value
    assert loaded.capabilities() == block.capabilities()
