"""Spearman's rank correlation with an interval."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from remanence.core.errors import NotMeasured
from remanence.stats.correlation import rank_correlation


def test_five_pairs_worked_by_hand():
    # ranks 1 2 3 4 5 and 2 1 4 3 5: squared differences 1 1 1 1 0, rho = 1 - 6 * 4 / (5 * 24) = 0.8.
    found = rank_correlation(np.array([1, 2, 3, 4, 5]), np.array([20, 10, 40, 30, 50]))
    assert found.value == pytest.approx(0.8) and found.n == 5
    # z = atanh 0.8 = 1.0986; half = 1.96 * sqrt((1 + 0.32) / 2) = 1.5923; tanh(-0.4937), tanh(2.6909).
    assert found.interval == pytest.approx((-0.4571, 0.9909), abs=1e-3)


def test_scipy_agrees_with_ties_and_infinite_values():
    rng = np.random.default_rng(0)
    for _ in range(50):
        a, b = rng.integers(0, 5, 30).astype(float), rng.normal(size=30)
        b[0] = -math.inf
        assert rank_correlation(a, b).value == pytest.approx(stats.spearmanr(a, b).statistic)


def test_the_interval_covers_the_true_correlation_as_often_as_it_says():
    rng = np.random.default_rng(1)
    true = 6 / math.pi * math.asin(0.6 / 2)  # of a bivariate normal with Pearson's correlation 0.6
    hits = 0
    for _ in range(800):
        a = rng.normal(size=60)
        b = 0.6 * a + 0.8 * rng.normal(size=60)
        low, high = rank_correlation(a, b).interval
        hits += low <= true <= high
    assert 0.93 <= hits / 800 <= 0.97


def test_perfect_order_is_one_and_reversed_minus_one():
    up = np.arange(6)
    assert rank_correlation(up, up**3) == (1, (1, 1), 6)
    assert rank_correlation(up, -up) == (-1, (-1, -1), 6)


@pytest.mark.parametrize(("a", "why"), [([1.0, 2, 3], "at least 4 rows"), ([1.0, 1, 1, 1], "all rows are equal")])
def test_what_cannot_be_measured_has_a_reason(a: list[float], why: str):
    with pytest.raises(NotMeasured, match=why):
        rank_correlation(np.array(a), np.arange(len(a)))


def test_nan_and_unequal_lengths_are_refused():
    with pytest.raises(ValueError, match="without NaN"):
        rank_correlation(np.array([1, 2, 3, math.nan]), np.arange(4))
    with pytest.raises(ValueError, match="two values of each row"):
        rank_correlation(np.arange(3), np.arange(4))
