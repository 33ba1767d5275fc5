"""What a chaos run is to do, and when: every random choice is made here, from one seed, before anything starts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from random import Random

LATER_S = 6 * 3600
"""A wait that no chaos run outlasts."""


class Kind(StrEnum):
    """A sort of job, and what becomes of it whatever happens to the machinery."""

    CRITICAL = "critical"
    NORMAL = "normal"
    FLEXIBLE = "flexible"
    DEADLINE = "deadline"
    FAILING = "failing"
    RETRIED = "failing, and retried once"
    RELEASED = "released"
    CANCELLED_WAITING = "cancelled while it waits"
    CANCELLED_RUNNING = "cancelled while it runs"
    MALFORMED = "malformed"
    PATIENT = "patient"


SHARES: dict[Kind, float] = {
    Kind.CRITICAL: 0.24,
    Kind.NORMAL: 0.2,
    Kind.FLEXIBLE: 0.22,
    Kind.DEADLINE: 0.1,
    Kind.FAILING: 0.02,
    Kind.RETRIED: 0.03,
    Kind.RELEASED: 0.05,
    Kind.CANCELLED_WAITING: 0.04,
    Kind.CANCELLED_RUNNING: 0.04,
    Kind.MALFORMED: 0.03,
    Kind.PATIENT: 0.03,
}

DEADLINES_S = (15, 30, 60)
"""A job with a deadline starts within one of these of being due."""

_SUBMITTED_UNTIL = 0.75
_FAULTS_FROM, _FAULTS_UNTIL = 0.08, 0.92
_USER_WAITS_S = (0.0, 12.0)


@dataclass(frozen=True)
class Submit:
    """A job is sent.

    Attributes:
        number: Of the job; the first is 0.
        kind: Of the job.
        lasts_s: How long it runs.
        start_within_s: Its deadline, from when it is due.
    """

    number: int
    kind: Kind
    lasts_s: float
    start_within_s: int | None = None


@dataclass(frozen=True)
class Cancel:
    """A user cancels a job."""

    number: int


@dataclass(frozen=True)
class Release:
    """A user lets a job go now."""

    number: int


@dataclass(frozen=True)
class KillWorker:
    """A worker is killed, -9."""

    worker: int


@dataclass(frozen=True)
class StartWorker:
    """A worker that was killed is started again."""

    worker: int


@dataclass(frozen=True)
class RestartServer:
    """The server is killed, -9, and started again after a while."""

    down_s: float


@dataclass(frozen=True)
class Cut:
    """A worker's network is cut."""

    worker: int


@dataclass(frozen=True)
class Heal:
    """And is there again."""

    worker: int


@dataclass(frozen=True)
class Storm:
    """Some of the requests of both workers go wrong."""

    unavailable: float
    lost: float
    late: float


@dataclass(frozen=True)
class Calm:
    """None of them go wrong any more."""


Happening = Submit | Cancel | Release | KillWorker | StartWorker | RestartServer | Cut | Heal | Storm | Calm


@dataclass(frozen=True)
class Plan:
    """A chaos run.

    Attributes:
        jobs: How many are sent.
        lasts_s: How long things happen; then it settles.
        seed: Of every choice.
        kills: Of each worker.
        restarts: Of the server.
        cuts: Of each worker's network.
        storms: How often requests go wrong for a while.
    """

    jobs: int
    lasts_s: float
    seed: int
    workers: int = 2
    kills: int = 2
    restarts: int = 1
    cuts: int = 2
    storms: int = 2

    def happenings(self) -> list[tuple[float, Happening]]:
        """What happens, with the seconds since the start, in order."""
        random = Random(self.seed)
        found: list[tuple[float, Happening]] = [
            *self._jobs(random),
            *self._server(random),
            *self._storms(random),
        ]
        for worker in range(self.workers):
            found += self._of_worker(random, worker)
        return sorted(found, key=lambda item: item[0])

    def _jobs(self, random: Random) -> list[tuple[float, Happening]]:
        found: list[tuple[float, Happening]] = []
        for number, kind in enumerate(kinds_of(self.jobs, random)):
            at_s = random.uniform(0, self.lasts_s * _SUBMITTED_UNTIL)
            deadline = random.choice(DEADLINES_S) if kind is Kind.DEADLINE else None
            # One that is to be cancelled while it runs ends in no other way.
            lasts_s = LATER_S if kind is Kind.CANCELLED_RUNNING else random.choice((0.0, 0.0, 0.5, 2.0))
            found.append((at_s, Submit(number, kind, lasts_s, deadline)))
            waits_s = random.uniform(*_USER_WAITS_S)
            if kind is Kind.RELEASED:
                found.append((at_s + waits_s, Release(number)))
            if kind in (Kind.CANCELLED_WAITING, Kind.CANCELLED_RUNNING):
                found.append((at_s + waits_s, Cancel(number)))
        return found

    def _server(self, random: Random) -> list[tuple[float, Happening]]:
        return [(at_s, RestartServer(random.uniform(1, 4))) for at_s in self._moments(random, self.restarts)]

    def _storms(self, random: Random) -> list[tuple[float, Happening]]:
        found: list[tuple[float, Happening]] = []
        for at_s in self._moments(random, self.storms):
            found += [
                (at_s, Storm(unavailable=0.1, lost=0.05, late=0.05)),
                (at_s + random.uniform(4, 10), Calm()),
            ]
        return found

    def _of_worker(self, random: Random, worker: int) -> list[tuple[float, Happening]]:
        found: list[tuple[float, Happening]] = []
        for at_s in self._moments(random, self.kills):
            found += [(at_s, KillWorker(worker)), (at_s + random.uniform(0, 5), StartWorker(worker))]
        for at_s in self._moments(random, self.cuts):
            found += [(at_s, Cut(worker)), (at_s + random.uniform(1, 8), Heal(worker))]
        return found

    def _moments(self, random: Random, count: int) -> list[float]:
        """One moment in each of so many equal parts of the time in which things go wrong."""
        first, last = self.lasts_s * _FAULTS_FROM, self.lasts_s * _FAULTS_UNTIL
        part_s = (last - first) / max(1, count)
        return [first + part_s * (number + random.random()) for number in range(count)]


def kinds_of(jobs: int, random: Random) -> list[Kind]:
    """The kinds of so many jobs by their shares, at least one of each where there are so many, shuffled."""
    found = [kind for kind, share in SHARES.items() for _ in range(max(1, int(share * jobs)))]
    found += [Kind.CRITICAL] * (jobs - len(found))
    random.shuffle(found)
    return found[:jobs]
