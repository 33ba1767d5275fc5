"""What a policy answers, before it is made into a decision."""

from __future__ import annotations

from dataclasses import dataclass

from carbon_policy.domain.decision import Action, Option, ReasonCode


@dataclass(frozen=True)
class Verdict:
    """A policy's answer.

    Attributes:
        action: Run or defer.
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


def grams_change(option: Option, base: Option) -> str:
    """`41 % less carbon expected`, or more, of one option against another."""
    if option.gco2 is None or not base.gco2:
        return "an unknown change of carbon"
    share = 1 - option.gco2 / base.gco2
    return f"{abs(share):.0%} {'less' if share >= 0 else 'more'} carbon expected"
