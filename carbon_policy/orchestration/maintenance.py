"""What a team lets Prefect do by itself: fill the ledger, look after runs, keep the grid up to date, plan again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from prefect import flow, get_run_logger
from prefect.client.orchestration import get_client

from carbon_policy.domain.errors import CarbonPolicyError
from carbon_policy.orchestration.collect import collect
from carbon_policy.orchestration.directory import Directory, read_directory
from carbon_policy.orchestration.overdue import find_overdue, re_place
from carbon_policy.orchestration.records import emit_outlook_change
from carbon_policy.orchestration.replan import Outcome, replan
from carbon_policy.orchestration.settings import CarbonSettings
from carbon_policy.outlook.backfill import backfill
from carbon_policy.outlook.refresh import refresh
from carbon_policy.outlook.view import GridView, grid_view
from carbon_policy.store.engine import BUSY_TIMEOUT_S
from carbon_policy.store.ledger import Ledger


@flow(name="carbon-collect-emissions")
def collect_emissions() -> int:
    """Bring the ledger up to what the server knows; returns how many runs were recorded."""
    logger, settings = get_run_logger(), CarbonSettings()
    with get_client(sync_client=True) as client, Ledger(settings.ledger_address()) as ledger:
        result = collect(client, ledger, settings.policy_block)
    for run_id, why in result.left_out.items():
        logger.warning("Run %s was left out: %s", run_id, why)
    logger.info("Recorded %d runs; %d were settled before.", len(result.recorded), result.settled)
    return len(result.recorded)


@flow(name="carbon-find-overdue-runs")
def find_overdue_runs(fix: bool = True) -> None:
    """Find runs that nobody woke, and get them going.

    Args:
        fix: Get them going, and do not only report them.

    Raises:
        CarbonPolicyError: Some are still overdue; a failed run is what automations and people look at.
    """
    logger, left = get_run_logger(), []
    with get_client(sync_client=True) as client:
        for item in find_overdue(client, datetime.now(UTC)):
            logger.warning(item.sentence)
            if not fix:
                left.append(item.sentence)
                continue
            try:
                logger.info("Run %s: %s", item.run.name, re_place(client, item, datetime.now(UTC)))
            except CarbonPolicyError as error:
                left.append(str(error))
    if left:
        raise CarbonPolicyError(f"{len(left)} runs are overdue: {' '.join(left)}")


@flow(name="carbon-refresh-grid")
def refresh_grid(zones: list[str] | None = None) -> dict[str, str]:
    """Fetch, check, store and forecast each zone; say by an event where a plan would change; forget what is old.

    Schedule it hourly. What goes wrong with one zone is logged, and the others go on.

    Args:
        zones: Electricity Maps' keys; those of the policy's sites, if none is named.

    Returns:
        Zone to why a plan would change, for those where it would.

    Raises:
        CarbonPolicyError: Of no zone anything is known; a failed run is what automations and people look at.
    """
    logger, now, changes, unknown = get_run_logger(), datetime.now(UTC), dict[str, str](), list[str]()
    with _team() as (directory, grid):
        wanted = zones or list(dict.fromkeys(site.zone for site in directory.sites))
        history = grid.history
        if history is None:
            raise CarbonPolicyError(_no_store(grid))
        for zone in wanted:
            try:
                result = refresh(zone, now, grid.live(zone), grid.whole(zone), history)
            except Exception as error:  # One zone's trouble is no reason to leave the others.
                logger.error("%s could not be refreshed: %s", zone, str(error) or type(error).__name__)
                unknown.append(zone)
                continue
            for finding in result.findings:
                logger.warning("%s: %s", zone, finding)
            for note in result.notes:
                logger.warning("%s: %s", zone, note)
            step = result.expectation.outlook.step
            logger.info(
                "%s: %d slots new, %d revised; outlook: %s.",
                zone,
                result.added,
                result.revised,
                step or "unknown",
            )
            if step is None:
                unknown.append(zone)
            if result.change is not None:
                changes[zone] = result.change
                emit_outlook_change(zone, result.change, step)
        gone = history.forget(now - timedelta(days=CarbonSettings().history_days))
        logger.info("Forgot %d slots and %d forecasts that were too old.", gone.slots, gone.forecasts)
    if wanted and len(unknown) == len(wanted):
        raise CarbonPolicyError(
            f"Nothing is known of {', '.join(unknown)}; carbon-policy doctor --live tells more."
        )
    return changes


@flow(name="carbon-replan")
def replan_waiting_runs(zones: Sequence[str] | None = None, dry_run: bool = False) -> int:
    """Decide the runs that wait again, as an outlook has changed; returns how many were moved or started.

    Args:
        zones: Only runs that have a site in one of these; all, if not said.
        dry_run: Say what would be done, and change nothing.
    """
    logger = get_run_logger()
    with get_client(sync_client=True) as client:
        report = replan(client, datetime.now(UTC), zones=zones, dry_run=dry_run)
    for run in report.runs:
        if run.outcome is not Outcome.KEPT:
            logger.info("Run %s, %s: %s", run.name, run.outcome, run.sentence)
    logger.info(report.sentence)
    failed = report.count(Outcome.FAILED)
    if failed and failed == len(report.runs):
        raise CarbonPolicyError(f"No waiting run could be decided again: {report.runs[0].sentence}")
    return report.count(Outcome.MOVED) + report.count(Outcome.STARTED)


@flow(name="carbon-backfill-history")
def backfill_history(zones: Sequence[str], days: int = 365) -> int:
    """Fetch what is missing of the zones' history; returns how many slots were new. Begun again, it goes on.

    Args:
        zones: Electricity Maps' keys.
        days: How far back.
    """
    logger, now, added = get_run_logger(), datetime.now(UTC), 0
    with _team() as (_, grid):
        if grid.history is None:
            raise CarbonPolicyError(_no_store(grid))
        for zone in zones:
            result = backfill(zone, now - timedelta(days=days), now, grid.live(zone), grid.history, now)
            added += result.added
            for finding in result.findings:
                logger.warning("%s: %s", zone, finding)
            logger.info("%s: %d slots new, %d pieces unknown.", zone, result.added, len(result.unknown))
    return added


@contextmanager
def _team() -> Iterator[tuple[Directory, GridView]]:
    settings = CarbonSettings()
    with get_client(sync_client=True) as client:
        directory = read_directory(client, settings.policy_block)
        with grid_view(settings.history_address, directory.sources, directory.keyed, BUSY_TIMEOUT_S) as grid:
            yield directory, grid


def _no_store(grid: GridView) -> str:
    why = [finding.sentence for finding in grid.findings]
    return why[0] if why else "The policy pins a recording or a simulation, of which no history is kept."
