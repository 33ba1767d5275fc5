"""What `carbon-policy backtest` shows, however it is shown: the scores of each zone, and their median."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import TYPE_CHECKING, Any

from carbon_policy.cli.progress import one_after_another
from carbon_policy.cli.traces import Histories
from carbon_policy.cli.words import counted, iso
from carbon_policy.domain.errors import CarbonPolicyError, InvalidInputError
from carbon_policy.forecasting.backtest import LAST_WEEK, OWN, PROFILE, YESTERDAY, Backtest, Kept, backtest
from carbon_policy.forecasting.capture import Task
from carbon_policy.forecasting.hourly import HOUR, HourlyHistory

if TYPE_CHECKING:
    from carbon_policy.report.skill import SkillPlot

JSON_SCHEMA = "carbon-policy-backtest/1"
"""Named in the JSON; raised when a field changes its meaning."""

METHODS = (OWN, YESTERDAY, LAST_WEEK, PROFILE)
_YEAR_H, _FOUR_WEEKS_H = 365 * 24, 28 * 24


@dataclass(frozen=True)
class ZoneScores:
    """One zone's.

    Attributes:
        zone: Which.
        tested_from: First hour that was forecast, UTC.
        tested_to: End of the history, UTC.
        scores: Of every method.
    """

    zone: str
    tested_from: datetime
    tested_to: datetime
    scores: Backtest


@dataclass(frozen=True)
class Scored:
    """All zones'.

    Attributes:
        source: Where the history is from.
        zones: In order.
        refit_every_h: How often a new model was fitted inside the test; `None` is never.
        remarks: What a reader must know: which zones were left out, and why.
    """

    source: str
    zones: tuple[ZoneScores, ...]
    refit_every_h: int | None
    remarks: tuple[str, ...]

    @property
    def tasks(self) -> list[Task]:
        """The jobs that savings are kept of."""
        return [kept.task for kept in self.zones[0].scores.method(OWN).kept]

    @property
    def methods(self) -> list[str]:
        """The ways to forecast that every zone was scored by, ours first."""
        known = [{one.method for one in zone.scores.methods} for zone in self.zones]
        return [name for name in METHODS if all(name in names for names in known)]

    def median(self, of: Callable[[Backtest], float]) -> float:
        """The zones' median of some score; NaN where no zone has it."""
        values = [value for zone in self.zones if not math.isnan(value := of(zone.scores))]
        return median(values) if values else math.nan


def scored(histories: Histories, test_from: datetime | None, refit_every: timedelta | None) -> Scored:
    """Score one zone after the other.

    Args:
        histories: To be read and scored.
        test_from: First hour of the test, UTC; `None` for the last third, up to a year.
        refit_every: How often a new model is fitted inside the test; `None` is never.

    Raises:
        CarbonPolicyError: A zone that was named cannot be scored, or none of all can.
    """
    refit_h = max(1, round(refit_every / HOUR)) if refit_every else None
    zones: list[ZoneScores] = []
    remarks: list[str] = []
    with one_after_another(len(histories.zones)) as tell:
        for at, zone in enumerate(histories.zones):
            tell(at, f"{zone}: reading")

            def progress(what: str, at: int = at, zone: str = zone) -> None:
                tell(at, f"{zone}: {what.rstrip('.').lower()}")

            try:
                series = histories.read(zone)
                remarks += [f"{zone}: {finding.sentence}" for finding in series.findings]
                history = HourlyHistory.of(series)
                cut = _cut(zone, history, test_from)
                scores = backtest(history, cut, refit_every_h=refit_h, progress=progress)
            except CarbonPolicyError as error:
                if histories.named or len(histories.zones) == 1:
                    raise
                remarks.append(f"{zone} was left out: {error}")
                continue
            zones.append(ZoneScores(zone, history.end - (len(history) - cut) * HOUR, history.end, scores))
    if not zones:
        raise InvalidInputError(f"No zone of {histories.source} can be scored. {' '.join(remarks)}")
    return Scored(histories.source, tuple(zones), refit_h, tuple(remarks))


def _cut(zone: str, history: HourlyHistory, test_from: datetime | None) -> int:
    """Hours before the test."""
    if test_from is None:
        return len(history) - min(max(len(history) // 3, _FOUR_WEEKS_H), _YEAR_H)
    cut = len(history) - (history.end - test_from) // HOUR
    if not 0 < cut < len(history):
        begins = history.end - len(history) * HOUR
        raise InvalidInputError(
            f"{zone} is known from {begins:%Y-%m-%d} to {history.end:%Y-%m-%d}; let --test-from lie between."
        )
    return cut


def task_name(task: Task) -> str:
    """A job as tables name it."""
    return f"{task.job_h} h in {task.window_h} h"


def kept_of(scores: Backtest, method: str, task: Task) -> Kept:
    """What following a method keeps of a kind of job."""
    return next(kept for kept in scores.method(method).kept if kept.task == task)


def as_document(done: Scored) -> dict[str, Any]:
    """The JSON: shares are 0 to 1, and what is not known is null."""
    return {
        "schema": JSON_SCHEMA,
        "source": done.source,
        "refit_every_h": done.refit_every_h,
        "zones": [
            {
                "zone": zone.zone,
                "tested_from": iso(zone.tested_from),
                "tested_to": iso(zone.tested_to),
                "trained_h": zone.scores.trained_h,
                "tested_h": zone.scores.tested_h,
                "submissions": zone.scores.submissions,
                "methods": {
                    one.method: {
                        "mape_by_day": _numbers(one.mape_by_day),
                        "mape_96h": _number(one.mape_96h),
                        "kept": [
                            {
                                "job_h": kept.task.job_h,
                                "window_h": kept.task.window_h,
                                "once": _number(kept.once),
                                "replanned": _number(kept.replanned),
                                "oracle_saving": _number(kept.oracle_saving),
                            }
                            for kept in one.kept
                        ],
                    }
                    for one in zone.scores.methods
                },
                "bands": (
                    {name: _number(value) for name, value in asdict(zone.scores.bands).items()}
                    if zone.scores.bands
                    else None
                ),
            }
            for zone in done.zones
        ],
        "median": {
            method: {
                "mape_by_day": _numbers(median_days(done, method)),
                "kept": [
                    {
                        "job_h": task.job_h,
                        "window_h": task.window_h,
                        "once": _number(done.median(lambda s, m=method, t=task: kept_of(s, m, t).once)),  # type: ignore[misc]
                        "replanned": _number(
                            done.median(lambda s, m=method, t=task: kept_of(s, m, t).replanned)  # type: ignore[misc]
                        ),
                    }
                    for task in done.tasks
                ],
            }
            for method in done.methods
        },
        "remarks": done.remarks,
    }


def median_days(done: Scored, method: str) -> list[float]:
    """The zones' median MAPE of each day ahead."""
    rows = [zone.scores.method(method).mape_by_day for zone in done.zones]
    return [median(column) for column in zip(*rows, strict=True)]


def as_plot(done: Scored) -> SkillPlot:
    """The plot of it."""
    from carbon_policy.report.skill import Method, SkillPlot

    names = [zone.zone for zone in done.zones]
    of = names[0] if len(names) == 1 else counted(len(names), "zone")
    first, last = done.zones[0].tested_from, max(zone.tested_to for zone in done.zones)
    return SkillPlot(
        title=f"Forecasts from history alone: {of}",
        zones=names,
        tasks=[task_name(task) for task in done.tasks],
        methods=[
            Method(
                name=method,
                mape_by_day=[zone.scores.method(method).mape_by_day for zone in done.zones],
                once=[[kept_of(z.scores, method, t).once for t in done.tasks] for z in done.zones],
                replanned=[[kept_of(z.scores, method, t).replanned for t in done.tasks] for z in done.zones],
            )
            for method in done.methods
        ],
        caption=[
            f"{done.source}, tested from {first:%Y-%m-%d} to {last:%Y-%m-%d}; each forecast knows only its own past."
        ],
    )


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(float(value), 5)


def _numbers(values: Iterable[float]) -> list[float | None]:
    return [_number(value) for value in values]
