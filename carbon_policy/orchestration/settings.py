"""Settings of the plugin: environment `PREFECT_INTEGRATIONS_CARBON_*`, `.env`, `prefect.toml`, `pyproject.toml`."""

from __future__ import annotations

from typing import Any

from prefect.settings import get_current_settings
from prefect.settings.base import PrefectBaseSettings, build_settings_config
from pydantic import Field, SecretStr

from carbon_policy.domain.job import Mode
from carbon_policy.domain.site import Site, Tier
from carbon_policy.grid.cloud_regions import zone_of
from carbon_policy.orchestration.names import DEFAULT_POLICY_BLOCK


class CarbonSettings(PrefectBaseSettings):
    """What holds for one machine or one environment, below the policy block in precedence."""

    model_config = build_settings_config(("integrations", "carbon"))

    policy_block: str = Field(
        default=DEFAULT_POLICY_BLOCK, description="The Carbon Policy block to decide by."
    )
    mode: Mode | None = Field(default=None, description="The mode where neither job nor block says one.")
    ledger_url: SecretStr | None = Field(
        default=None, description="SQLAlchemy URL of the ledger; unset means a SQLite file in Prefect's home."
    )
    history_url: SecretStr | None = Field(
        default=None,
        description="SQLAlchemy URL of the grid's history and forecasts; unset means beside the ledger.",
    )
    history_days: int = Field(
        default=1100, ge=28, description="Days after which stored intensities and forecasts are forgotten."
    )
    measure_every_s: float = Field(
        default=15.0, gt=0, description="Seconds between two energy readings of a job."
    )
    zone: str | None = Field(
        default=None,
        description="The grid or cloud region of this machine, for direct calls without a policy.",
    )
    power_w: float = Field(
        default=60.0, gt=0, description="What a job draws on this machine, watts, if unmeasured."
    )
    worker_port: int | None = Field(
        default=None,
        ge=0,
        le=65535,
        description="Where a carbon worker serves its metrics and health; 0 takes a free port, unset serves none.",
    )
    worker_host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="The address that it listens at. There is no password: whoever reaches it can read.",
    )
    worker_threads: int = Field(default=8, ge=1, description="Gates that one carbon worker runs at once.")
    worker_recover_after_s: float = Field(
        default=120.0,
        ge=30.0,
        description="Seconds after which a gate that has said nothing is taken for dead, and begun again.",
    )

    def as_layer(self) -> dict[str, Any]:
        """The job settings that these settings stand for, as a layer of `precedence`."""
        return {"mode": self.mode} if self.mode is not None else {}

    def ledger_address(self) -> str:
        """The SQLAlchemy URL of the ledger, its password in clear."""
        if self.ledger_url is not None:
            return self.ledger_url.get_secret_value()
        return f"sqlite:///{get_current_settings().home / 'carbon-policy' / 'ledger.db'}"

    def history_address(self) -> str:
        """The SQLAlchemy URL of the grid's history, its password in clear."""
        return self.history_url.get_secret_value() if self.history_url else self.ledger_address()

    def this_machine(self) -> Site:
        """This machine as a site, for a job that was called directly."""
        zone = self.zone or "unknown"
        return Site(
            name="here",
            work_pool="none",
            tier=Tier.FAST,
            zone=zone_of(zone) if ":" in zone else zone,
            power_w=self.power_w,
        )
