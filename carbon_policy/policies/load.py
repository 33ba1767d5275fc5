"""What a job takes, uses and costs on one site: as learnt, or as the job and the site say."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from carbon_policy.domain.decision import Evidence
from carbon_policy.domain.site import Site
from carbon_policy.policies.needs import reference_site

_SHORTEST_REST = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Load:
    """A job on a site; of an interrupted job, what is left of it.

    Attributes:
        duration: Expected.
        duration_high: So long it takes at most nine times in ten; a deadline is held against it.
        drawn_kw: What the building draws for it while it runs, PUE included.
        transfer_kwh: Energy to move its data there; 0 where the data lies in the site's zone.
        data_zone: Where its data comes from; `None` where none is moved.
    """

    duration: timedelta
    duration_high: timedelta
    drawn_kw: float
    transfer_kwh: float = 0.0
    data_zone: str | None = None

    @property
    def energy_kwh(self) -> float:
        """Expected, PUE included; without the transfer."""
        return self.drawn_kw * self.duration.total_seconds() / 3600

    def cost(self, site: Site) -> float | None:
        """Expected money; `None` where the site has no prices."""
        return site.cost(self.energy_kwh, self.duration.total_seconds() / 3600)


def load_on(evidence: Evidence, site: Site) -> Load:
    """The job's load on a site.

    With an estimate its expected energy, times PUE, is spread evenly over its expected duration; without one the
    job takes its duration over the site's speed, and draws the site's power.
    """
    estimate = evidence.estimates.get(site.name)
    if estimate is None:
        duration = high = evidence.spec.duration / site.speed
        drawn_kw = site.drawn_kw
    else:
        duration = max(estimate.duration, _SHORTEST_REST)
        high = max(duration, estimate.duration_high)
        drawn_kw = site.drawn_kw
        if estimate.energy_kwh is not None:
            drawn_kw = estimate.energy_kwh * site.pue / (duration.total_seconds() / 3600)
    if evidence.progress:
        left = 1 - evidence.progress
        duration, high = max(duration * left, _SHORTEST_REST), max(high * left, _SHORTEST_REST)
    data_zone = _moved_from(evidence, site)
    moved_gb = evidence.spec.data_gb if data_zone is not None else 0.0
    return Load(duration, high, drawn_kw, moved_gb * evidence.settings.transfer_kwh_per_gb, data_zone)


def run_time(evidence: Evidence, site: Site) -> timedelta:
    """How long the job is expected to take on a site, or what is left of it."""
    return load_on(evidence, site).duration


def _moved_from(evidence: Evidence, site: Site) -> str | None:
    if not evidence.spec.data_gb:
        return None
    zone = evidence.spec.data_zone
    if zone is None:
        reference = reference_site(evidence)
        zone = reference.zone if reference else None
    return zone if zone != site.zone else None
