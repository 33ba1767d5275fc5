"""A decorated flow that is called directly: it runs at once, and is told what waiting would have saved."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun

from carbon_policy.domain.decision import Action, Decision, ReasonCode
from carbon_policy.domain.errors import SetupError
from carbon_policy.domain.job import Mode
from carbon_policy.domain.times import format_duration
from carbon_policy.orchestration.blocks import CarbonPolicy
from carbon_policy.orchestration.directory import Directory, read_directory
from carbon_policy.orchestration.evidence import gather
from carbon_policy.orchestration.records import logger, quietly, record_decision
from carbon_policy.orchestration.settings import CarbonSettings
from carbon_policy.orchestration.variables import resolve_spec
from carbon_policy.policies import decide
from carbon_policy.policies.options import option_at

# A grid source may take this long to give up; a finished job waits no longer for advice.
_PATIENCE_S = 20.0
_LINE_EVERY_S = 60.0


class Advice:
    """An answer that is being looked up while the job already runs."""

    def __init__(self, run: FlowRun, declared: Mapping[str, Any]) -> None:
        self._run = run
        self._declared = dict(declared)
        self._decision: Decision | None = None
        self.wait = bool(self._declared.get("wait"))
        context = contextvars.copy_context()
        self._thread = threading.Thread(
            target=lambda: context.run(self._look_up), name="carbon-policy-advice", daemon=True
        )
        self._thread.start()

    def decision(self) -> Decision | None:
        """The decision to run at once, with what else there was; `None` where nobody could say."""
        self._thread.join(_PATIENCE_S)
        return self._decision

    def start_at(self) -> datetime | None:
        """With `wait=True`, the greener start to wait for, UTC; `None` to run at once."""
        decision = self.decision() if self.wait else None
        would = decision.would_have if decision else None
        return would.start if would is not None and would.action is Action.DEFER else None

    def _look_up(self) -> None:
        self._decision = quietly("say what waiting would save", self._ask)

    def _ask(self) -> Decision | None:
        settings = CarbonSettings()
        now = datetime.now(UTC)
        with get_client(sync_client=True) as client:
            try:
                directory: Directory | None = read_directory(client, settings.policy_block)
            except SetupError:
                directory = None
            here = _this_machine(settings, directory)
            if here is None:
                logger.info(
                    "carbon-policy does not know this machine's grid, so it cannot say what waiting would save;"
                    " set PREFECT_INTEGRATIONS_CARBON_ZONE, such as DE."
                )
                return None
            resolved = resolve_spec(
                None, None, self._declared, directory.policy if directory else None, settings
            )
            if resolved.spec.mode is Mode.OFF:
                return None
            here_only = Directory(
                policy_name=settings.policy_block,
                policy=directory.policy if directory else CarbonPolicy(),
                sites=(here,),
                pools={},
                sources=directory.sources if directory else (),
                keyed=directory.keyed if directory else None,
            )
            evidence = gather(here_only, resolved, job=str(self._run.id), now=now, submitted_at=now)
            would = decide(evidence)
            decision = Decision(
                action=Action.RUN,
                site=here.name,
                start=now,
                reason=ReasonCode.DIRECT_CALL,
                sentence=_sentence(would),
                chosen=option_at(evidence, here, now),
                alternatives=would.alternatives,
                counterfactual=would.counterfactual,
                would_have=would,
                evidence=evidence,
            )
            logger.info("%s", decision.sentence)
            record_decision(client, self._run, decision, _flow_name(client, self._run), None)
            return decision


def _flow_name(client: Any, run: FlowRun) -> str:
    return str(client.read_flow(run.flow_id).name)


def _this_machine(settings: CarbonSettings, directory: Directory | None) -> Any:
    if settings.zone is not None:
        return settings.this_machine()
    zone = directory.sites[0].zone if directory and directory.sites else None
    return settings.this_machine().model_copy(update={"zone": zone}) if zone else None


def _sentence(would: Decision) -> str:
    if would.action is Action.DEFER and would.predicted_saving_gco2 and would.counterfactual:
        share = would.predicted_saving_gco2 / (would.counterfactual.gco2 or 1)
        wait = format_duration(would.start - would.evidence.now)
        return (
            f"Called directly, so it runs at once. Waiting {wait}, to {would.start:%Y-%m-%d %H:%M} UTC, would be"
            f" expected to save {share:.0%} of its carbon; deploy it, or say wait=True, to have that."
        )
    if not would.evidence.knows_the_hours:
        return "Called directly, so it runs at once. No source says how green the coming hours are."
    return f"Called directly, so it runs at once. Waiting would save nothing worth having ({would.reason})."


def wait_until(start: datetime) -> None:
    """Wait in this process until a moment (UTC), with a countdown that people see."""
    with _countdown(start) as tick:
        while (left_s := (start - datetime.now(UTC)).total_seconds()) > 0:
            tick(left_s)
            time.sleep(min(1.0, left_s))


async def wait_until_async(start: datetime) -> None:
    """`wait_until` for an async flow: the event loop stays free."""
    with _countdown(start) as tick:
        while (left_s := (start - datetime.now(UTC)).total_seconds()) > 0:
            tick(left_s)
            await asyncio.sleep(min(1.0, left_s))


@contextmanager
def _countdown(start: datetime) -> Iterator[Any]:
    """A bar on a terminal, a line a minute in a log."""
    total_s = max((start - datetime.now(UTC)).total_seconds(), 0.001)
    text = f"Waiting for a greener start at {start:%Y-%m-%d %H:%M:%S} UTC"
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        with Progress(
            TextColumn("[green]{task.description}"),
            BarColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        ) as progress:
            task = progress.add_task(text, total=total_s)
            yield lambda left_s: progress.update(task, completed=total_s - left_s)
        return
    said_s = float("inf")

    def say(left_s: float) -> None:
        nonlocal said_s
        if said_s - left_s >= _LINE_EVERY_S:
            said_s = left_s
            logger.info("%s: %s left.", text, format_duration(timedelta(seconds=round(left_s))))

    yield say
