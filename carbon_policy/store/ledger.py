"""The ledger: what ran, where, why, and what it emitted; one row a job run, written as often as one likes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, not_, or_, select

from carbon_policy.domain.ledger import LedgerEntry
from carbon_policy.domain.times import parse_moment
from carbon_policy.estimation.past_run import PastRun
from carbon_policy.store.dialects import INSERT
from carbon_policy.store.models import LedgerRow, to_entry, to_values
from carbon_policy.store.opened import Opened
from carbon_policy.store.past_runs import past_runs
from carbon_policy.store.result import RecordResult
from carbon_policy.store.spending import Spent, spent

_BATCH = 200
"""Entries a transaction: other writers wait for one batch, not for a whole import."""


class Ledger(Opened):
    """The ledger in a database. Safe under several writers, in one process or many.

    Example:
        >>> with Ledger("sqlite://") as ledger:
        ...     ledger.record([])
        RecordResult(added=0, updated=0, unchanged=0)
    """

    def record(self, entries: Iterable[LedgerEntry]) -> RecordResult:
        """Writes the entries; of a job run that is there already, only what has changed.

        An entry whose grams are missing or preliminary never replaces one whose grams are settled: a
        source that no longer serves an old day cannot make the ledger forget it.

        Returns:
            How many were added, updated and unchanged.

        Raises:
            SetupError: The database refused.
        """
        # All writers take the rows in one order, so that two of them cannot wait for each other.
        rows = sorted((to_values(entry) for entry in entries), key=lambda row: str(row["job_run_id"]))
        upsert = _upsert_statement(self._engine.dialect.name)
        added = updated = 0
        for first in range(0, len(rows), _BATCH):
            with self._writing() as connection:
                revisions = [connection.scalar(upsert, row) for row in rows[first : first + _BATCH]]
            added += sum(revision == 1 for revision in revisions)
            updated += sum(revision is not None and revision > 1 for revision in revisions)
        return RecordResult(added, updated, len(rows) - added - updated)

    def entries(
        self,
        since: datetime | None = None,
        until: datetime | None = None,
        deployment: str | None = None,
        flow: str | None = None,
        limit: int | None = None,
    ) -> list[LedgerEntry]:
        """The entries in the order in which the jobs started.

        Args:
            since: Only jobs that started then or later; aware.
            until: Only jobs that started before; aware.
            deployment: Only this deployment's.
            flow: Only this flow's.
            limit: At most so many, the latest.

        Raises:
            InvalidInputError: A time without a zone.
            SetupError: The database refused.
        """
        conditions: list[ColumnElement[bool]] = []
        if since is not None:
            conditions.append(LedgerRow.started_at >= parse_moment(since))
        if until is not None:
            conditions.append(LedgerRow.started_at < parse_moment(until))
        if deployment is not None:
            conditions.append(LedgerRow.deployment == deployment)
        if flow is not None:
            conditions.append(LedgerRow.flow == flow)
        return self._select(*conditions, limit=limit)

    def missing_actuals(self) -> list[LedgerEntry]:
        """The entries whose grams are unknown or preliminary; ordered as `entries`."""
        return self._select(not_(LedgerRow.settled))

    def past_runs(self, flow: str, deployment: str | None) -> list[PastRun]:
        """The newest completed runs of a deployment, the oldest first; of direct calls where it is `None`."""
        with self._reading() as connection:
            return past_runs(connection, flow, deployment)

    def spent(self, tags: Iterable[str], since: datetime, until: datetime) -> dict[str, Spent]:
        """What the runs with each tag have emitted and cost; the empty tag stands for all runs.

        Args:
            tags: Which.
            since: Only runs that started then or later; aware.
            until: Only runs that started before; aware.
        """
        with self._reading() as connection:
            return spent(connection, tags, parse_moment(since), parse_moment(until))

    def _select(self, *conditions: ColumnElement[bool], limit: int | None = None) -> list[LedgerEntry]:
        latest_first = (
            select(*LedgerRow.__table__.columns)
            .where(*conditions)
            .order_by(LedgerRow.started_at.desc(), LedgerRow.job_run_id.desc())
            .limit(limit)
        )
        with self._reading() as connection:
            rows = connection.execute(latest_first).mappings().all()
        return [to_entry({str(name): value for name, value in row.items()}) for row in reversed(rows)]


def _upsert_statement(dialect: str) -> Any:
    """Insert, or update where something changed. Returns the row's revision: 1 when added, none if unchanged.

    One statement decides and writes, so no other writer can come in between.
    """
    insert = INSERT[dialect](LedgerRow)
    new = insert.excluded
    fields = {column.name: new[column.name] for column in LedgerRow.__table__.columns}
    del fields["job_run_id"]
    return insert.on_conflict_do_update(
        index_elements=["job_run_id"],
        set_={**fields, "revision": LedgerRow.revision + 1},
        where=(LedgerRow.fingerprint != new.fingerprint) & or_(new.settled, not_(LedgerRow.settled)),
    ).returning(LedgerRow.revision)
