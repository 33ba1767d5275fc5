"""What a carbon worker counts, as Prometheus reads it.

No label names a run, a deployment or a flow: of those there are ever more, and each would be a series of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from carbon_policy.domain.decision import Decision
from carbon_policy.worker.api_errors import kind_of

Loop = Literal["place", "mirror", "replan", "recover"]
"""What a carbon worker does again and again."""

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_SAVING_IS = (
    "at a run's first decision, by the forecast of that moment, against the same job at once on the reference site."
    " Counted once a run, and not corrected when it is decided again; decisions without a forecast count nothing."
    " What was really emitted is in the ledger."
)


class Metrics:
    """The counters and gauges of one worker. Safe to call from any thread.

    Args:
        registry: Where they are registered; one of its own by default, so that several workers fit in one process.
        clock: Monotonic seconds; forecasts go on ageing by it after they were seen.
    """

    def __init__(
        self, registry: CollectorRegistry | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.registry = registry if registry is not None else CollectorRegistry(auto_describe=True)
        self._clock = clock
        self._decisions = self._counter(
            "decisions", "Decisions made, those of runs that are decided again included.", "action", "reason"
        )
        self._decision_seconds = self._histogram("decision_seconds", "Time to decide one batch of runs.")
        self._waiting = self._gauge(
            "waiting_runs", "Runs of the pool that are deferred and wait for their start."
        )
        self._placed = self._gauge("placed_runs", "Placed jobs that have not ended; their ends are mirrored.")
        # A counter only grows, and a negative saving is no saving: so there are two, and the net is their difference.
        self._saved = self._counter(
            "expected_saved_grams",
            f"Grams of CO2e expected to be saved {_SAVING_IS}"
            " The net is this minus carbon_policy_expected_added_grams_total.",
        )
        self._added = self._counter(
            "expected_added_grams", f"Grams of CO2e expected to be emitted in addition {_SAVING_IS}"
        )
        self._forecast_age = self._gauge(
            "forecast_age_seconds",
            "Since the zone's forecast in use was issued; absent where it is none.",
            "zone",
        )
        self._api_errors = self._counter("api_errors", "Failed calls of the Prefect API.", "kind")
        self._loop_seconds = self._histogram("loop_seconds", "Time of one pass of a loop.", "loop")
        self._last_poll = self._gauge(
            "last_poll_timestamp_seconds",
            "When the work pool was last polled, Unix time; 0 before the first.",
        )
        self._plans = self._gauge(
            "plans", "1 where this worker is the one that plans the waiting runs, else 0."
        )
        self._recovered = self._counter("recovered_runs", "Overdue runs that were got going again.", "kind")
        for loop in get_args(Loop):
            self._loop_seconds.labels(loop)  # A loop that never ran shows as 0, and not as nothing.

    def decided(self, decision: Decision) -> None:
        """A run was decided."""
        self._decisions.labels(decision.action.value, decision.reason.value).inc()
        evidence, saving = decision.evidence, decision.predicted_saving_gco2
        decided_before = evidence.deferrals > 0 or evidence.plan is not None or evidence.progress > 0
        if saving is None or decided_before:
            return
        (self._saved if saving >= 0 else self._added).inc(abs(saving))

    def deciding(self) -> AbstractContextManager[object]:
        """Times the decision of one batch."""
        return self._decision_seconds.time()

    def timed(self, loop: Loop) -> AbstractContextManager[object]:
        """Times one pass of a loop, also one that fails."""
        return self._loop_seconds.labels(loop).time()

    def waiting(self, runs: int) -> None:
        """So many runs wait."""
        self._waiting.set(runs)

    def placed(self, runs: int) -> None:
        """So many placed jobs have not ended."""
        self._placed.set(runs)

    def outlook_seen(self, zone: str, issued_at: datetime | None, now: datetime) -> None:
        """An outlook was used. Its age grows from here on, until a newer one is seen.

        Args:
            zone: Of which grid.
            issued_at: When the forecast was issued, UTC; `None` where the outlook is no forecast.
            now: UTC.
        """
        if issued_at is None:
            self._forecast_age.remove(zone)
            return
        age_s, seen = (now - issued_at).total_seconds(), self._clock()
        self._forecast_age.labels(zone).set_function(lambda: age_s + self._clock() - seen)

    def api_failed(self, error: BaseException) -> None:
        """A call of the Prefect API failed."""
        self._api_errors.labels(kind_of(error)).inc()

    def polled(self, now: datetime) -> None:
        """The work pool was asked for due runs, and answered."""
        self._last_poll.set(now.timestamp())

    def plans(self, is_planner: bool) -> None:
        """Whether this worker is the one that plans."""
        self._plans.set(int(is_planner))

    def recovered(self, kind: str) -> None:
        """An overdue run was got going again; `kind` is one of the few kinds of overdue runs."""
        self._recovered.labels(kind).inc()

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"carbon_policy_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"carbon_policy_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(f"carbon_policy_{name}", text, labels, registry=self.registry, buckets=_SECONDS)
