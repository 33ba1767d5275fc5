"""The history's tables: measured intensities slot by slot, issued forecasts, and notes."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Integer, PrimaryKeyConstraint, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from carbon_policy.store.models import Base


class SeriesRow(Base):
    """Whose numbers, of which kind and in which slots: what a slot of `IntensityRow` belongs to.

    Attributes:
        basis: Empty where the source does not say: a NULL would never equal another in the unique key.
        step_s: Length of every slot. A source that changes it, from an hour to a quarter, begins a new series.
        fetched_at: When the source was last asked, whether or not its answer changed anything.
    """

    __tablename__ = "intensity_series"
    __table_args__ = (
        UniqueConstraint(
            "zone", "source", "signal", "factors", "basis", "step_s", name="uq_intensity_series"
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    zone: Mapped[str]
    source: Mapped[str]
    signal: Mapped[str]
    factors: Mapped[str]
    basis: Mapped[str]
    step_s: Mapped[int]
    fetched_at: Mapped[datetime]


class IntensityRow(Base):
    """One slot as it is known now.

    Times are whole seconds since 1970: a year of slots is read in one go, and a `datetime` for each would
    take longer than all the rest.

    Attributes:
        revision: How many values the slot has had, from 1.
    """

    __tablename__ = "intensity"
    # Without a row id the slots lie on disk in the order in which they are read.
    __table_args__ = (PrimaryKeyConstraint("series_id", "start_s"), {"sqlite_with_rowid": False})

    series_id: Mapped[int] = mapped_column(ForeignKey("intensity_series.id"))
    start_s: Mapped[int] = mapped_column(BigInteger)
    gco2_per_kwh: Mapped[float]
    estimated: Mapped[bool]
    fetched_at_s: Mapped[int] = mapped_column(BigInteger)
    revision: Mapped[int]


class RevisionRow(Base):
    """A value that a slot had before another took its place.

    Attributes:
        revision: Which of the slot's values it was, from 1.
        fetched_at_s: When this value was fetched.
        replaced_at_s: When the value was fetched that took its place.
    """

    __tablename__ = "intensity_revision"
    __table_args__ = (PrimaryKeyConstraint("series_id", "start_s", "revision"), {"sqlite_with_rowid": False})

    series_id: Mapped[int] = mapped_column(ForeignKey("intensity_series.id"))
    start_s: Mapped[int] = mapped_column(BigInteger)
    revision: Mapped[int]
    gco2_per_kwh: Mapped[float]
    estimated: Mapped[bool]
    fetched_at_s: Mapped[int] = mapped_column(BigInteger)
    replaced_at_s: Mapped[int] = mapped_column(BigInteger)


class ForecastRow(Base):
    """One forecast as it was issued.

    Attributes:
        issued_at: Indexed by itself too, for retention, which is of all zones.
        basis: Empty where the source does not say.
        starts_at: Start of the first slot.
        ends_at: End of the last slot.
        series_json: The whole `IntensitySeries`, so that it is read back to the letter.
        quantiles_json: For each level one value a slot.
        fingerprint: Names the times and values; how a second recording knows that it changes nothing.
        revision: How many versions of this issue there were, from 1; the newest is kept.
    """

    __tablename__ = "issued_forecast"
    __table_args__ = (
        # The issue time comes second: it is what every question is about.
        UniqueConstraint(
            "zone", "issued_at", "source", "signal", "factors", "basis", name="uq_issued_forecast"
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    zone: Mapped[str]
    issued_at: Mapped[datetime] = mapped_column(index=True)
    source: Mapped[str]
    signal: Mapped[str]
    factors: Mapped[str]
    basis: Mapped[str]
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    series_json: Mapped[str]
    quantiles_json: Mapped[str]
    fetched_at: Mapped[datetime]
    fingerprint: Mapped[str]
    revision: Mapped[int]


class NoteRow(Base):
    """Something small that was worked out for a zone, such as the weights of a blend."""

    __tablename__ = "zone_note"
    __table_args__ = (PrimaryKeyConstraint("zone", "key"),)

    zone: Mapped[str]
    key: Mapped[str]
    value: Mapped[dict[str, Any]]
    noted_at: Mapped[datetime]
