"""The ledger as releases before Alembic made it, with the table in which they kept its version."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the ledger."""
    op.create_table(
        "ledger_schema",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.execute("INSERT INTO ledger_schema (id, version) VALUES (1, 1)")
    op.create_table(
        "ledger",
        sa.Column("job_run_id", sa.Text(), nullable=False),
        sa.Column("gate_run_id", sa.Text(), nullable=True),
        sa.Column("run_name", sa.Text(), nullable=False),
        sa.Column("flow", sa.Text(), nullable=False),
        sa.Column("deployment", sa.Text(), nullable=True),
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("tier", sa.Text(), nullable=False),
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("sentence", sa.Text(), nullable=False),
        sa.Column("decision_json", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("submitted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deferrals", sa.Integer(), nullable=False),
        sa.Column("energy_kwh", sa.Double(), nullable=False),
        sa.Column("measured_kwh", sa.Double(), nullable=False),
        sa.Column("estimated_kwh", sa.Double(), nullable=False),
        sa.Column("energy_methods", sa.Text(), nullable=False),
        sa.Column("energy_note", sa.Text(), nullable=False),
        sa.Column("pue", sa.Double(), nullable=False),
        sa.Column("gco2", sa.Double(), nullable=True),
        sa.Column("slots", sa.JSON(), nullable=False),
        sa.Column("counterfactual_energy_kwh", sa.Double(), nullable=True),
        sa.Column("counterfactual_gco2", sa.Double(), nullable=True),
        sa.Column("counterfactual_slots", sa.JSON(), nullable=False),
        sa.Column("intensity_source", sa.Text(), nullable=False),
        sa.Column("signal", sa.Text(), nullable=False),
        sa.Column("factors", sa.Text(), nullable=False),
        sa.Column("simulated", sa.Boolean(), nullable=False),
        sa.Column("predicted_gco2", sa.Double(), nullable=True),
        sa.Column("predicted_saving_gco2", sa.Double(), nullable=True),
        sa.Column("preliminary", sa.Boolean(), nullable=False),
        sa.Column("notes", sa.JSON(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("settled", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("job_run_id"),
    )
    for column in ("deployment", "flow", "started_at"):
        op.create_index(f"ix_ledger_{column}", "ledger", [column])


def downgrade() -> None:
    """Drops the ledger, with all that is in it."""
    op.drop_table("ledger")
    op.drop_table("ledger_schema")
