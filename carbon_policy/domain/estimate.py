"""What a job is expected to take and to use on a site, and how that is known."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from carbon_policy.domain.times import Duration


class EstimateBasis(StrEnum):
    """`learnt` from past runs, or what was `given`: the job's `expected_duration` and the site's own figures."""

    LEARNT = "learnt"
    GIVEN = "given"


class Estimate(BaseModel):
    """A job's duration and energy on one site.

    Attributes:
        duration: Expected, on this site; of the whole job.
        duration_high: So long it takes at most nine times in ten: what a deadline is held against.
        energy_kwh: Expected at the machine, without PUE; `None` to take the site's power over the duration.
        basis: How it is known.
        runs: From how many past runs.
        sentence: The same for people, as `explain` shows it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    duration: Duration
    duration_high: Duration
    energy_kwh: float | None = Field(default=None, ge=0)
    basis: EstimateBasis
    runs: int = Field(default=0, ge=0)
    sentence: str = ""
