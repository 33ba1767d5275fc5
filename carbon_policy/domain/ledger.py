"""One line of the ledger: what ran, where, why, what it emitted, and what it would have."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from carbon_policy.domain.site import Tier
from carbon_policy.domain.times import Moment

Scalar = bool | int | float | str
"""What a parameter may be to be kept."""


class SlotGrams(BaseModel):
    """A run's energy and grams in one slot of the grid's signal; what an auditor multiplies by hand.

    Attributes:
        start: Start of the stretch, UTC.
        end: End of the stretch, UTC.
        energy_kwh: PUE included.
        gco2_per_kwh: The actual intensity of the slot.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    start: Moment
    end: Moment
    energy_kwh: float
    gco2_per_kwh: float

    @property
    def gco2(self) -> float:
        """Energy times intensity, grams."""
        return self.energy_kwh * self.gco2_per_kwh


class LedgerEntry(BaseModel):
    """What one job run was and emitted. Keyed by `job_run_id`; filling it twice changes nothing.

    Attributes:
        job_run_id: The flow run that ran the user's code.
        gate_run_id: The run that decided; the same as `job_run_id` where it ran in place; `None` for a direct call.
        run_name: The job run's name, for people.
        flow: Name of the flow.
        deployment: The user's deployment, not the twin; `None` for a direct call.
        site: Name of the site.
        tier: `fast` or `eco`.
        zone: The grid's zone.
        reason: Reason code of the last decision.
        sentence: Its sentence.
        decision_json: The whole decision with its evidence, as JSON.
        state: The run's final state type, such as `COMPLETED`.
        submitted_at: When the run was due, UTC.
        started_at: When the user's code began, UTC.
        ended_at: When it ended, UTC.
        deferrals: How often it was deferred.
        energy_kwh: At the machine, without PUE.
        measured_kwh: The part that counters said.
        estimated_kwh: The part that models said.
        energy_methods: How it was obtained, for people.
        energy_note: What a reader must know of the energy.
        pue: What the site's building multiplies it by.
        gco2: Realised grams: energy x PUE x actual intensity, slot by slot; `None` while actuals are missing.
        slots: The factors of `gco2`.
        counterfactual_energy_kwh: What the job at once on the reference site would have used, without PUE.
        counterfactual_gco2: What that would have emitted, on actual intensity; `None` while actuals are missing.
        counterfactual_slots: The factors of it.
        intensity_source: Who gave the actual intensities.
        signal: `average` or `marginal`.
        factors: `life-cycle` or `direct`.
        simulated: True where the grid was simulated: no claim may be built on it.
        predicted_gco2: What the decision expected of the option it took.
        predicted_saving_gco2: What the decision expected to save.
        preliminary: The grams are on a forecast or on estimates: the actual intensities were not known yet.
        notes: Anything that a reader must know.
        tags: The run's Prefect tags, without this project's own.
        parameters: What the flow was called with: plain values only, and none whose name sounds like a secret.
        quantity: How many functional units it made.
        functional_unit: What it made, such as `image` or `epoch`.
        cost: Money, from the site's prices of energy and time; `None` where the site has none.
        running_s: Seconds in which the user's code ran; less than from start to end where it was interrupted. `None`
            of a run that an older release recorded.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    job_run_id: str
    gate_run_id: str | None = None
    run_name: str = ""
    flow: str
    deployment: str | None = None
    site: str
    tier: Tier
    zone: str
    reason: str
    sentence: str = ""
    decision_json: str = "{}"
    state: str
    submitted_at: Moment
    started_at: Moment
    ended_at: Moment
    deferrals: int = 0
    energy_kwh: float = Field(ge=0)
    measured_kwh: float = Field(ge=0)
    estimated_kwh: float = Field(ge=0)
    energy_methods: str
    energy_note: str = ""
    pue: float = 1.0
    gco2: float | None = None
    slots: tuple[SlotGrams, ...] = ()
    counterfactual_energy_kwh: float | None = None
    counterfactual_gco2: float | None = None
    counterfactual_slots: tuple[SlotGrams, ...] = ()
    intensity_source: str = ""
    signal: str = "average"
    factors: str = "life-cycle"
    simulated: bool = False
    predicted_gco2: float | None = None
    predicted_saving_gco2: float | None = None
    preliminary: bool = False
    notes: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    parameters: dict[str, Scalar] = Field(default_factory=dict)
    quantity: float | None = None
    functional_unit: str | None = None
    cost: float | None = None
    running_s: float | None = None

    @property
    def settled(self) -> bool:
        """Whether the grams are known, and on actual intensities."""
        return self.gco2 is not None and not self.preliminary

    @property
    def saved_gco2(self) -> float | None:
        """Realised saving against the counterfactual, grams; negative where the placement cost carbon."""
        if self.gco2 is None or self.counterfactual_gco2 is None:
            return None
        return self.counterfactual_gco2 - self.gco2

    @property
    def wait_s(self) -> float:
        """Seconds from being due to the start of the user's code; negative where it started early."""
        return (self.started_at - self.submitted_at).total_seconds()
