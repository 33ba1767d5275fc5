"""Which sites can take a job at all, and why the others cannot."""

from __future__ import annotations

from carbon_policy.domain.decision import Evidence
from carbon_policy.domain.job import JobSpec
from carbon_policy.domain.site import Site, Tier


def unmet_need(spec: JobSpec, site: Site) -> str | None:
    """What keeps a job off a site, for people; `None` where nothing does.

    A figure that nobody gave of a site is unknown, and what is unknown excludes nothing: a site that does not
    say how much memory it has is taken to have enough.
    """
    if not site.enabled:
        return "it is disabled"
    if spec.allowed_sites and site.name not in spec.allowed_sites:
        return "it is not among allowed_sites"
    if spec.allowed_zones and site.zone not in spec.allowed_zones:
        return f"its zone {site.zone} is not among allowed_zones"
    if spec.cpus is not None and site.cpus is not None and site.cpus < spec.cpus:
        return f"the job needs {spec.cpus:g} cpus and it has {site.cpus:g}"
    if spec.memory_gb is not None and site.memory_gb is not None and site.memory_gb < spec.memory_gb:
        return f"the job needs {spec.memory_gb:g} GB of memory and it has {site.memory_gb:g} GB"
    if site.gpus is not None and site.gpus < spec.gpus:
        return f"the job needs {spec.gpus} gpus and it has {site.gpus}"
    if spec.max_latency_ms is not None and (site.latency_ms or 0.0) > spec.max_latency_ms:
        return f"max_latency_ms is {spec.max_latency_ms:g} and it is {site.latency_ms:g} ms away"
    return None


def eligible_sites(evidence: Evidence) -> list[Site]:
    """The sites that meet the job's needs, in the order given."""
    return [site for site in evidence.sites if unmet_need(evidence.spec, site) is None]


def eligible_site(evidence: Evidence, name: str) -> Site | None:
    """The site of that name; `None` where there is none that meets the job's needs."""
    return next((site for site in eligible_sites(evidence) if site.name == name), None)


def reference_site(evidence: Evidence) -> Site | None:
    """Where the job would run if nobody thought of carbon: the first fast site that can take it, else the first."""
    sites = eligible_sites(evidence)
    return next((site for site in sites if site.tier is Tier.FAST), sites[0] if sites else None)


def no_site_sentence(evidence: Evidence) -> str:
    """Which need left out which site."""
    if not evidence.sites:
        return "No site is known to run the job on; add one to the policy."
    why = "; ".join(f"{site.name}: {unmet_need(evidence.spec, site)}" for site in evidence.sites)
    return f"No site can take the job. {why}. Change what the job needs, or what the sites offer."
