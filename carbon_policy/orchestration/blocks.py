"""Prefect blocks that hold what a team decides once: the sites, and the policy.

They are edited in the Prefect UI or kept as code in `blocks/`, and read afresh at each decision.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar, Self

from prefect.blocks.core import Block
from pydantic import Field, field_validator, model_validator

from carbon_policy.domain.budget import Budget
from carbon_policy.domain.decision import RANKINGS, PolicySettings, Ranking, RankingProfile, Thresholds
from carbon_policy.domain.job import Mode, OverBudget, PolicyName, Risk
from carbon_policy.domain.site import Site, Tier, check_ceiling
from carbon_policy.domain.times import Duration
from carbon_policy.grid.cloud_regions import zone_of

_LOGO = "https://raw.githubusercontent.com/PrefectHQ/prefect/main/docs/images/favicon.svg"
_DOCS = "https://github.com/prefect-carbon-policy/prefect-carbon-policy"


class CarbonSite(Block):
    """A work pool with its zone, tier, power and speed.

    The block's name is the site's name.

    Example:
        ```python
        from carbon_policy.orchestration.blocks import CarbonSite

        CarbonSite(work_pool="eco", tier="eco", zone="DE", power_w=45, speed=0.5).save("eco")
        ```
    """

    _block_type_name: ClassVar[str] = "Carbon Site"
    _block_type_slug: ClassVar[str] = "carbon-site"
    _logo_url: ClassVar[Any] = _LOGO
    _documentation_url: ClassVar[Any] = _DOCS
    _description: ClassVar[str] = "A work pool with its grid zone, tier, power, speed and price."

    work_pool: str = Field(description="The Prefect work pool that a job placed here goes to.")
    tier: Tier = Field(description="`fast` for full speed, `eco` for constrained resources.")
    zone: str = Field(
        description="The grid it draws from: Electricity Maps' key, such as DE, or a cloud's region: aws:eu-west-1."
    )
    power_w: float = Field(gt=0, description="What one running job draws here, watts, without PUE.")
    idle_power_w: float = Field(
        default=0.0, ge=0, description="The part of `power_w` that is drawn at idle too."
    )
    speed: float = Field(default=1.0, gt=0, description="Work per time relative to the reference site.")
    pue: float = Field(default=1.0, ge=1, description="Power usage effectiveness of the building.")
    price_per_kwh: float | None = Field(default=None, ge=0, description="Money per kWh.")
    enabled: bool = Field(default=True, description="A disabled site is never chosen.")
    price_per_hour: float | None = Field(
        default=None, ge=0, description="Money per hour of one job there, beside its energy."
    )
    kind: str | None = Field(default=None, description="What it is, for people: edge, cloud, gpu.")
    cpus: float | None = Field(default=None, gt=0, description="Cores that one job can have there.")
    memory_gb: float | None = Field(default=None, gt=0, description="Memory that one job can have there, GB.")
    gpus: int | None = Field(default=None, ge=0, description="GPUs that one job can have there.")
    latency_ms: float | None = Field(default=None, ge=0, description="Time to reach it, ms.")
    capacity: int | None = Field(
        default=None, ge=1, description="Jobs that it runs at once; unset takes the work pool's limit."
    )
    availability: float = Field(
        default=1.0, ge=0, le=1, description="The share of time in which it can be used."
    )
    priority: float = Field(default=0.5, ge=0, le=1, description="How much the team prefers it, 0 to 1.")
    dirty_gco2_per_kwh: float | None = Field(
        default=None, ge=0, description="From this intensity on fewer jobs are planned there at once."
    )
    dirty_capacity: int | None = Field(
        default=None, ge=0, description="How many jobs then; given with the intensity, or not at all."
    )

    @model_validator(mode="after")
    def _has_a_whole_ceiling(self) -> Self:
        check_ceiling(self.dirty_gco2_per_kwh, self.dirty_capacity)
        return self

    @field_validator("zone")
    @classmethod
    def _is_a_region_that_is_known(cls, zone: str) -> str:
        if ":" in zone:
            zone_of(zone)
        return zone

    def as_site(self, name: str) -> Site:
        """The site as the policies know it; a cloud's region is the zone that it lies in.

        Args:
            name: The block document's name.
        """
        fields = {field: getattr(self, field) for field in Site.model_fields if field not in ("name", "free")}
        if ":" in self.zone:
            fields["zone"] = zone_of(self.zone)
        return Site(name=name, **fields)


class CarbonPolicy(Block):
    """What a team decides once about carbon; each job may say otherwise.

    Example:
        ```python
        from carbon_policy.orchestration.blocks import CarbonPolicy

        CarbonPolicy(sites=["fast", "eco"], grid_sources=["carbon-neso-grid/gb"]).save("default")
        ```
    """

    _block_type_name: ClassVar[str] = "Carbon Policy"
    _block_type_slug: ClassVar[str] = "carbon-policy"
    _logo_url: ClassVar[Any] = _LOGO
    _documentation_url: ClassVar[Any] = _DOCS
    _description: ClassVar[str] = (
        "How AI jobs are placed: the rule, its thresholds, the sites and the grid sources."
    )

    mode: Mode | None = Field(
        default=None, description="`on` acts, `observe` only records, `off` does not decide; unset means on."
    )
    policy: PolicyName | None = Field(
        default=None, description="The rule that decides: greenest, threshold or fleet; unset means greenest."
    )
    sites: list[str] = Field(
        default_factory=list,
        description="Names of Carbon Site blocks to choose from; the first fast one is the reference.",
    )
    grid_sources: list[str] = Field(
        default_factory=list,
        description="Grid source blocks, `type-slug/name`, the preferred first; empty takes the zone's default.",
    )
    minimum_saving: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Share of the grams that a wait or a slower site must save; unset means 0.05.",
    )
    max_deferrals: int | None = Field(
        default=None, ge=0, description="After so many deferrals a job is placed; unset means 8."
    )
    flexible_finish_within: Duration | None = Field(
        default=timedelta(hours=24), description="The window of a flexible job that names none."
    )
    expected_duration: Duration | None = Field(
        default=None, description="Assumed of a job that does not say how long it takes."
    )
    allowed_hours: str | None = Field(
        default=None, description="Hours in which jobs may start, such as 22:00-06:00."
    )
    timezone: str | None = Field(
        default=None, description="The time zone of the allowed hours, an IANA name."
    )
    low_gco2_per_kwh: float | None = Field(
        default=None, ge=0, description="At or below this, intensity is low."
    )
    high_gco2_per_kwh: float | None = Field(
        default=None, ge=0, description="At or above this, intensity is high."
    )
    low_quantile: float = Field(
        default=0.33, ge=0, le=1, description="The low threshold as a share of recent hours."
    )
    high_quantile: float = Field(
        default=0.67, ge=0, le=1, description="The high threshold as a share of recent hours."
    )
    flexible_waits_when_high: bool = Field(
        default=True, description="Under high intensity flexible jobs wait, and do not go to eco."
    )
    minimum_deferral: Duration = Field(
        default=timedelta(minutes=1), description="A shorter wait is not worth stopping and starting a run."
    )
    start_latency: Duration = Field(
        default=timedelta(minutes=2),
        description="From a planned start to the job's own code; a wait leaves this much room before the deadline.",
    )
    wait_cost_per_hour: float = Field(
        default=0.0, ge=0, description="Share of the grams that an hour of waiting must save to be worth it."
    )
    price_weight_gco2_per_unit: float = Field(
        default=0.0, ge=0, description="Grams that one unit of money weighs where sites have prices."
    )

    ranking: RankingProfile = Field(
        default=RankingProfile.CARBON_FIRST,
        description="How sites are weighed: carbon-first, or service-first (availability, latency, cost, priority).",
    )
    weights: dict[str, float] | None = Field(
        default=None,
        description="Weights of your own instead: carbon, price, latency, availability, priority.",
    )
    transfer_kwh_per_gb: float = Field(
        default=0.001, ge=0, description="Energy to move a GB of data to another zone, kWh."
    )
    replan_margin: float = Field(
        default=0.02,
        ge=0,
        le=1,
        description="Share of the grams that a change of a waiting job's plan must save.",
    )
    risk: Risk | None = Field(
        default=None, description="How sure a saving must be: careful, balanced, bold; unset means bold."
    )
    over_budget: OverBudget | None = Field(
        default=None,
        description="What becomes of a job that breaks a budget: defer, eco, release, refuse; unset means defer.",
    )
    budgets: list[Budget] = Field(
        default_factory=list, description="Grams and money a month, of a tag or (tag empty) of all runs."
    )

    wait_cost_per_running_hour: float = Field(
        default=0.0,
        ge=0,
        description="Share of what an hour of the job emits that an hour of waiting must save.",
    )

    @field_validator("weights")
    @classmethod
    def _are_weights(cls, weights: dict[str, float] | None) -> dict[str, float] | None:
        if weights is not None:
            Ranking(**weights)
        return weights

    @field_validator("grid_sources")
    @classmethod
    def _are_references(cls, references: list[str]) -> list[str]:
        for reference in references:
            if reference.count("/") != 1:
                raise ValueError(
                    f"{reference!r} does not name a block; write type-slug/name, such as carbon-neso-grid/gb."
                )
        return references

    def as_settings(self) -> PolicySettings:
        """The part that the policies read."""
        return PolicySettings(
            thresholds=Thresholds(**{field: getattr(self, field) for field in Thresholds.model_fields}),
            minimum_deferral=self.minimum_deferral,
            start_latency=self.start_latency,
            wait_cost_per_hour=self.wait_cost_per_hour,
            wait_cost_per_running_hour=self.wait_cost_per_running_hour,
            price_weight_gco2_per_unit=self.price_weight_gco2_per_unit,
            ranking=RANKINGS[self.ranking] if self.weights is None else Ranking(**self.weights),
            transfer_kwh_per_gb=self.transfer_kwh_per_gb,
            replan_margin=self.replan_margin,
        )

    def as_layer(self) -> dict[str, Any]:
        """The job settings that this block stands for, as a layer of `precedence`; unset ones are left out."""
        names = (
            "mode",
            "policy",
            "minimum_saving",
            "max_deferrals",
            "expected_duration",
            "allowed_hours",
            "timezone",
            "risk",
            "over_budget",
        )
        return {name: value for name in names if (value := getattr(self, name)) is not None}
