"""Alembic's environment: how a database of a former release becomes one of this release.

Nobody need run it by hand: `carbon_policy.store.migrate` does, whenever a database is opened. A change of a
table in `models.py` or `history_models.py` needs a new file in `versions/`, and its revision in
`carbon_policy.store.migrate.REVISIONS`; a test compares the two.
"""
