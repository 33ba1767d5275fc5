"""Jobs whose flows say of themselves how urgent and how flexible they are."""

from __future__ import annotations

import time

# Its own folder is all that a job's process sees of the tests.
from jobs import leave_mark
from prefect import flow

from carbon_policy import carbon_aware


@carbon_aware(urgency="critical")
@flow
def critical(marker: str) -> str:
    """Never waits."""
    leave_mark(marker)
    return "done"


@carbon_aware(expected_duration="2s")
@flow
def normal(marker: str) -> str:
    """Goes where it emits least."""
    leave_mark(marker)
    time.sleep(0.5)
    return "done"


@carbon_aware(urgency="flexible", finish_within="30m", expected_duration="2s")
@flow
def flexible(marker: str, fails: bool = False) -> str:
    """Waits for a greener window."""
    leave_mark(marker)
    if fails:
        raise ValueError("the job's own failure")
    return "done"
