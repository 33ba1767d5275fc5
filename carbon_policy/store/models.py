"""The ledger's tables, and the two ways between a row and a `LedgerEntry`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import JSON, DateTime, Dialect, Double, Index, Text, TypeDecorator
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from carbon_policy.domain.ledger import LedgerEntry
from carbon_policy.domain.times import parse_moment

_JSON_FIELDS = {"slots", "counterfactual_slots", "notes", "tags"}


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC moment. SQLite has no time zones: it is given UTC, and what it answers is UTC."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """The moment as the database keeps it; a naive one is refused."""
        if value is None:
            return None
        moment = parse_moment(value)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """The moment with its zone."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """What all tables have in common; a change of one needs a migration in `migrations/versions`."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {
        str: Text(),
        float: Double(),
        datetime: UtcDateTime(),
        list[Any]: JSON(),
        dict[str, Any]: JSON(),
    }


class LedgerRow(Base):
    """One job run. The columns that carry a field of `LedgerEntry` have its name.

    Attributes:
        fingerprint: Names exactly this entry; how a second recording knows that it changes nothing.
        revision: How often the row was written, from 1.
        settled: The grams are known and not preliminary.
    """

    __tablename__ = "ledger"
    __table_args__ = (Index("ix_ledger_flow_deployment_started_at", "flow", "deployment", "started_at"),)

    job_run_id: Mapped[str] = mapped_column(primary_key=True)
    gate_run_id: Mapped[str | None]
    run_name: Mapped[str]
    flow: Mapped[str]
    deployment: Mapped[str | None] = mapped_column(index=True)
    site: Mapped[str]
    tier: Mapped[str]
    zone: Mapped[str]
    reason: Mapped[str]
    sentence: Mapped[str]
    decision_json: Mapped[str]
    state: Mapped[str]
    submitted_at: Mapped[datetime]
    started_at: Mapped[datetime] = mapped_column(index=True)
    ended_at: Mapped[datetime]
    deferrals: Mapped[int]
    energy_kwh: Mapped[float]
    measured_kwh: Mapped[float]
    estimated_kwh: Mapped[float]
    energy_methods: Mapped[str]
    energy_note: Mapped[str]
    pue: Mapped[float]
    gco2: Mapped[float | None]
    slots: Mapped[list[Any]]
    counterfactual_energy_kwh: Mapped[float | None]
    counterfactual_gco2: Mapped[float | None]
    counterfactual_slots: Mapped[list[Any]]
    intensity_source: Mapped[str]
    signal: Mapped[str]
    factors: Mapped[str]
    simulated: Mapped[bool]
    predicted_gco2: Mapped[float | None]
    predicted_saving_gco2: Mapped[float | None]
    preliminary: Mapped[bool]
    notes: Mapped[list[Any]]
    tags: Mapped[list[Any]]
    parameters: Mapped[dict[str, Any]]
    quantity: Mapped[float | None]
    functional_unit: Mapped[str | None]
    cost: Mapped[float | None]
    running_s: Mapped[float | None]

    fingerprint: Mapped[str]
    revision: Mapped[int]
    settled: Mapped[bool]


class OldVersionRow(Base):
    """Where releases before Alembic look for the ledger's version: they know 1, and refuse what is newer."""

    __tablename__ = "ledger_schema"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    version: Mapped[int]


def to_values(entry: LedgerEntry) -> dict[str, Any]:
    """The columns of a first recording."""
    return {
        **entry.model_dump(),
        **entry.model_dump(mode="json", include=_JSON_FIELDS),
        "fingerprint": hashlib.sha256(entry.model_dump_json().encode()).hexdigest(),
        "revision": 1,
        "settled": entry.settled,
    }


def to_entry(row: Mapping[str, Any]) -> LedgerEntry:
    """The entry that a row was made from."""
    return LedgerEntry(**{name: row[name] for name in LedgerEntry.model_fields})
