"""A decision as frozen data: what to do, why, what else there was, and the evidence it was made from."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from carbon_policy.domain.budget import BudgetUse
from carbon_policy.domain.chain import ChainStep
from carbon_policy.domain.estimate import Estimate
from carbon_policy.domain.finding import Finding
from carbon_policy.domain.job import JobSpec, PolicyName
from carbon_policy.domain.signal import IntensitySeries
from carbon_policy.domain.site import Site
from carbon_policy.domain.times import Duration, Moment


class Action(StrEnum):
    """What becomes of the run now."""

    RUN = "run"
    DEFER = "defer"
    SKIP = "skip"
    FAIL = "fail"


class ReasonCode(StrEnum):
    """Why. A public contract: automations and reports match on these values, so they are never renamed."""

    CRITICAL = "critical"
    MODE_OFF = "mode-off"
    RELEASED = "released"
    OBSERVED = "observed"
    NO_SIGNAL = "no-signal"
    NO_SITE = "no-site"
    HORIZON_TOO_SHORT = "horizon-too-short"
    MISSED_RUN = "missed-run"
    MISSED_SKIP = "missed-skip"
    MISSED_FAIL = "missed-fail"
    NOT_YET_ALLOWED = "not-yet-allowed"
    DEFERRAL_CAP = "deferral-cap"
    NO_ROOM_TO_WAIT = "no-room-to-wait"
    GREENEST_NOW = "greenest-now"
    SAVING_TOO_SMALL = "saving-too-small"
    GREENER_LATER = "greener-later"
    GREENER_SITE = "greener-site"
    GREENER_EARLY = "greener-early"
    BETTER_SITE = "better-site"
    INTENSITY_LOW = "intensity-low"
    INTENSITY_MEDIUM = "intensity-medium"
    INTENSITY_HIGH_ECO = "intensity-high-eco"
    INTENSITY_HIGH = "intensity-high"
    WAITING_FOR_LOW = "waiting-for-low"
    DIRECT_CALL = "direct-call"
    TOO_UNCERTAIN = "too-uncertain"
    KEPT_PLAN = "kept-plan"
    SLICE_NOW = "slice-now"
    GREENER_SLICES = "greener-slices"
    FLEET_NOW = "fleet-now"
    FLEET_LATER = "fleet-later"
    OVER_BUDGET_DEFERRED = "over-budget-deferred"
    OVER_BUDGET_ECO = "over-budget-eco"
    OVER_BUDGET_HELD = "over-budget-held"
    OVER_BUDGET_REFUSED = "over-budget-refused"


class Thresholds(BaseModel):
    """What counts as low and high intensity.

    Attributes:
        low_gco2_per_kwh: At or below this is low; `None` to take `low_quantile` of the known series.
        high_gco2_per_kwh: At or above this is high; `None` to take `high_quantile`.
        low_quantile: Share (0 to 1) of the zone's recent history and outlook that counts as low.
        high_quantile: Share above which it counts as high.
        flexible_waits_when_high: Flexible jobs wait under high intensity too, and do not go to eco.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    low_gco2_per_kwh: float | None = Field(default=None, ge=0)
    high_gco2_per_kwh: float | None = Field(default=None, ge=0)
    low_quantile: float = Field(default=0.33, ge=0, le=1)
    high_quantile: float = Field(default=0.67, ge=0, le=1)
    flexible_waits_when_high: bool = True


class Ranking(BaseModel):
    """How sites are weighed against each other; each criterion counts from 0 (the worst on offer) to 1 (the best).

    Attributes:
        carbon: Weight of the expected grams.
        price: Weight of the expected money.
        latency: Weight of the time to reach the site.
        availability: Weight of the share of time in which the site can be used.
        priority: Weight of the team's own preference.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    carbon: float = Field(default=0.0, ge=0)
    price: float = Field(default=0.0, ge=0)
    latency: float = Field(default=0.0, ge=0)
    availability: float = Field(default=0.0, ge=0)
    priority: float = Field(default=0.0, ge=0)


class RankingProfile(StrEnum):
    """Named weights: `carbon-first` takes the fewest grams, `service-first` weighs how well a site serves."""

    CARBON_FIRST = "carbon-first"
    SERVICE_FIRST = "service-first"


RANKINGS = {
    RankingProfile.CARBON_FIRST: Ranking(carbon=1.0),
    RankingProfile.SERVICE_FIRST: Ranking(availability=0.3, latency=0.25, price=0.25, priority=0.2),
}


class PolicySettings(BaseModel):
    """What a policy is told beside the job itself.

    Attributes:
        thresholds: For the `threshold` policy.
        start_latency: From a planned start to the job's own code: to wake, to decide again, to start a process.
            A wait leaves this much room before the deadline.
        minimum_deferral: A wait shorter than this is not worth a hop, and two hops that close could overlap.
        wait_cost_per_hour: The share of the counterfactual's grams that an hour of waiting must save to be worth it.
        wait_cost_per_running_hour: The share of what one hour of the job emits that an hour of waiting must save: an
            hour of waiting then has one price, whether the job is short or long.
        price_weight_gco2_per_unit: How many grams one unit of money weighs when sites have prices; 0 ignores price.
        near_best: Starts whose grams are within this share of the best count as equally good, and are spread.
        ranking: How sites are weighed.
        transfer_kwh_per_gb: Energy to move a GB of data to another zone.
        replan_margin: A plan that was made is changed only for a saving of at least this share of its grams.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    thresholds: Thresholds = Thresholds()
    start_latency: Duration = timedelta(minutes=2)
    minimum_deferral: Duration = timedelta(minutes=1)
    wait_cost_per_hour: float = Field(default=0.0, ge=0)
    wait_cost_per_running_hour: float = Field(default=0.0, ge=0)
    price_weight_gco2_per_unit: float = Field(default=0.0, ge=0)
    near_best: float = Field(default=0.0, ge=0, le=0.5)
    ranking: Ranking = RANKINGS[RankingProfile.CARBON_FIRST]
    transfer_kwh_per_gb: float = Field(default=0.001, ge=0)
    replan_margin: float = Field(default=0.02, ge=0, le=1)

    def wait_cost(self, run_time: timedelta) -> float:
        """The share of its grams that an hour of waiting must save of a job that takes so long."""
        hours = run_time.total_seconds() / 3600
        return self.wait_cost_per_hour + (self.wait_cost_per_running_hour / hours if hours > 0 else 0.0)


class Plan(BaseModel):
    """What was planned for a waiting run when it was last decided.

    Attributes:
        site: Name of the site.
        start: When it was to start, UTC.
        decided_at: When that was planned, UTC.
        by: `fleet` where it was planned together with all waiting runs; `None` where it was planned alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    site: str
    start: Moment
    decided_at: Moment
    by: PolicyName | None = None


class Evidence(BaseModel):
    """Everything that a decision was made from. The same evidence gives the same decision.

    Attributes:
        job: What names the job run; the jitter that spreads equal starts is made from it.
        now: When it was asked, UTC.
        submitted_at: When the run was due, or will be where it may start early, UTC.
        spec: What is said of the job.
        sources: Where each field of `spec` came from.
        settings: What the policy was told.
        sites: The sites that could be chosen, the reference (`fast`) first.
        outlook: Zone to intensity, from `now` (or its recent history, for quantiles) to the horizon.
        steps: Zone to the step of the fallback chain at which its outlook was found.
        findings: What was amiss with the signals, and what was done about it.
        deferrals: How often the run was deferred before.
        released: Someone said: go now.
        notes: What else went wrong on the way to this evidence.
        quantiles: Zone to levels (0 to 1) to one value for each slot of the zone's outlook, g/kWh; a zone of whose
            errors nothing is known is missing.
        skill: Zone to the share (at most 1, and below 0 where it misleads) of the perfect-foresight saving that
            following its forecasts has kept; a zone of which that is not known is missing.
        estimates: Site to the job's duration and energy there; a site without one takes what the job and the site say.
        plan: What was planned before, for a run that waits; also when it wakes, where the fleet planned it.
        progress: The share of the work (0 to 1) that is done and saved, of a job that was interrupted.
        budgets: The budgets that count this run, and what is used of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    job: str
    now: Moment
    submitted_at: Moment
    spec: JobSpec
    sources: dict[str, str] = Field(default_factory=dict)
    settings: PolicySettings = PolicySettings()
    sites: tuple[Site, ...]
    outlook: dict[str, IntensitySeries] = Field(default_factory=dict)
    steps: dict[str, ChainStep] = Field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    deferrals: int = Field(default=0, ge=0)
    released: bool = False
    notes: tuple[str, ...] = ()
    quantiles: dict[str, dict[float, tuple[float, ...]]] = Field(default_factory=dict)
    skill: dict[str, float] = Field(default_factory=dict)
    estimates: dict[str, Estimate] = Field(default_factory=dict)
    plan: Plan | None = None
    progress: float = Field(default=0.0, ge=0, le=1)
    budgets: tuple[BudgetUse, ...] = ()

    @property
    def is_running(self) -> bool:
        """Whether the job is asked about in one of its slices, and not while it waits."""
        return self.progress > 0 and self.plan is None

    @property
    def at_once(self) -> datetime:
        """When it would start if nobody thought of carbon, UTC: now, or when it is due if that is still to come.

        A job that has begun early goes on at once.
        """
        return self.now if self.progress > 0 else max(self.now, self.submitted_at)

    @property
    def is_early(self) -> bool:
        """Whether the job is asked about before it is due, and has not begun."""
        return self.at_once > self.now

    @property
    def knows_the_hours(self) -> bool:
        """Whether more than its mean over a year is known of any zone's grid."""
        return not self.steps or any(step is not ChainStep.YEARLY_MEAN for step in self.steps.values())

    @property
    def remarks(self) -> tuple[str, ...]:
        """Notes and findings as sentences, for people."""
        return (*self.notes, *(str(finding) for finding in self.findings))


class Slice(BaseModel):
    """A stretch in which an interruptible job runs.

    Attributes:
        start: UTC.
        finish: UTC; the cost of starting and stopping included.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    start: Moment
    finish: Moment


class Option(BaseModel):
    """One place and time at which the job could run.

    Attributes:
        site: Name of the site.
        tier: Its tier.
        start: UTC.
        finish: UTC; on a slower site the run is longer.
        energy_kwh: Expected, PUE included.
        gco2: Expected grams, from the outlook.
        note: What else there is to say of it, for people: such as what moving its data adds.
        cost: Expected money; `None` where the site has no prices.
        slices: The stretches in which an interruptible job runs, in order; empty for one run without a break.
    """

    model_config = ConfigDict(frozen=True)

    site: str
    tier: str
    start: Moment
    finish: Moment
    energy_kwh: float
    gco2: float | None
    note: str = ""
    cost: float | None = None
    slices: tuple[Slice, ...] = ()


class Decision(BaseModel):
    """What to do with a run.

    Attributes:
        action: Run, defer, skip or fail.
        site: Name of the site to run on (for a deferral: the one expected at `start`); `None` when skipped.
        start: When to run, UTC; for a deferral the planned start.
        reason: Stable code.
        sentence: The reason for people.
        ask_again_at: For a deferral, when to decide again, UTC.
        chosen: The option taken, with its expected grams.
        alternatives: The best option of each site, now and later, the greenest first.
        counterfactual: The same job at once on the reference site; before it is due, when it is due.
        would_have: In `observe` mode, what would have been done.
        evidence: What it was made from.
    """

    model_config = ConfigDict(frozen=True)

    action: Action
    site: str | None
    start: Moment
    reason: ReasonCode
    sentence: str
    ask_again_at: Moment | None = None
    chosen: Option | None = None
    alternatives: tuple[Option, ...] = ()
    counterfactual: Option | None = None
    would_have: Decision | None = None
    evidence: Evidence

    @property
    def slices(self) -> tuple[Slice, ...]:
        """The stretches in which an interruptible job is to run; empty for one run without a break."""
        return self.chosen.slices if self.chosen is not None else ()

    @property
    def predicted_saving_gco2(self) -> float | None:
        """Expected grams saved against the counterfactual; negative where it costs more."""
        if self.chosen is None or self.counterfactual is None:
            return None
        if self.chosen.gco2 is None or self.counterfactual.gco2 is None:
            return None
        return self.counterfactual.gco2 - self.chosen.gco2
