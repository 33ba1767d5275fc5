"""A store as it is some time later."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import update

from carbon_policy.store.history import History
from carbon_policy.store.history_models import ForecastRow


def forget_what_was_just_asked(url: str) -> None:
    """Make every forecast in a store one that was fetched an hour earlier, so that its source is asked again."""
    with History(url) as history, history._writing() as connection:
        for row in connection.execute(ForecastRow.__table__.select()).all():
            earlier = row.fetched_at - timedelta(hours=1)
            connection.execute(update(ForecastRow).where(ForecastRow.id == row.id).values(fetched_at=earlier))
