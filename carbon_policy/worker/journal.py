"""What a carbon worker logs: one line for each thing that happens, the same for people, grep and JSON.

A line is logfmt. Its fields are also the record's `carbon_policy`, for formatters that write JSON. A run's parameters
are in no line, and nor is the text of an error, which may hold them or a secret.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from carbon_policy.domain.decision import Decision
from carbon_policy.domain.decision_id import decision_id
from carbon_policy.worker.api_errors import kind_of

EXTRA = "carbon_policy"
"""Under this name a log record holds the fields."""

Field = str | int | float | None


@dataclass(frozen=True)
class LoggedRun:
    """A run as lines name it.

    Attributes:
        id: Of the flow run.
        name: Of the flow run.
        deployment: `flow/name`; `None` where it has none.
    """

    id: UUID
    name: str
    deployment: str | None = None

    def fields(self) -> dict[str, Field]:
        """What every line about it says."""
        return {"run": str(self.id), "name": self.name, "deployment": self.deployment}


class Journal:
    """Writes the lines.

    Args:
        logger: The worker's. An adapter must hand on each call's `extra`, as Prefect's do.
    """

    def __init__(self, logger: logging.Logger | logging.LoggerAdapter[Any]) -> None:
        self._logger = logger

    def decided(self, run: LoggedRun, decision: Decision) -> None:
        """A run was decided."""
        self._write(logging.INFO, {"decision": decision_id(decision), **run.fields(), **_fields_of(decision)})

    def deferred(self, run: LoggedRun, until: datetime, deferrals: int) -> None:
        """A run was put back to wait; `deferrals` counts this one too."""
        self._event("deferred", run, until=_time(until), deferrals=deferrals)

    def placed(self, run: LoggedRun, job: UUID, site: str) -> None:
        """A run's job exists on a site."""
        self._event("placed", run, job=str(job), site=site)

    def mirrored(self, run: LoggedRun, job: UUID, state: str) -> None:
        """A run ended as its job did; `state` is the name of that state."""
        self._event("mirrored", run, job=str(job), state=state)

    def recovered(self, run: LoggedRun, kind: str) -> None:
        """An overdue run was got going again; `kind` says what had become of it."""
        self._event("recovered", run, kind=kind)

    def replanned(self, run: LoggedRun, before: datetime, decision: Decision) -> None:
        """A waiting run was moved: it was to start at `before`."""
        said = {"before": _time(before), "decision": decision_id(decision), **_fields_of(decision)}
        self._write(logging.INFO, {"event": "replanned", **run.fields(), **said})

    def api_failed(self, doing: str, error: BaseException, run: LoggedRun | None = None) -> None:
        """A call of the Prefect API failed while `doing` something, such as `place a run`."""
        about = run.fields() if run is not None else {}
        said = {"doing": doing, "kind": kind_of(error), "error": type(error).__name__}
        self._write(logging.WARNING, {"event": "api-error", **about, **said})

    def _event(self, event: str, run: LoggedRun, **fields: Field) -> None:
        self._write(logging.INFO, {"event": event, **run.fields(), **fields})

    def _write(self, level: int, fields: dict[str, Field]) -> None:
        known = {name: value for name, value in fields.items() if value is not None}
        self._logger.log(level, "%s", logfmt(known), extra={EXTRA: known})


def logfmt(fields: dict[str, Any]) -> str:
    """Fields as one line, `name=value`, in their order; a value is quoted as JSON where it must be."""
    return " ".join(f"{name}={_written(value)}" for name, value in fields.items())


def _written(value: Any) -> str:
    if isinstance(value, float):
        # Never 1e-05, which not every reader of lines takes for a number; and no -0.
        return f"{round(value, 6) + 0.0:.6f}".rstrip("0").rstrip(".")
    text = str(value)
    bare = text.isprintable() and text and not set(text) & set(' ="\\')
    # What does not print is escaped: a run's name may hold a line break, and would then write a line of its own.
    return text if bare else json.dumps(text, ensure_ascii=not text.isprintable())


def _fields_of(decision: Decision) -> dict[str, Field]:
    return {
        "action": decision.action.value,
        "reason": decision.reason.value,
        "site": decision.site,
        "start": _time(decision.start),
        "saving_gco2": decision.predicted_saving_gco2,
    }


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
