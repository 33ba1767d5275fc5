"""The history: measured intensities with their revisions, issued forecasts, and notes of a zone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the history's tables. Alembic keeps the version now; the ledger's own stays for who still asks it."""
    # A release before Alembic then says that a newer one is needed, not that the ledger is another program's.
    op.execute("UPDATE ledger_schema SET version = 2")
    op.create_table(
        "intensity_series",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("signal", sa.Text(), nullable=False),
        sa.Column("factors", sa.Text(), nullable=False),
        sa.Column("basis", sa.Text(), nullable=False),
        sa.Column("step_s", sa.Integer(), nullable=False),
        sa.Column("fetched_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint(
            "zone", "source", "signal", "factors", "basis", "step_s", name="uq_intensity_series"
        ),
    )
    op.create_table(
        "intensity",
        sa.Column("series_id", sa.Integer(), nullable=False),
        sa.Column("start_s", sa.BigInteger(), nullable=False),
        sa.Column("gco2_per_kwh", sa.Double(), nullable=False),
        sa.Column("estimated", sa.Boolean(), nullable=False),
        sa.Column("fetched_at_s", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("series_id", "start_s"),
        sa.ForeignKeyConstraint(["series_id"], ["intensity_series.id"]),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "intensity_revision",
        sa.Column("series_id", sa.Integer(), nullable=False),
        sa.Column("start_s", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("gco2_per_kwh", sa.Double(), nullable=False),
        sa.Column("estimated", sa.Boolean(), nullable=False),
        sa.Column("fetched_at_s", sa.BigInteger(), nullable=False),
        sa.Column("replaced_at_s", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("series_id", "start_s", "revision"),
        sa.ForeignKeyConstraint(["series_id"], ["intensity_series.id"]),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "issued_forecast",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("signal", sa.Text(), nullable=False),
        sa.Column("factors", sa.Text(), nullable=False),
        sa.Column("basis", sa.Text(), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("series_json", sa.Text(), nullable=False),
        sa.Column("quantiles_json", sa.Text(), nullable=False),
        sa.Column("fetched_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint(
            "zone", "issued_at", "source", "signal", "factors", "basis", name="uq_issued_forecast"
        ),
    )
    op.create_index("ix_issued_forecast_issued_at", "issued_forecast", ["issued_at"])
    op.create_table(
        "zone_note",
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.JSON(), nullable=False),
        sa.Column("noted_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("zone", "key"),
    )


def downgrade() -> None:
    """Drops the history, with all that is in it; the ledger stays."""
    for table in ("zone_note", "issued_forecast", "intensity_revision", "intensity", "intensity_series"):
        op.drop_table(table)
    op.execute("UPDATE ledger_schema SET version = 1")
