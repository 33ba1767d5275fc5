"""A file of jobs as `carbon-policy simulate` reads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

from carbon_policy.domain.errors import InvalidInputError
from carbon_policy.domain.times import parse_duration, parse_moment
from carbon_policy.grid.trace_table import open_table

_Value = TypeVar("_Value")

ARRIVAL, MOMENT = ("arrival_time", "arrival_s", "arrival"), ("submitted_at", "submitted_at_utc")
LENGTH = ("length", "length_s", "duration", "expected_duration")
POWER, CPUS = ("power_w",), ("cpus",)
MAX_WAIT, DEADLINE = ("max_wait", "max_wait_s", "start_within"), ("finish_by", "deadline")


@dataclass(frozen=True)
class FileJob:
    """One row.

    Attributes:
        arrival: A moment, UTC, or a time since the beginning of the simulation.
        length: How long it runs.
        power_w: What it draws.
        max_wait: How long its start may wait; `None` where the file does not say.
        finish_by: By when it is to be done, UTC; `None` where the file does not say.
    """

    arrival: datetime | timedelta
    length: timedelta
    power_w: float
    max_wait: timedelta | None
    finish_by: datetime | None


def read_jobs(path: Path, watts_per_cpu: float) -> list[FileJob]:
    """The jobs in the file's order.

    Raises:
        SourceUnavailableError: It cannot be read.
        InvalidInputError: It has no jobs, lacks a column, or holds a value that cannot be read.
    """
    path = path.expanduser()
    if not path.exists():
        raise InvalidInputError(f"There is no file of jobs at {path}; correct the path.")
    with open_table(path) as table:
        columns = {name.strip().lower(): index for index, name in enumerate(table.header)}
        if not any(name in columns for name in (*ARRIVAL, *MOMENT)):
            raise _lacks(path, "when jobs arrive", (*ARRIVAL[:1], *MOMENT[:1]), columns)
        if not any(name in columns for name in LENGTH):
            raise _lacks(path, "how long jobs run", LENGTH[:3:2], columns)
        jobs = [
            _job(_Row(f"{table.name}, {table.unit} {number}", columns, cells), watts_per_cpu)
            for number, cells in table.rows
        ]
    if not jobs:
        raise InvalidInputError(f"{path.name} holds no jobs; write one row for each.")
    return jobs


def _lacks(path: Path, what: str, names: Sequence[str], columns: Mapping[str, int]) -> InvalidInputError:
    return InvalidInputError(
        f"{path.name} has no column that says {what}; name one {' or '.join(names)}. It has: {', '.join(columns)}."
    )


@dataclass(frozen=True)
class _Row:
    where: str
    columns: Mapping[str, int]
    cells: Sequence[str]

    def value(self, names: Sequence[str], read: Callable[[str], _Value]) -> _Value | None:
        """The first of these columns that says something; `None` where none does."""
        for name in names:
            index = self.columns.get(name)
            text = self.cells[index].strip() if index is not None and index < len(self.cells) else ""
            if not text:
                continue
            try:
                return read(text)
            except ValueError as error:
                raise InvalidInputError(
                    f"{self.where}: {name} is {text!r}, which cannot be read; {error}"
                ) from error
        return None


def _job(row: _Row, watts_per_cpu: float) -> FileJob:
    arrival = row.value(MOMENT, parse_moment) or row.value(ARRIVAL, _since)
    length = row.value(LENGTH, _since)
    if arrival is None or length is None or length <= timedelta(0):
        raise InvalidInputError(f"{row.where}: give the job a time of arrival and a length above zero.")
    power_w = row.value(POWER, _amount)
    if power_w is None:
        cpus = row.value(CPUS, _amount)
        power_w = watts_per_cpu * (1.0 if cpus is None else cpus)
    return FileJob(arrival, length, power_w, row.value(MAX_WAIT, _since), row.value(DEADLINE, parse_moment))


def _since(text: str) -> timedelta:
    """Seconds as a number, or a duration such as 45m."""
    try:
        seconds = float(text)
    except ValueError:
        return parse_duration(text)
    if not 0 <= seconds < 1e9:
        raise ValueError("give seconds from 0 on.")
    return timedelta(seconds=seconds)


def _amount(text: str) -> float:
    amount = float(text)
    if not 0 <= amount < 1e9:
        raise ValueError("give a number from 0 on.")
    return amount
