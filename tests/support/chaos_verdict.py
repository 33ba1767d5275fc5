"""What became of the jobs of a chaos run: counted, and every one that is not as it must be is named."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from prefect.client.schemas.objects import FlowRun, StateType

from carbon_policy.orchestration.names import DEFERRED, LABEL_PARENT
from tests.support.chaos_plan import Kind
from tests.support.site_worker import Start

_RUNS = (Kind.CRITICAL, Kind.NORMAL, Kind.FLEXIBLE, Kind.DEADLINE, Kind.RELEASED)
_CANCELLED = (Kind.CANCELLED_WAITING, Kind.CANCELLED_RUNNING)


@dataclass(frozen=True)
class Sent:
    """A job that was sent.

    Attributes:
        run: The parent, as it was when it was created.
        kind: Of the job.
        start_by: Its deadline, UTC.
    """

    run: FlowRun
    kind: Kind
    start_by: datetime | None = None


@dataclass(frozen=True)
class Seen:
    """A job, as the server and the file of starts have it in the end.

    Attributes:
        sent: The job.
        run: The parent as it is; `None` where it is gone.
        children: The runs that say that they were placed for it.
        starts: When its code began to run.
    """

    sent: Sent
    run: FlowRun | None
    children: Sequence[FlowRun]
    starts: Sequence[Start]

    @property
    def state(self) -> StateType | None:
        """The parent's."""
        return self.run.state.type if self.run is not None and self.run.state is not None else None

    @property
    def state_name(self) -> str | None:
        """The name of the parent's."""
        return self.run.state.name if self.run is not None and self.run.state is not None else None

    def waits(self, now: datetime) -> bool:
        """Whether it will be started later, by the server's own word."""
        due = self.run.next_scheduled_start_time if self.run is not None else None
        return self.state is StateType.SCHEDULED and due is not None and due > now and not self.starts

    @property
    def settled(self) -> bool:
        """Whether nothing more is to happen to it, or only in the far future."""
        runs = [self.run, *self.children]
        if self.sent.kind is Kind.PATIENT:
            return self.state_name == DEFERRED
        return all(run is not None and run.state is not None and run.state.is_final() for run in runs)

    def faults(self, now: datetime) -> list[str]:
        """What is wrong with it; empty where nothing is."""
        found = []
        if len(self.starts) > _starts(self.sent.kind) or len(self.children) > 1:
            found.append("DOUBLED")
        if self._is_lost(now):
            found.append("LOST")
        for run in (self.run, *self.children):
            if run is not None and run.state is not None and run.state.type in _NEEDS_SOMEBODY:
                found.append("STUCK")
        if not found and not self._ended_as_it_must(now):
            found.append("WRONG END")
        return found

    def _is_lost(self, now: datetime) -> bool:
        """Neither started, nor waiting with a start in the future, nor ended with a message."""
        ended = self.run is not None and self.run.state is not None and self.run.state.is_final()
        told = ended and bool(self.run and self.run.state and self.run.state.message)
        cancelled = self.state is StateType.CANCELLED and self.sent.kind in _CANCELLED
        return not self.starts and not self.waits(now) and not told and not cancelled

    def _ended_as_it_must(self, now: datetime) -> bool:
        kind = self.sent.kind
        job_ends = [child.state.type for child in self.children if child.state is not None]
        if kind in _RUNS:
            return self.state is StateType.COMPLETED and len(self.starts) == 1 and job_ends == [self.state]
        if kind in (Kind.FAILING, Kind.RETRIED):
            all_starts = len(self.starts) == _starts(kind)
            return self.state is StateType.FAILED and all_starts and job_ends == [self.state]
        if kind is Kind.MALFORMED:
            return self.state_name == "Refused" and not self.starts and not self.children
        if kind is Kind.PATIENT:
            return self.waits(now) and not self.children
        # A job that has begun ends with its parent; one that takes no time may end first.
        short = {StateType.COMPLETED} if kind is Kind.CANCELLED_WAITING else set()
        return self.state is StateType.CANCELLED and set(job_ends) <= {StateType.CANCELLED} | short


def _starts(kind: Kind) -> int:
    """How often a job of a kind begins at most."""
    return 2 if kind is Kind.RETRIED else 1


_NEEDS_SOMEBODY = (StateType.PENDING, StateType.RUNNING, StateType.CANCELLING)


def match(sent: Iterable[Sent], runs: Iterable[FlowRun], started: Iterable[Start]) -> list[Seen]:
    """Put together what belongs together: what was sent, all runs of the jobs' flows, and all starts."""
    by_id: dict[UUID, FlowRun] = {}
    children: dict[str, list[FlowRun]] = {}
    for run in runs:
        by_id[run.id] = run
        if LABEL_PARENT in run.labels:
            children.setdefault(str(run.labels[LABEL_PARENT]), []).append(run)
    begun: dict[str, list[Start]] = {}
    for start in started:
        begun.setdefault(start.parent, []).append(start)
    return [
        Seen(job, by_id.get(job.run.id), children.get(str(job.run.id), []), begun.get(str(job.run.id), []))
        for job in sent
    ]


@dataclass(frozen=True)
class Verdict:
    """A chaos run, judged.

    Attributes:
        seen: Every job.
        strays: Starts that belong to no job that was sent.
        now: When it was judged, UTC.
        happened: How often what went wrong with the machinery.
    """

    seen: Sequence[Seen]
    strays: Sequence[Start]
    now: datetime
    happened: Mapping[str, int] = field(default_factory=dict)

    @property
    def faulty(self) -> list[tuple[Seen, list[str]]]:
        """The jobs with which something is wrong, and what."""
        judged = [(job, job.faults(self.now)) for job in self.seen]
        return [(job, faults) for job, faults in judged if faults]

    @property
    def counts(self) -> dict[str, int]:
        """What is printed."""
        faults: Counter[str] = Counter(fault for _, found in self.faulty for fault in set(found))
        names = Counter(job.state_name for job in self.seen)
        return {
            "sent": len(self.seen),
            "run": sum(1 for job in self.seen if job.starts),
            "waiting": sum(1 for job in self.seen if job.waits(self.now)),
            "refused": names["Refused"],
            "cancelled": names["Cancelled"],
            "DOUBLED": faults["DOUBLED"],
            "LOST": faults["LOST"],
            "STUCK": faults["STUCK"],
            "WRONG END": faults["WRONG END"],
            "STRAY": len(self.strays),
            "late": len(self.late_s),
        }

    @property
    def late_s(self) -> list[float]:
        """By how much each job that began after its deadline did so, seconds; the worst first."""
        found = [
            (job.starts[0].at - job.sent.start_by).total_seconds()
            for job in self.seen
            if job.starts and job.sent.start_by is not None
        ]
        return sorted((late for late in found if late > 0), reverse=True)

    @property
    def good(self) -> bool:
        """Whether nothing was lost, doubled, left lying or told wrongly."""
        return not self.faulty and not self.strays

    def __str__(self) -> str:
        lines = [_counted(self.counts)]
        with_deadline = sum(1 for job in self.seen if job.sent.start_by is not None)
        worst = f", the worst by {self.late_s[0]:.1f} s" if self.late_s else ""
        lines.append(f"of {with_deadline} jobs with a deadline {len(self.late_s)} began late{worst}")
        lines.append("what went wrong: " + (_counted(self.happened) or "nothing"))
        return "\n".join(lines)


def _counted(counts: Mapping[str, int]) -> str:
    return "  ".join(f"{name} {count}" for name, count in counts.items())
