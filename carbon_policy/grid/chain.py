"""What a decision may believe of the grid: the first answer of the chain that holds, and why not the ones before.

No failure of a source reaches the caller. It becomes a finding, the next source is asked, and at the end
of the chain there is no series: the job then runs as if there were no carbon policy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from carbon_policy.domain.chain import ChainStep
from carbon_policy.domain.errors import SignalError, UnknownZoneError
from carbon_policy.domain.finding import Finding, FindingKind, Treatment
from carbon_policy.domain.signal import IntensitySeries, Labels, SignalKind
from carbon_policy.domain.times import parse_moment
from carbon_policy.grid.deadline import within
from carbon_policy.grid.norms import Norms
from carbon_policy.grid.sanity import OLDEST_ISSUE, Expected, examine
from carbon_policy.grid.source import Capabilities, IntensitySource

MEASURED_LATE = timedelta(hours=3)
"""The newest slots that a source may not have measured yet; that they are missing is no finding."""

FORECAST_WITHIN_S = 20.0
"""A decision waits no longer for one source: what it is asked takes 15 s at most where all goes well."""

HISTORY_WITHIN_S = 300.0
"""Weeks of history take many questions."""

_NONE = timedelta(0)

NormsOf = Callable[[IntensitySeries], Norms | None]


@dataclass(frozen=True)
class Link:
    """One step of the chain.

    Attributes:
        step: Which.
        sources: To be asked in this order; called for only when the steps before have not answered.
        oldest_issue: A forecast older than this is stale.
    """

    step: ChainStep
    sources: Callable[[], Sequence[IntensitySource]]
    oldest_issue: timedelta = OLDEST_ISSUE


@dataclass(frozen=True)
class Chain:
    """Steps that are taken one after the other.

    Attributes:
        links: The preferred first.
        signal: The only kind that is taken, from all of them: average never falls to marginal, nor marginal to average.
    """

    links: tuple[Link, ...]
    signal: SignalKind = SignalKind.AVERAGE


@dataclass(frozen=True)
class Outlook:
    """What the chain came to.

    Attributes:
        series: The first answer that holds; `None` where none does.
        step: Where it was found.
        source: Who gave it.
        findings: What was amiss on the way there, and of the answer itself.
    """

    series: IntensitySeries | None
    step: ChainStep | None = None
    source: IntensitySource | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """The findings as sentences."""
        said = tuple(f"{finding.source}: {finding.sentence}" for finding in self.findings)
        return said if self.series is not None else (*said, "No source is left to ask.")


def pinned(sources: Sequence[IntensitySource]) -> Chain:
    """A chain of these sources and nothing else; its signal is the first one's."""
    return Chain((Link(ChainStep.PINNED, lambda: sources),), signal_of(sources))


def signal_of(sources: Sequence[IntensitySource]) -> SignalKind:
    """The first source's; average where there is none, or where it cannot say."""
    try:
        return sources[0].capabilities().signal
    except Exception:
        return SignalKind.AVERAGE


def outlook(zone: str, now: datetime, chain: Chain, norms: NormsOf | None = None) -> Outlook:
    """The intensity that is expected from `now` on.

    Args:
        zone: Electricity Maps' key.
        now: UTC.
        chain: Whom to ask.
        norms: Of the zone, where its history is known.
    """

    def expected(link: Link) -> Expected:
        return Expected(zone, parse_moment(now), chain.signal, norms, oldest_issue=link.oldest_issue)

    def ask(source: IntensitySource) -> IntensitySeries:
        return within(FORECAST_WITHIN_S, lambda: source.forecast(zone, now), name_of(source))

    return _first_that_holds(chain, ask, expected)


def actuals(
    zone: str,
    start: datetime,
    end: datetime,
    chain: Chain,
    norms: NormsOf | None = None,
    labels: Labels | None = None,
    *,
    whole: bool = True,
) -> Outlook:
    """The intensity that was measured, by the first source that knows all of it, or else by the one that knows most.

    A finding says so where much of it is not known.

    Args:
        zone: Electricity Maps' key.
        start: UTC.
        end: UTC.
        chain: Whom to ask.
        norms: Of the zone, where its history is known.
        labels: The only kind of number that is asked for; `None` for any.
        whole: Go on to another source for what lies before the first one's run; else only for what lies after it.
    """
    expected = Expected(zone, None, chain.signal, norms, labels)

    def ask(source: IntensitySource) -> IntensitySeries:
        return within(HISTORY_WITHIN_S, lambda: source.history(zone, start, end), name_of(source))

    def missing(series: IntensitySeries) -> timedelta:
        """How much of the range is not known, beyond what may not be measured yet."""
        before = series.start - start if whole else _NONE
        return (before if before >= series.step else _NONE) + max(end - series.end - MEASURED_LATE, _NONE)

    answer = _first_that_holds(chain, ask, lambda _: expected, missing)
    series = answer.series
    if series is None or not missing(series):
        return answer
    partly = Finding(
        kind=FindingKind.GAP,
        treatment=Treatment.NOTED,
        source=series.source,
        sentence=f"known from {series.start.isoformat()} to {series.end.isoformat()} only.",
    )
    return Outlook(series, answer.step, answer.source, (*answer.findings, partly))


def _first_that_holds(
    chain: Chain,
    ask: Callable[[IntensitySource], IntensitySeries],
    expected: Callable[[Link], Expected],
    missing: Callable[[IntensitySeries], timedelta] = lambda _: _NONE,
) -> Outlook:
    best: Outlook | None = None
    found: list[Finding] = []
    live_asked = False
    for link in chain.links:
        try:
            sources = link.sources()
        except Exception as error:  # No failure of ours, of whatever kind, may block a job.
            found.append(_failed(link.step, error))
            continue
        for source in sources:
            failed = partial(_failed, name_of(source))
            try:
                known = source.capabilities()
                live_asked = live_asked or known.live
                if known.signal is not chain.signal:
                    # Not to be asked for what would be refused.
                    found.append(_of_the_other_signal(known, chain.signal))
                    continue
                answer = ask(source)
                if live_asked and answer.simulated:
                    # Made-up values must never pass for the grid of a team that asked for the real one.
                    found.append(_simulated(known.name))
                    continue
                examined = examine(answer, known, expected(link))
            except Exception as error:
                found.append(failed(error))
                continue
            found += examined.findings
            if examined.series is None:
                continue
            outcome = Outlook(examined.series, link.step, source)
            if not missing(examined.series):
                return replace(outcome, findings=tuple(found))
            if best is None or best.series is None or missing(examined.series) < missing(best.series):
                best = outcome
    return replace(best or Outlook(None), findings=tuple(found))


def _of_the_other_signal(known: Capabilities, wanted: SignalKind) -> Finding:
    return Finding(
        kind=FindingKind.SIGNAL_MIXED,
        treatment=Treatment.REFUSED,
        source=known.name,
        sentence=f"its signal is {known.signal}, which does not mix with {wanted} ones.",
    )


def _simulated(name: str) -> Finding:
    return Finding(
        kind=FindingKind.SIMULATED,
        treatment=Treatment.REFUSED,
        source=name,
        sentence="simulated values do not stand in for live ones.",
    )


def _failed(name: str, error: Exception) -> Finding:
    kind = error.kind if isinstance(error, SignalError) else FindingKind.FAILED
    return Finding(
        kind=FindingKind.WRONG_ZONE if isinstance(error, UnknownZoneError) else kind,
        treatment=Treatment.REFUSED,
        source=name,
        sentence=str(error) or type(error).__name__,
    )


def name_of(source: IntensitySource) -> str:
    """What messages call a source, whatever state it is in."""
    try:
        return source.capabilities().name
    except Exception:
        return type(source).__name__
