"""Databases as tests look into them and as former releases left them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import create_engine, text

# What a release before Alembic made; the types are those of each database.
_LEDGER_COLUMNS = """
    job_run_id TEXT NOT NULL, gate_run_id TEXT, run_name TEXT NOT NULL, flow TEXT NOT NULL, deployment TEXT,
    site TEXT NOT NULL, tier TEXT NOT NULL, zone TEXT NOT NULL, reason TEXT NOT NULL, sentence TEXT NOT NULL,
    decision_json TEXT NOT NULL, state TEXT NOT NULL, submitted_at {moment} NOT NULL, started_at {moment} NOT NULL,
    ended_at {moment} NOT NULL, deferrals INTEGER NOT NULL, energy_kwh {double} NOT NULL,
    measured_kwh {double} NOT NULL, estimated_kwh {double} NOT NULL, energy_methods TEXT NOT NULL,
    energy_note TEXT NOT NULL, pue {double} NOT NULL, gco2 {double}, slots JSON NOT NULL,
    counterfactual_energy_kwh {double}, counterfactual_gco2 {double}, counterfactual_slots JSON NOT NULL,
    intensity_source TEXT NOT NULL, signal TEXT NOT NULL, factors TEXT NOT NULL, simulated BOOLEAN NOT NULL,
    predicted_gco2 {double}, predicted_saving_gco2 {double}, preliminary BOOLEAN NOT NULL, notes JSON NOT NULL,
    fingerprint TEXT NOT NULL, revision INTEGER NOT NULL, settled BOOLEAN NOT NULL, PRIMARY KEY (job_run_id)
"""
_TYPES = {
    "sqlite": {"moment": "DATETIME", "double": "DOUBLE"},
    "postgresql": {"moment": "TIMESTAMP WITH TIME ZONE", "double": "DOUBLE PRECISION"},
}


def execute(url: str, *statements: str) -> None:
    """Runs statements in one transaction."""
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))
    finally:
        engine.dispose()


def query(url: str, statement: str) -> list[tuple[Any, ...]]:
    """The rows that a statement finds."""
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(statement))]
    finally:
        engine.dispose()


def make_old_ledger(url: str, version: int = 1) -> None:
    """An empty ledger as a release before Alembic left it."""
    execute(
        url,
        "CREATE TABLE ledger_schema (id INTEGER NOT NULL, version INTEGER NOT NULL, PRIMARY KEY (id))",
        f"CREATE TABLE ledger ({_LEDGER_COLUMNS.format(**_TYPES[url.split(':')[0].split('+')[0]])})",
        "CREATE INDEX ix_ledger_deployment ON ledger (deployment)",
        "CREATE INDEX ix_ledger_flow ON ledger (flow)",
        "CREATE INDEX ix_ledger_started_at ON ledger (started_at)",
        f"INSERT INTO ledger_schema (id, version) VALUES (1, {version})",
    )
