"""The day's jobs: real AI work of different urgency and flexibility, due at hours of the replayed day."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from itertools import cycle, islice
from typing import Any


@dataclass(frozen=True)
class DemoJob:
    """One job.

    Attributes:
        name: What the tables call it.
        flow: The flow's function, in the file of the same name in flows/.
        due_hour: Hours after the start of the replayed day.
        urgency: Said of the job.
        finish_within: Said of the job, in time of the replayed day; `None` for no window.
        takes: Expected on fast, in time of the replayed day.
        parameters: Of the flow.
    """

    name: str
    flow: str
    due_hour: float
    urgency: str
    finish_within: timedelta | None
    takes: timedelta = timedelta(hours=1, minutes=30)
    parameters: dict[str, Any] = field(default_factory=dict)


def _hours(number: float) -> timedelta:
    return timedelta(hours=number)


# Real work, and little of it: twelve jobs share two cores with a server and three workers.
_TRAIN = {"epochs": 5}
_SCORE = {"items": 1000}
_REPORT = {"resamples": 300}

# Most are due in the dirty hours of the night and the morning, when there is something to wait for.
_DAY = (
    DemoJob("train nightly", "train_classifier", 0.0, "flexible", _hours(18), parameters=_TRAIN),
    DemoJob("score fraud", "batch_inference", 1.0, "critical", None, parameters=_SCORE),
    DemoJob("report sales", "analytics_report", 2.5, "flexible", _hours(14), parameters=_REPORT),
    DemoJob("score catalogue", "batch_inference", 4.0, "normal", _hours(10), parameters=_SCORE),
    DemoJob("train ranking", "train_classifier", 5.5, "flexible", _hours(12), parameters=_TRAIN),
    DemoJob("report finance", "analytics_report", 7.0, "critical", None, parameters=_REPORT),
    DemoJob("score inbox", "batch_inference", 8.5, "normal", None, parameters=_SCORE),
    DemoJob("train vision", "train_classifier", 10.0, "flexible", _hours(10), parameters=_TRAIN),
    DemoJob("report usage", "analytics_report", 12.0, "normal", _hours(9), parameters=_REPORT),
    DemoJob("score returns", "batch_inference", 14.0, "flexible", _hours(10), parameters=_SCORE),
    DemoJob("train forecast", "train_classifier", 16.0, "normal", _hours(9), parameters=_TRAIN),
    DemoJob("score alerts", "batch_inference", 18.0, "critical", None, parameters=_SCORE),
)


def the_days_jobs(number: int) -> list[DemoJob]:
    """So many jobs of the day, in the order in which they are due; the dozen comes again if there are more."""
    return sorted(islice(cycle(_DAY), number), key=lambda job: job.due_hour)
