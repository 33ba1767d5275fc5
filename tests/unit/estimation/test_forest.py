"""The quantiles of the forest hold for rows that it was not grown on."""

from __future__ import annotations

import numpy as np
import pytest

from carbon_policy.estimation.forest import HIGH, Floats, QuantileForest, forest_of


def draw(seed: int, count: int) -> tuple[Floats, Floats]:
    """A value that depends on one of three features, and whose spread depends on another."""
    rng = np.random.default_rng(seed)
    rows = rng.uniform(0, 1, (count, 3))
    return rows, np.sin(5 * rows[:, 0]) + (0.1 + 0.9 * (rows[:, 1] > 0.5)) * rng.gumbel(0, 0.3, count)


def pinball(values: Floats, quantile: Floats, level: float) -> float:
    """What a quantile is scored by; R. Koenker, G. Bassett, *Regression Quantiles*, Econometrica 46, 1978."""
    off = values - quantile
    return float(np.mean(np.maximum(level * off, (level - 1) * off)))


@pytest.mark.parametrize(("count", "low", "high"), [(12, 0.7, 1.0), (60, 0.83, 0.98), (300, 0.85, 0.96)])
def test_nine_in_ten_stay_below_the_high_quantile(count: int, low: float, high: float) -> None:
    covered = []
    for seed in range(4):
        forest = QuantileForest(*draw(seed, count))
        rows, values = draw(100 + seed, 400)
        covered.append(np.mean(values <= forest.median_and_high(rows)[1]))
    assert low <= np.mean(covered) <= high


def test_it_knows_more_than_the_quantiles_of_all_values_do() -> None:
    rows, values = draw(1, 300)
    new_rows, new_values = draw(2, 1000)
    median, high = QuantileForest(rows, values).median_and_high(new_rows)
    assert np.all(high >= median)
    for level, told in ((0.5, median), (HIGH, high)):
        plain = np.full(len(new_values), np.quantile(values, level))
        assert pinball(new_values, told, level) < 0.75 * pinball(new_values, plain, level)


def test_values_that_are_all_alike_are_told_as_they_are() -> None:
    forest = QuantileForest(np.zeros((10, 1)), np.full(10, 3.0))
    median, high = forest.median_and_high(np.asarray([[0.0], [np.nan], [9.0]]))
    assert list(median) == list(high) == [3.0] * 3


def test_the_same_rows_are_learnt_from_once() -> None:
    rows, values = draw(3, 40)
    forest = forest_of(rows, values)
    assert forest_of(rows.copy(), values.copy()) is forest
    assert forest_of(rows, values + 1) is not forest
    for kept, grown in zip(
        forest.median_and_high(rows), QuantileForest(rows, values).median_and_high(rows), strict=True
    ):
        assert list(kept) == list(grown)
