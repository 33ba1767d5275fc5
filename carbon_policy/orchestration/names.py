"""The names that carbon-policy leaves on a Prefect server: variables, labels, tags, artifact keys.

All of them are read back by someone, so all of them are a contract.
"""

from __future__ import annotations

from carbon_policy.domain.precedence import setting_names
from carbon_policy.domain.site import Tier

PLACED = "carbon_placed"
"""Job variable of a run that was placed: the name of the site. Such a run is never decided again."""

GATE_RUN = "carbon_gate_run"
"""Job variable of a placed run: the id of the run that placed it."""

DECLARED = "carbon_declared"
"""Job variable of a deployment: what the decorator on its flow said, recorded when it was deployed."""

POLICY_BLOCK = "policy_block"
"""Job variable: the name of the Carbon Policy block to decide by."""

OWN_VARIABLES = frozenset({PLACED, GATE_RUN, DECLARED, POLICY_BLOCK})
POLICY_VARIABLES = setting_names() | {POLICY_BLOCK}
"""What a user may say of a job in job variables."""

LABEL = "carbon-policy."
LABEL_PARENT = LABEL + "gate-run"
LABEL_CHILD = LABEL + "job-run"
LABEL_SITE = LABEL + "site"
LABEL_TIER = LABEL + "tier"
LABEL_REASON = LABEL + "reason"
LABEL_DEFERRALS = LABEL + "deferrals"
LABEL_SUBMITTED = LABEL + "submitted-at"
LABEL_DEFERRED_UNTIL = LABEL + "deferred-until"
LABEL_RELEASED = LABEL + "released"
LABEL_RELEASE_NOTE = LABEL + "release-note"
LABEL_USER_DEPLOYMENT = LABEL + "deployment"
LABEL_ENERGY_FAILURE = LABEL + "energy-failure"
LABEL_PLAN = LABEL + "plan"
"""Of a run that waits: what was planned for it, as JSON."""

LABEL_PROGRESS = LABEL + "progress"
"""The share of its work that an interruptible run had saved at its last checkpoint, 0 to 1."""
LABEL_CHECKPOINT = LABEL + "checkpoint"
"""How many checkpoints a run has saved, or a few less. Its state is where it stands, so it is not placed again."""
LABEL_SLICE = LABEL + "slice"
"""Start and finish (ISO, UTC, separated by a slash) of an interruptible run's slice; empty to run to its end."""

TAG_TWIN = "carbon-twin"
TAG_PLACED = "carbon-placed"

WORKER_TYPE = "carbon-aware"
"""The type of the worker that places runs in its own process, and of the pools made for it."""

CARBON_POOL = "carbon"
DEFAULT_POLICY_BLOCK = "default"

DEFERRED = "Deferred"
"""State name of a run that waits for a greener window."""

ADVANCED = "Advanced"
"""State name of a run that a schedule created ahead of time, and that was given an earlier, greener start."""

WAITING = (DEFERRED, ADVANCED)
"""The states of runs whose start was planned by us."""

PLACED_NAMES = tuple(f"Placed{tier.capitalize()}" for tier in Tier)
"""State names of runs whose job is on a site; Running where its end is waited for, and Completed else."""

JOB_DELETED = "JobDeleted"
"""State name of a run whose job's run was deleted before it ended."""

POOL_GONE = "PoolGone"
"""State name of a job whose work pool was deleted before it was started there, and of the run that placed it."""

WAIT_DATA = "carbon_policy_wait"
"""Key in the data of a waiting run's state: what it says of its wait (`orchestration/waits.py`)."""

DECISION_DATA = "carbon_policy_decision"
"""Key in the same data: the decision by which it waits, without its evidence."""


def twin_name(deployment: str, site: str) -> str:
    """The name of the deployment on a site's pool that does the work of `deployment`."""
    return f"{deployment}@{site}"


def placed_name(tier: str) -> str:
    """The state name of a run whose job is on a site of a tier."""
    return f"Placed{tier.capitalize()}"
