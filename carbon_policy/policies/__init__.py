"""One job and its evidence in, one decision out. Pure: no clock, no network, no Prefect."""

from carbon_policy.policies.decide import decide

__all__ = ["decide"]
