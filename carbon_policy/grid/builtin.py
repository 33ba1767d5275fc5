"""Every source that ships with the package: to import this is to make them known to Prefect's registry of blocks."""

import carbon_policy.grid.carbon_aware_sdk
import carbon_policy.grid.electricity_maps
import carbon_policy.grid.energinet
import carbon_policy.grid.energy_charts
import carbon_policy.grid.neso
import carbon_policy.grid.simulated
import carbon_policy.grid.trace
import carbon_policy.grid.watttime  # noqa: F401
