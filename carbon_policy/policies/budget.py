"""Budgets of grams and money: the policy tightens near one, and over one the user's own choice is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from carbon_policy.domain.budget import NEAR
from carbon_policy.domain.decision import Action, Evidence, Option, Ranking, ReasonCode
from carbon_policy.domain.job import OverBudget, PolicyName
from carbon_policy.domain.site import Site
from carbon_policy.domain.units import format_grams
from carbon_policy.policies.greenest import fewest_grams_now
from carbon_policy.policies.options import offer_of, option_at
from carbon_policy.policies.verdict import Verdict, missed, until_due

Policy = Callable[[Evidence, Site], Verdict]


@dataclass(frozen=True)
class _Charge:
    """What one run would make of one budget.

    Attributes:
        of: `grams` or `money`.
        limit: The most.
        used: What other runs have used this month; 0 for a budget of the run's own.
        adds: What this run is expected to add; 0 where it is unknown.
        sentence: The same for people.
        monthly: Whether it counts a month's runs, and not this one alone.
    """

    of: str
    limit: float
    used: float
    adds: float
    sentence: str
    monthly: bool

    @property
    def near(self) -> bool:
        total = self.used + self.adds
        return total > 0 and total >= self.limit * (NEAR if self.monthly else 1.0)

    @property
    def over(self) -> bool:
        return self.used + self.adds > self.limit


def within_budgets(evidence: Evidence, reference: Site, policy: Policy) -> Verdict:
    """The policy's answer, held to the budgets that count this run.

    Near a monthly budget, from `NEAR` of it on with this run's expected use, the policy tightens: `greenest` decides
    whatever the job's own policy; any saving is enough, waiting has no price, and sites are ranked by what is short
    alone, grams or money, so that a slower or less convenient site is taken as long as the deadline holds. What
    would start in another month is charged to that month.

    Where even so a budget would be broken, `over_budget` says what is done: wait for the greenest start (and run
    where there is none: a deadline beats carbon), run now where it emits least, be held until someone releases it,
    or be refused; of a run that is not due yet that is decided when it is due.

    Args:
        evidence: What is known.
        reference: Where the job would run at once.
        policy: What decides when no budget is short.
    """
    verdict = policy(evidence, reference)
    short = [charge for charge in _charges(evidence, verdict.option) if charge.near]
    if not short or verdict.action not in (Action.RUN, Action.DEFER):
        return verdict
    verdict = policy(_tightened(evidence, short), reference)
    broken = next((charge for charge in _charges(evidence, verdict.option) if charge.over), None)
    return verdict if broken is None else _over(evidence, reference, verdict, broken.sentence)


def _over(evidence: Evidence, reference: Site, verdict: Verdict, says: str) -> Verdict:
    choice = evidence.spec.over_budget
    if evidence.is_early and choice is not OverBudget.DEFER:
        at_due = option_at(evidence, reference, evidence.at_once)
        return until_due(evidence, at_due, says.removesuffix("."), verdict.alternatives)
    if choice is OverBudget.REFUSE:
        return replace(
            verdict,
            action=Action.FAIL,
            reason=ReasonCode.OVER_BUDGET_REFUSED,
            sentence=f"{says} It is refused.",
        )
    if choice is OverBudget.RELEASE:
        return _held(evidence, reference, verdict, says)
    if choice is OverBudget.ECO:
        least = fewest_grams_now(evidence, reference)
        if least is not None:
            sentence = f"{says} Runs now where it emits least, on {least.site}."
            return Verdict(Action.RUN, least, ReasonCode.OVER_BUDGET_ECO, sentence, verdict.alternatives)
    if verdict.action is Action.DEFER:
        planned = f"{verdict.option.start:%Y-%m-%d %H:%M} UTC on {verdict.option.site}"
        sentence = f"{says} Waits for its greenest start, {planned}."
        return replace(verdict, reason=ReasonCode.OVER_BUDGET_DEFERRED, sentence=sentence)
    # Nothing greener is left to wait for, and a job that was promised a deadline is not lost for its carbon.
    return replace(verdict, sentence=f"{says} {verdict.sentence}")


def _held(evidence: Evidence, reference: Site, verdict: Verdict, says: str) -> Verdict:
    """Waits for someone's word until the month ends or its latest start has come, which `on_missed` rules."""
    until = _next_month(evidence.now)
    latest = offer_of(evidence, reference).latest
    if latest is not None:
        until = min(until, latest - evidence.settings.start_latency)
    if until <= evidence.now:
        return missed(evidence, verdict.option, f"{says} Nobody released it by its latest start")
    option = verdict.option.model_copy(
        update={
            "start": until,
            "finish": until + (verdict.option.finish - verdict.option.start),
            "gco2": None,
        }
    )
    sentence = f"{says} Is held until someone releases it; asked again {until:%Y-%m-%d %H:%M} UTC."
    return Verdict(Action.DEFER, option, ReasonCode.OVER_BUDGET_HELD, sentence, verdict.alternatives)


def _tightened(evidence: Evidence, short: list[_Charge]) -> Evidence:
    kinds = {charge.of for charge in short}
    ranking = Ranking(carbon=float("grams" in kinds), price=float("money" in kinds))
    settings = evidence.settings.model_copy(
        update={
            "ranking": ranking,
            "wait_cost_per_hour": 0.0,
            "wait_cost_per_running_hour": 0.0,
            "near_best": 0.0,
            "price_weight_gco2_per_unit": 0.0,
        }
    )
    spec = evidence.spec.model_copy(update={"minimum_saving": 0.0, "policy": PolicyName.GREENEST})
    return evidence.model_copy(update={"settings": settings, "spec": spec})


def _charges(evidence: Evidence, option: Option) -> Iterator[_Charge]:
    """What an option would make of each budget."""
    spec, grams, money = evidence.spec, option.gco2 or 0.0, option.cost or 0.0
    if spec.budget_gco2 is not None:
        says = f"budget_gco2 allows this run {format_grams(spec.budget_gco2)}, and {format_grams(grams)} are expected."
        yield _Charge("grams", spec.budget_gco2, 0.0, grams, says, monthly=False)
    if spec.budget_cost is not None:
        says = f"budget_cost allows this run {spec.budget_cost:.2f}, and {money:.2f} are expected."
        yield _Charge("money", spec.budget_cost, 0.0, money, says, monthly=False)
    this_month = option.start < _next_month(evidence.now)
    for use in evidence.budgets:
        for of, limit, so_far, adds, shown in (
            ("grams", use.budget.gco2, use.used_gco2, grams, format_grams),
            ("money", use.budget.cost, use.used_cost, money, "{:.2f}".format),
        ):
            if limit is None:
                continue
            used = so_far if this_month else 0.0
            says = (
                f"The budget of {use.budget.tag or 'all runs'} allows {shown(limit)} a month; {shown(used)} are used,"
                f" and this run is expected to add {shown(adds)}."
            )
            yield _Charge(of, limit, used, adds, says, monthly=True)


def _next_month(moment: datetime) -> datetime:
    year, month = divmod(moment.year * 12 + moment.month, 12)
    return datetime(year, month + 1, 1, tzinfo=UTC)
