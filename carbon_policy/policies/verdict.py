"""What a policy answers, before it is made into a decision."""

from __future__ import annotations

from dataclasses import dataclass

from carbon_policy.domain.decision import Action, Evidence, Option, ReasonCode
from carbon_policy.domain.job import OnMissed


@dataclass(frozen=True)
class Verdict:
    """A policy's answer.

    Attributes:
        action: Run, defer, skip or fail.
        option: Where and when.
        reason: Stable code.
        sentence: For people.
        alternatives: What else there was, the greenest first.
    """

    action: Action
    option: Option
    reason: ReasonCode
    sentence: str
    alternatives: tuple[Option, ...] = ()


_ON_MISSED = {
    OnMissed.RUN: (Action.RUN, ReasonCode.MISSED_RUN, "runs at once"),
    OnMissed.SKIP: (Action.SKIP, ReasonCode.MISSED_SKIP, "is skipped, as on_missed says"),
    OnMissed.FAIL: (Action.FAIL, ReasonCode.MISSED_FAIL, "fails, as on_missed says"),
}


def missed(evidence: Evidence, option: Option, why: str) -> Verdict:
    """What `on_missed` asks for, of a job whose latest start has come without it.

    Args:
        evidence: What is known.
        option: Where and when it runs if it does.
        why: For people, to be followed by what becomes of the job.
    """
    action, reason, what = _ON_MISSED[evidence.spec.on_missed]
    return Verdict(action, option, reason, f"{why}, so it {what}.")


def until_due(evidence: Evidence, option: Option, why: str, alternatives: tuple[Option, ...] = ()) -> Verdict:
    """To wait until the job is due, and decide then: what becomes of a job that has no good reason to start early.

    Args:
        evidence: What is known, of a job that is not due yet.
        option: What it would do when it is due.
        why: For people: why it does not start earlier.
        alternatives: What else there was.
    """
    sentence = f"Is due {evidence.at_once:%Y-%m-%d %H:%M} UTC, and does not start earlier: {why}."
    return Verdict(Action.DEFER, option, ReasonCode.NOT_YET_ALLOWED, sentence, alternatives)


def at_once_on(evidence: Evidence, site: str) -> str:
    """`running at once on fast`, or when the job is due, to stand behind a change of grams."""
    return f"starting when it is due on {site}" if evidence.is_early else f"running at once on {site}"


def grams_change(option: Option, base: Option) -> str:
    """`41 % less carbon expected`, or more, of one option against another."""
    if option.gco2 is None or not base.gco2:
        return "an unknown change of carbon"
    share = 1 - option.gco2 / base.gco2
    return f"{abs(share):.0%} {'less' if share >= 0 else 'more'} carbon expected"
