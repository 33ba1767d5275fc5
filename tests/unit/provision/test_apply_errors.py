"""What goes wrong while a project is applied is said in words, and with what was done by then."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from prefect.exceptions import ObjectAlreadyExists

from carbon_policy.domain.errors import SetupError
from carbon_policy.provision import apply
from carbon_policy.provision.interpolation import Secrets
from carbon_policy.provision.plan import Action, Change, Kind, Step


def test_a_pool_that_a_worker_has_made_meanwhile_is_said_to_be_there() -> None:
    async def make() -> Any:
        raise ObjectAlreadyExists(Exception("taken"))

    step = Step(Change(Kind.WORK_POOL, "carbon", Action.CREATE), make)
    with pytest.raises(SetupError, match=r"carbon: somebody else has made it since.*apply again"):
        asyncio.run(apply._make(step, Secrets({})))
