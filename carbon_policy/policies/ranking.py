"""Options weighed against each other: grams alone, or grams with money, latency, availability and preference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta

from carbon_policy.domain.decision import Evidence, Option, Ranking

_UNSAID = 0.5

# By so much two sums of the same hours may differ: less is arithmetic's saving, and not a job's.
_ROUNDING = 1e-9

Key = Callable[[Option], tuple[float, float, str]]
"""The lower, the better; equals are told apart by the earlier finish, then by name."""


def weighs_service(ranking: Ranking) -> bool:
    """Whether anything beside carbon counts."""
    return any((ranking.price, ranking.latency, ranking.availability, ranking.priority))


def ranked_by(evidence: Evidence, on_offer: Sequence[Option]) -> Key:
    """The order in which options are preferred, as a sorting key.

    With carbon alone the fewest grams win, money weighed in at `price_weight_gco2_per_unit`. With other weights
    each criterion counts from 0, the worst on offer, to 1, the best, and the highest weighted sum wins; where all
    are equal in something they all count 1, and a figure that nobody gave counts as the middle.

    Args:
        evidence: What is known.
        on_offer: All options that are compared, now and later.
    """
    ranking = evidence.settings.ranking
    if not weighs_service(ranking):
        return by_grams_and_money(evidence)
    sites = {site.name: site for site in evidence.sites}
    criteria: tuple[tuple[float, Callable[[Option], float | None], bool], ...] = (
        (ranking.carbon, lambda option: option.gco2, False),
        (ranking.price, lambda option: option.cost, False),
        (ranking.latency, lambda option: sites[option.site].latency_ms, False),
        (ranking.availability, lambda option: sites[option.site].availability, True),
        (ranking.priority, lambda option: sites[option.site].priority, True),
    )
    scales = [
        (weight, figure, _scale([figure(option) for option in on_offer], more_is_better))
        for weight, figure, more_is_better in criteria
        if weight
    ]

    def key(option: Option) -> tuple[float, float, str]:
        score = sum(weight * scale(figure(option)) for weight, figure, scale in scales)
        return (-round(score, 9), option.finish.timestamp(), option.site)

    return key


def saved_share(option: Option, base: Option) -> float:
    """The share of the base's grams that an option is expected to save; 0 where either is unknown."""
    if option.gco2 is None or not base.gco2:
        return 0.0
    return 1 - option.gco2 / base.gco2


def greener(option: Option, base: Option) -> bool:
    """Whether an option is expected to emit less than another, by more than sums are rounded."""
    return saved_share(option, base) > _ROUNDING


def saves(evidence: Evidence, option: Option, base: Option, waited: timedelta) -> bool:
    """Whether an option saves enough against another to be worth a change.

    Args:
        evidence: What is known; `minimum_saving` and the price of waiting are asked.
        option: What is tempting.
        base: What would be done otherwise.
        waited: How much later than the base it is; less than nothing is nothing.
    """
    if option.gco2 is None or base.gco2 is None:
        return False
    waited_h = max(0.0, waited.total_seconds() / 3600)
    asked = evidence.spec.minimum_saving + evidence.settings.wait_cost(base.finish - base.start) * waited_h
    return greener(option, base) and option.gco2 <= base.gco2 * (1 - asked)


def most_to_save(evidence: Evidence, base: Option) -> float:
    """The most grams with which a start that is not waited for saves enough against a base; below 0 where none does."""
    if base.gco2 is None or evidence.settings.ranking.carbon == 0:
        return -1.0
    return base.gco2 * (1 - max(evidence.spec.minimum_saving, _ROUNDING))


def by_grams(option: Option) -> tuple[float, float, str]:
    """The fewest grams first; of what is unknown the least energy."""
    grams = option.gco2 if option.gco2 is not None else float("inf")
    return (grams, option.energy_kwh, option.site)


def by_grams_and_money(evidence: Evidence) -> Key:
    """The fewest grams first, money weighed in at `price_weight_gco2_per_unit`, as a sorting key."""
    weight = evidence.settings.price_weight_gco2_per_unit

    def key(option: Option) -> tuple[float, float, str]:
        grams = option.gco2 if option.gco2 is not None else float("inf")
        return (grams + weight * (option.cost or 0.0), option.finish.timestamp(), option.site)

    return key


def _scale(figures: list[float | None], more_is_better: bool) -> Callable[[float | None], float]:
    """From a figure to 0 (the worst of these) to 1 (the best)."""
    known = [figure for figure in figures if figure is not None]
    low, high = min(known, default=0.0), max(known, default=0.0)

    def scaled(figure: float | None) -> float:
        if figure is None:
            return _UNSAID if known else 1.0
        if high == low:
            return 1.0
        share = (figure - low) / (high - low)
        return share if more_is_better else 1 - share

    return scaled
