"""Past runs of one deployment, as the next run learns from them."""

from __future__ import annotations

from sqlalchemy import Connection, select

from carbon_policy.estimation.past_run import PastRun
from carbon_policy.store.models import LedgerRow

NEWEST = 500
"""What ran before so many runs says little of the job as it is now."""

_MEASURED = 0.5


def past_runs(connection: Connection, flow: str, deployment: str | None) -> list[PastRun]:
    """The newest runs that completed, the oldest of them first."""
    newest_first = (
        select(
            LedgerRow.site,
            LedgerRow.started_at,
            LedgerRow.ended_at,
            LedgerRow.running_s,
            LedgerRow.energy_kwh,
            LedgerRow.measured_kwh,
            LedgerRow.parameters,
            LedgerRow.quantity,
            LedgerRow.functional_unit,
        )
        .where(
            LedgerRow.flow == flow,
            LedgerRow.deployment.is_(None) if deployment is None else LedgerRow.deployment == deployment,
            LedgerRow.state == "COMPLETED",
        )
        .order_by(LedgerRow.started_at.desc(), LedgerRow.job_run_id.desc())
        .limit(NEWEST)
    )
    return [
        PastRun(
            site=row.site,
            duration_s=row.running_s
            if row.running_s is not None
            else (row.ended_at - row.started_at).total_seconds(),
            energy_kwh=row.energy_kwh,
            energy_measured=row.measured_kwh > _MEASURED * row.energy_kwh,
            parameters=row.parameters,
            quantity=row.quantity,
            functional_unit=row.functional_unit,
        )
        for row in reversed(connection.execute(newest_first).all())
    ]
