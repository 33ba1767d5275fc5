"""A job for a container, where nothing of the tests but this file is."""

from __future__ import annotations

import time

from prefect import flow

from carbon_policy import carbon_aware


@carbon_aware
@flow
def contained(lasts_s: float = 0.0) -> str:
    """Stay a while, so that one can look at its container."""
    time.sleep(lasts_s)
    return "done"
