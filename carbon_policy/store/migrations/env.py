"""What Alembic runs first: it is handed the connection, and with it the transaction and the lock."""

from __future__ import annotations

from alembic import context

from carbon_policy.store import history_models  # noqa: F401  its tables are part of the metadata
from carbon_policy.store.migrate import VERSION_TABLE
from carbon_policy.store.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=VERSION_TABLE,
    # SQLite alters a table by making another and copying it.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
