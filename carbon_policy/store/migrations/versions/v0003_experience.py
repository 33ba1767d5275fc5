"""The ledger's tags, parameters, quantities and costs: what is learnt from, and what budgets count."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_ADDED = ("tags", "parameters", "quantity", "functional_unit", "cost", "running_s")
_INDEX = "ix_ledger_flow_deployment_started_at"


def upgrade() -> None:
    """Adds the columns. What older runs were called with is not known; their energy and time are learnt from too."""
    op.add_column("ledger", sa.Column("tags", sa.JSON(), nullable=False, server_default="[]"))
    op.add_column("ledger", sa.Column("parameters", sa.JSON(), nullable=False, server_default="{}"))
    op.add_column("ledger", sa.Column("quantity", sa.Double(), nullable=True))
    op.add_column("ledger", sa.Column("functional_unit", sa.Text(), nullable=True))
    op.add_column("ledger", sa.Column("cost", sa.Double(), nullable=True))
    op.add_column("ledger", sa.Column("running_s", sa.Double(), nullable=True))
    # The newest runs of a deployment are read each time that one of its runs is decided on; it begins with the flow.
    op.create_index(_INDEX, "ledger", ["flow", "deployment", "started_at"])
    op.drop_index("ix_ledger_flow", "ledger")


def downgrade() -> None:
    """Drops the columns, with what is in them."""
    op.create_index("ix_ledger_flow", "ledger", ["flow"])
    op.drop_index(_INDEX, "ledger")
    with op.batch_alter_table("ledger") as table:
        for name in _ADDED:
            table.drop_column(name)
