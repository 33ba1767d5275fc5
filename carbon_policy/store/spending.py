"""What runs have emitted and cost, by tag: what budgets are held against."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, Text, cast, func, select

from carbon_policy.store.models import LedgerRow


class Spent(NamedTuple):
    """Grams and money; preliminary grams count, and where none are known what the decision expected."""

    gco2: float = 0.0
    cost: float = 0.0


def spent(connection: Connection, tags: Iterable[str], since: datetime, until: datetime) -> dict[str, Spent]:
    """Each tag to what its runs that started in that time have come to; the empty tag stands for all runs."""
    # Grouped as text, which both databases can: there are few sets of tags and may be many runs.
    kept = cast(LedgerRow.tags, Text)
    grams = func.coalesce(LedgerRow.gco2, LedgerRow.predicted_gco2, 0.0)
    statement = (
        select(kept, func.sum(grams), func.sum(func.coalesce(LedgerRow.cost, 0.0)))
        .where(LedgerRow.started_at >= since, LedgerRow.started_at < until)
        .group_by(kept)
    )
    found = dict.fromkeys(tags, Spent())
    for text, gco2, cost in connection.execute(statement):
        for tag in found.keys() & {"", *json.loads(text)}:
            found[tag] = Spent(found[tag].gco2 + gco2, found[tag].cost + cost)
    return found
