"""What is said of a job: how urgent it is, and how flexible."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from carbon_policy.domain.errors import ContradictoryWindowError, InvalidInputError
from carbon_policy.domain.times import (
    Duration,
    Moment,
    format_duration,
    parse_clock_time,
    parse_timezone,
)

MAX_WINDOW = timedelta(days=31)
"""A longer window is a typing error more often than a wish, and no forecast reaches further."""

DEFAULT_DURATION = timedelta(hours=1)
"""Assumed of a job of which nobody said how long it takes."""


class Urgency(StrEnum):
    """`critical` never waits; `normal` waits only in a window it was given; `flexible` may always wait."""

    CRITICAL = "critical"
    NORMAL = "normal"
    FLEXIBLE = "flexible"


class OnMissed(StrEnum):
    """What becomes of a job whose window has passed before anyone could decide."""

    RUN = "run"
    SKIP = "skip"
    FAIL = "fail"


class Mode(StrEnum):
    """`observe` decides and records but changes nothing; `off` does not decide."""

    ON = "on"
    OBSERVE = "observe"
    OFF = "off"


class PolicyName(StrEnum):
    """The rule that decides."""

    GREENEST = "greenest"
    THRESHOLD = "threshold"
    FLEET = "fleet"


class Risk(StrEnum):
    """How sure a saving must be before a job waits for it.

    `bold` believes the forecast. `balanced` asks that the saving holds when the forecast errs as it does one time in
    four, `careful` as it does one time in ten. Where nothing is known of a forecast's errors, all three are one.
    """

    CAREFUL = "careful"
    BALANCED = "balanced"
    BOLD = "bold"


class OverBudget(StrEnum):
    """What becomes of a job that would break a budget."""

    DEFER = "defer"
    ECO = "eco"
    RELEASE = "release"
    REFUSE = "refuse"


def _as_tuple(value: Any) -> Any:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


Names = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]
"""A list of names; text separated by commas will do, as a job variable on a command line is text."""


class AllowedHours(BaseModel):
    """Hours of the day in which a job may start, in a time zone of its own.

    Attributes:
        ranges: Pairs of local times; a range may cross midnight; equal ends mean the whole day.
        timezone: IANA name.
    """

    model_config = ConfigDict(frozen=True)

    ranges: tuple[tuple[time, time], ...]
    timezone: str = "UTC"

    @classmethod
    def parse(cls, text: str, timezone: str = "UTC") -> Self:
        """Read `"22:00-06:00"`, or several ranges separated by commas.

        Raises:
            InvalidInputError: A range cannot be read, or the time zone is unknown.
        """
        ranges = []
        for part in text.split(","):
            begin, dash, end = part.partition("-")
            if not dash:
                raise InvalidInputError(f"{part.strip()!r} is not a range of hours; write 22:00-06:00.")
            ranges.append((parse_clock_time(begin), parse_clock_time(end)))
        parse_timezone(timezone)
        return cls(ranges=tuple(ranges), timezone=timezone)

    def intervals(self, start: datetime, end: datetime) -> list[tuple[datetime, datetime]]:
        """The allowed stretches between two moments, UTC, in order and without overlap.

        A local time that a change of clocks skips or repeats is read as its first occurrence
        (PEP 495, `fold=0`), so an hour lost in spring shortens a range and one gained in autumn lengthens it.
        """
        zone = parse_timezone(self.timezone)
        found: list[tuple[datetime, datetime]] = []
        day = start.astimezone(zone).date() - timedelta(days=1)
        while day <= end.astimezone(zone).date():
            for begin, finish in self.ranges:
                last = day if begin < finish else day + timedelta(days=1)
                opens, closes = (_utc(d, t, zone) for d, t in ((day, begin), (last, finish)))
                opens, closes = max(opens, start), min(closes, end)
                if opens <= closes and (opens < closes or start == end):
                    found.append((opens, closes))
            day += timedelta(days=1)
        merged: list[tuple[datetime, datetime]] = []
        for opens, closes in sorted(found):
            if merged and opens <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(merged[-1][1], closes))
            else:
                merged.append((opens, closes))
        return merged


def _utc(day: date, clock: time, zone: Any) -> datetime:
    return datetime.combine(day, clock, tzinfo=zone).astimezone(UTC)


class JobSpec(BaseModel):
    """What a team says of a job; every field may come from any layer of `precedence`.

    Relative limits (`start_within`, `finish_within`, `start_early`) count from the moment the run was due.

    Attributes:
        urgency: How urgent the job is.
        start_within: It must start within this time of being due.
        start_by: It must have started by this moment.
        finish_within: It must be done within this time of being due.
        finish_by: It must be done by this moment.
        earliest_start: It must not start before this moment.
        start_early: How much earlier than its due time it may start, where a schedule created its run ahead of time.
        allowed_hours: Hours of the day in which it may start, `22:00-06:00`, several separated by commas.
        timezone: The time zone of `allowed_hours`, an IANA name.
        expected_duration: How long it takes on the reference site (speed 1.0); an hour is assumed if unsaid.
        allowed_zones: Grid zones it may run in; empty means any.
        allowed_sites: Sites it may run on; empty means any.
        policy: The rule that decides.
        minimum_saving: A wait, or a slower site, must save at least this share (0 to 1) of the grams.
        max_deferrals: After so many deferrals it is placed whatever the grid does.
        on_missed: What to do when its window has passed before it could be placed.
        wait: The gate's run stays until the job has ended, and ends as it ends.
        mode: Decide and act, decide and only record, or do not decide.
        interruptible: It saves its state with `carbon_policy.checkpoint`, so it may run in several slices.
        stop_cost: The running time that each stop costs: to save the state and to end.
        restart_cost: The running time that each start after a stop costs: to start and to read the state.
        shortest_slice: It is not stopped before it has run so long since it was last started.
        risk: How sure a saving must be before the job waits for it.
        cpus: Cores that it needs.
        memory_gb: Memory that it needs, GB.
        gpus: GPUs that it needs.
        max_latency_ms: The most time to reach the site, ms.
        data_gb: Data that is moved to where it runs, GB.
        data_zone: The grid zone in which that data lies; unset means the reference site's.
        functional_unit: What it makes, such as `image` or `epoch`.
        quantity: How many of them.
        budget_gco2: The most grams that one run may be expected to emit.
        budget_cost: The most money that one run may be expected to cost.
        over_budget: What becomes of it where a budget would be broken; `critical` jobs run all the same.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    urgency: Urgency = Urgency.NORMAL
    start_within: Duration | None = None
    start_by: Moment | None = None
    finish_within: Duration | None = None
    finish_by: Moment | None = None
    earliest_start: Moment | None = None
    start_early: Duration | None = None
    allowed_hours: str | None = None
    timezone: str = "UTC"
    expected_duration: Duration | None = None
    allowed_zones: Names = ()
    allowed_sites: Names = ()
    policy: PolicyName = PolicyName.GREENEST
    minimum_saving: float = Field(default=0.05, ge=0, le=1)
    max_deferrals: int = Field(default=8, ge=0, le=1000)
    on_missed: OnMissed = OnMissed.RUN
    wait: bool = False
    mode: Mode = Mode.ON
    interruptible: bool = False
    stop_cost: Duration = timedelta(seconds=30)
    restart_cost: Duration = timedelta(minutes=1)
    shortest_slice: Duration = timedelta(minutes=15)
    risk: Risk = Risk.BOLD
    cpus: float | None = Field(default=None, gt=0)
    memory_gb: float | None = Field(default=None, gt=0)
    gpus: int = Field(default=0, ge=0)
    max_latency_ms: float | None = Field(default=None, gt=0)
    data_gb: float = Field(default=0.0, ge=0)
    data_zone: str | None = None
    functional_unit: str | None = None
    quantity: float | None = Field(default=None, gt=0)
    budget_gco2: float | None = Field(default=None, ge=0)
    budget_cost: float | None = Field(default=None, ge=0)
    over_budget: OverBudget = OverBudget.DEFER

    @field_validator("expected_duration")
    @classmethod
    def _takes_time(cls, duration: timedelta | None) -> timedelta | None:
        if duration is not None and not timedelta(0) < duration <= MAX_WINDOW:
            raise InvalidInputError(
                f"expected_duration is {format_duration(duration)}; give a time from a second to 31 days, such as 45m."
            )
        return duration

    @field_validator("start_within", "finish_within", "start_early")
    @classmethod
    def _is_near(cls, duration: timedelta | None) -> timedelta | None:
        if duration is not None and duration > MAX_WINDOW:
            raise InvalidInputError(
                f"A window of {format_duration(duration)} is too long; the most is 31 days."
            )
        return duration

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        for relative, absolute in (("start_within", "start_by"), ("finish_within", "finish_by")):
            if getattr(self, relative) is not None and getattr(self, absolute) is not None:
                raise ContradictoryWindowError(
                    f"Both {relative} and {absolute} are given, and they may disagree; give one of them."
                )
        if self.finish_within is not None and self.finish_within < self.duration:
            raise ContradictoryWindowError(
                f"finish_within ({format_duration(self.finish_within)}) is shorter than expected_duration"
                f" ({format_duration(self.duration)}): the job could never finish in time;"
                " lengthen the one or shorten the other."
            )
        if (
            self.start_within is not None
            and self.finish_within is not None
            and self.start_within > self.finish_within
        ):
            raise ContradictoryWindowError(
                f"start_within ({format_duration(self.start_within)}) is longer than finish_within"
                f" ({format_duration(self.finish_within)}); it must start before it can finish."
            )
        if self.start_by is not None and self.finish_by is not None and self.finish_by < self.start_by:
            raise ContradictoryWindowError(
                f"finish_by ({self.finish_by.isoformat()}) is before start_by ({self.start_by.isoformat()});"
                " move one of them."
            )
        if self.earliest_start is not None:
            for name in ("start_by", "finish_by"):
                limit = getattr(self, name)
                needed = self.duration if name == "finish_by" else timedelta(0)
                if limit is not None and limit < self.earliest_start + needed:
                    raise ContradictoryWindowError(
                        f"{name} ({limit.isoformat()}) leaves no room after earliest_start"
                        f" ({self.earliest_start.isoformat()}); move one of them."
                    )
        if self.allowed_hours is not None:
            AllowedHours.parse(self.allowed_hours, self.timezone)
        return self

    @property
    def duration(self) -> timedelta:
        """The expected duration, or what is assumed where none was given: an hour, or less to fit the window."""
        if self.expected_duration is not None:
            return self.expected_duration
        return min(DEFAULT_DURATION, self.finish_within or DEFAULT_DURATION)

    @property
    def has_window(self) -> bool:
        """Whether any limit on start or finish was given."""
        return any((self.start_within, self.start_by, self.finish_within, self.finish_by))

    def window(self, submitted_at: datetime) -> FlexibilityWindow:
        """The limits as moments, for a run that was due at `submitted_at` (UTC)."""
        latest_start, latest_finish = self.start_by, self.finish_by
        opens = submitted_at - (self.start_early or timedelta(0))
        if self.start_within is not None:
            latest_start = submitted_at + self.start_within
        if self.finish_within is not None:
            latest_finish = submitted_at + self.finish_within
        return FlexibilityWindow(
            due=submitted_at,
            earliest_start=max(opens, self.earliest_start or opens),
            latest_start=latest_start,
            latest_finish=latest_finish,
            hours=AllowedHours.parse(self.allowed_hours, self.timezone) if self.allowed_hours else None,
        )


class FlexibilityWindow(BaseModel):
    """When a job may start and must be done, as moments in UTC.

    Attributes:
        due: When the run is due; only with `start_early` may it start before.
        earliest_start: Not before this.
        latest_start: Not after this, whatever the duration; `None` where the start is not limited.
        latest_finish: Done by this; `None` where the finish is not limited.
        hours: Hours of the day in which it may start.
    """

    model_config = ConfigDict(frozen=True)

    due: Moment
    earliest_start: Moment
    latest_start: Moment | None
    latest_finish: Moment | None
    hours: AllowedHours | None = None

    def latest_start_for(self, duration: timedelta) -> datetime | None:
        """The last moment at which a job that takes `duration` may start, UTC; `None` where nothing limits it."""
        limits = [self.latest_start] if self.latest_start is not None else []
        if self.latest_finish is not None:
            limits.append(self.latest_finish - duration)
        return min(limits, default=None)

    def start_intervals(self, now: datetime, duration: timedelta) -> list[tuple[datetime, datetime]]:
        """The stretches, ends included, in which a job that takes `duration` may start, from `now` on; UTC.

        Without a limit there is no leave to wait: once the run is due it is the first moment that is allowed, and no
        other.
        """
        begin, end = max(now, self.earliest_start), self.latest_start_for(duration)
        if end is None:
            at_once = max(begin, self.due)
            if self.hours is None:
                return [(begin, at_once)]
            opens = self.hours.intervals(at_once, at_once + timedelta(days=2))[0][0]
            early = self.hours.intervals(begin, at_once) if begin < at_once else []
            return early if early and early[-1][1] == opens else [*early, (opens, opens)]
        if begin > end:
            return []
        return self.hours.intervals(begin, end) if self.hours else [(begin, end)]
